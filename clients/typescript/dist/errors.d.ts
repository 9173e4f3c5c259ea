/** What a method rejects with: the service's own error responses, and failures to get a response at all. */
import type { components } from "./schema.js";
/** What is wrong with one field of a body, or with one parameter. */
export type FieldError = components["schemas"]["FieldError"];
/** The service's `code`; "unknown" where a gateway answered in its place. A newer service may have others. */
export type ProblemCode = components["schemas"]["ProblemDetails"]["code"] | "unknown";
/** An error response (RFC 9457). Show `detail` to people; `status` and `code` are for programs. */
export declare class Problem extends Error {
    readonly name = "Problem";
    readonly status: number;
    readonly code: ProblemCode;
    /** One sentence for people. */
    readonly detail: string;
    /** The id of the request in the service's log; empty when unknown. */
    readonly requestId: string;
    /** Each offending field; empty unless the status is 400. */
    readonly errors: readonly FieldError[];
    /** Seconds after which it makes sense to try again, where the response says so. */
    readonly retryAfter: number | null;
    constructor(response: Response, body: unknown);
}
/**
 * Why there is no response.
 *
 * - "offline": the browser says that it has no network.
 * - "timeout": nothing came within the time limit.
 * - "unreachable": the connection failed.
 * - "blocked": the service answers, but the browser does not let the page read it (CORS).
 * - "redirect": the address answers with a redirect, which is never followed.
 */
export type NetworkErrorReason = "offline" | "timeout" | "unreachable" | "blocked" | "redirect";
/**
 * No response came. `message` says what the cause may be, in words for developers; `cause` is what `fetch`
 * rejected with.
 */
export declare class NetworkError extends Error {
    readonly name = "NetworkError";
    readonly reason: NetworkErrorReason;
    constructor(reason: NetworkErrorReason, message: string, options?: ErrorOptions);
}
