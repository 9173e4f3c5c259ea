/** What a method rejects with: the service's own error responses, and failures to get a response at all. */
/** An error response (RFC 9457). Show `detail` to people; `status` and `code` are for programs. */
export class Problem extends Error {
    name = "Problem";
    status;
    code;
    /** One sentence for people. */
    detail;
    /** The id of the request in the service's log; empty when unknown. */
    requestId;
    /** Each offending field; empty unless the status is 400. */
    errors;
    /** Seconds after which it makes sense to try again, where the response says so. */
    retryAfter;
    constructor(response, body) {
        const given = typeof body === "object" && body !== null ? body : {};
        const detail = typeof given.detail === "string" && given.detail !== "" ? given.detail : sentence(response);
        super(detail);
        this.status = response.status;
        this.code = typeof given.code === "string" ? given.code : "unknown";
        this.detail = detail;
        this.requestId = response.headers.get("X-Request-ID") ?? "";
        this.errors = Array.isArray(given.errors) ? given.errors.filter(isFieldError) : [];
        this.retryAfter = retryAfterSeconds(response);
    }
}
/**
 * No response came. `message` says what the cause may be, in words for developers; `cause` is what `fetch`
 * rejected with.
 */
export class NetworkError extends Error {
    name = "NetworkError";
    reason;
    constructor(reason, message, options) {
        super(message, options);
        this.reason = reason;
    }
}
/** What to say where the response says nothing: it is a gateway's, or a page instead of JSON. */
function sentence({ ok, status }) {
    return ok ? "The response is not one of the Todo API." : `The service answered with status ${status}.`;
}
/** What `Retry-After` asks for, in seconds from now; it may be a number or a date (RFC 9110 §10.2.3). */
function retryAfterSeconds(response) {
    const value = response.headers.get("Retry-After");
    if (value === null)
        return null;
    const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
    return Number.isNaN(seconds) ? null : Math.max(0, seconds);
}
function isFieldError(value) {
    return typeof value === "object" && value !== null && "field" in value && "message" in value;
}
//# sourceMappingURL=errors.js.map