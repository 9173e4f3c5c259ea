/** What the service says when it refuses. */
import type { components } from "./schema.js";
export type FieldError = components["schemas"]["FieldError"];
/**
 * A refusal (RFC 9457). Show `detail` to people, read `status` and `code` in programs.
 *
 * A gateway in front of the service may refuse in a format of its own; then `code` is "unknown".
 */
export declare class Problem extends Error {
    readonly name = "Problem";
    readonly status: number;
    readonly code: string;
    /** One sentence for people. */
    readonly detail: string;
    /** What the service's log calls the request; empty when unknown. */
    readonly requestId: string;
    /** Each offending field; empty unless the status is 400. */
    readonly errors: readonly FieldError[];
    /** Seconds after which it makes sense to try again, where the answer says so. */
    readonly retryAfter: number | null;
    constructor(response: Response, body: unknown);
}
/** What `Retry-After` asks for, in seconds from now; it may be a number or a date (RFC 9110 §10.2.3). */
export declare function retryAfterSeconds(response: Response): number | null;
