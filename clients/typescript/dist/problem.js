/** What the service says when it refuses. */
/**
 * A refusal (RFC 9457). Show `detail` to people, read `status` and `code` in programs.
 *
 * A gateway in front of the service may refuse in a format of its own; then `code` is "unknown".
 */
export class Problem extends Error {
    name = "Problem";
    status;
    code;
    /** One sentence for people. */
    detail;
    /** What the service's log calls the request; empty when unknown. */
    requestId;
    /** Each offending field; empty unless the status is 400. */
    errors;
    /** Seconds after which it makes sense to try again, where the answer says so. */
    retryAfter;
    constructor(response, body) {
        const given = typeof body === "object" && body !== null ? body : {};
        const detail = text(given.detail, `The service answered with status ${response.status}.`);
        super(detail);
        this.status = response.status;
        this.code = text(given.code, "unknown");
        this.detail = detail;
        this.requestId = response.headers.get("X-Request-ID") ?? "";
        this.errors = Array.isArray(given.errors) ? given.errors.filter(isFieldError) : [];
        this.retryAfter = retryAfterSeconds(response);
    }
}
/** What `Retry-After` asks for, in seconds from now; it may be a number or a date (RFC 9110 §10.2.3). */
export function retryAfterSeconds(response) {
    const value = response.headers.get("Retry-After");
    if (value === null)
        return null;
    const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
    return Number.isNaN(seconds) ? null : Math.max(0, seconds);
}
function text(value, otherwise) {
    return typeof value === "string" && value !== "" ? value : otherwise;
}
function isFieldError(value) {
    return typeof value === "object" && value !== null && "field" in value && "message" in value;
}
