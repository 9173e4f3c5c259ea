/** How one request gets its response: with a token, within a time limit, and again where that is safe. */
import type { TokenSource } from "./token.js";
export interface RequestOptions {
    /** Ends the request, its pauses and its retries; the method then rejects with the signal's `reason`. */
    signal?: AbortSignal | undefined;
}
/** A request that is about to be sent again. */
export interface Retry {
    method: string;
    url: string;
    /** 1 for the first retry. */
    attempt: number;
    delayMilliseconds: number;
    /** Why: a `NetworkError`, a `Problem` with status 502 to 504, or what the token source rejected with. */
    error: Error;
}
export interface Connection {
    token: TokenSource;
    fetch: typeof fetch;
    timeoutSeconds: number;
    onRetry: (retry: Retry) => void;
}
export interface Outgoing {
    method: string;
    url: string;
    headers: Record<string, string>;
    body: string | null;
    /** 0 for what must not be repeated. */
    retries: number;
}
export interface Answer {
    response: Response;
    /** The JSON of the body; undefined where it is something else. */
    body: unknown;
    /** Whether an earlier attempt may have been carried out although its response was lost. */
    uncertain: boolean;
}
/**
 * Send a request until there is a response.
 *
 * Silence and responses 502 to 504 are followed by up to `retries` more attempts, with growing pauses and
 * no less than `Retry-After`; failed connections by two within a second, because a wrong address, a
 * stopped service and CORS are not cured by waiting. A 401 is followed by one more with another token, also
 * where nothing is retried: the rejected request was not carried out.
 */
export declare function send(connection: Connection, outgoing: Outgoing, signal?: AbortSignal): Promise<Answer>;
