/** How one request gets its answer: with a token, and again where that is safe. */
import type { TokenSource } from "./renewing.js";
/**
 * Delivers one request. To be made anew for each.
 *
 * Network failures, silence for 15 seconds and answers 502 to 504 are followed by up to `repeats` more
 * attempts, with growing pauses and no less than `Retry-After`. A 401 is followed by one with a fresh
 * token, also without `repeats`: what was refused was not carried out.
 */
export declare class Delivery {
    #private;
    /** Whether an earlier attempt may have been carried out although its answer did not get here. */
    uncertain: boolean;
    constructor(token: TokenSource, send: typeof fetch, repeats: number);
    /** Stands in for `fetch`. Rejects as `fetch` does when the last attempt brings no answer. */
    readonly send: (request: Request) => Promise<Response>;
}
