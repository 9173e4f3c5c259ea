/** How one request gets its answer: with a token, and again where that is safe. */
import { retryAfterSeconds } from "./problem.js";
const ATTEMPT_MILLISECONDS = 15_000;
const FIRST_PAUSE_MILLISECONDS = 250;
const LONGEST_PAUSE_MILLISECONDS = 8_000;
const LONGEST_RETRY_AFTER_SECONDS = 30;
/** The service, or a gateway in front of it, cannot serve now. The request may have been carried out. */
const UNAVAILABLE = new Set([502, 503, 504]);
const WITHOUT_BODY = new Set([204, 205, 304]);
/**
 * Delivers one request. To be made anew for each.
 *
 * Network failures, silence for 15 seconds and answers 502 to 504 are followed by up to `repeats` more
 * attempts, with growing pauses and no less than `Retry-After`. A 401 is followed by one with a fresh
 * token, also without `repeats`: what was refused was not carried out.
 */
export class Delivery {
    /** Whether an earlier attempt may have been carried out although its answer did not get here. */
    uncertain = false;
    #token;
    #fetch;
    #repeats;
    constructor(token, send, repeats) {
        this.#token = token;
        this.#fetch = send;
        this.#repeats = repeats;
    }
    /** Stands in for `fetch`. Rejects as `fetch` does when the last attempt brings no answer. */
    send = async (request) => {
        for (let repeats = 0;; repeats++) {
            const last = repeats >= this.#repeats;
            let retryAfter = 0;
            try {
                const response = await this.#attempt(request);
                retryAfter = retryAfterSeconds(response) ?? 0;
                if (last || !UNAVAILABLE.has(response.status) || retryAfter > LONGEST_RETRY_AFTER_SECONDS)
                    return response;
            }
            catch (error) {
                if (last || !isNetworkFailure(error))
                    throw error;
            }
            await pause(retryAfter * 1000 + backoff(repeats));
        }
    };
    async #attempt(request) {
        const token = await this.#token();
        const response = await this.#exchange(request, token);
        if (response.status !== 401)
            return response;
        const fresh = await this.#token(token);
        return fresh === token ? response : this.#exchange(request, fresh);
    }
    async #exchange(request, token) {
        const send = this.#fetch; // a browser's fetch must not be called as a method
        const copy = request.clone();
        copy.headers.set("Authorization", `Bearer ${token}`);
        try {
            const response = await send(copy, { signal: AbortSignal.timeout(ATTEMPT_MILLISECONDS) });
            // Read here, so that an answer which breaks off counts as none.
            const body = WITHOUT_BODY.has(response.status) ? null : await response.arrayBuffer();
            this.uncertain ||= UNAVAILABLE.has(response.status);
            return new Response(body, response);
        }
        catch (error) {
            this.uncertain = true;
            throw error;
        }
    }
}
/** What `fetch` rejects with when the network fails, in every browser and in Node; or our own time limit. */
function isNetworkFailure(error) {
    return error instanceof TypeError || (error instanceof DOMException && error.name === "TimeoutError");
}
/** Milliseconds: twice as many after each failure, and each client others, so that they do not return together. */
function backoff(repeats) {
    const longest = Math.min(FIRST_PAUSE_MILLISECONDS * 2 ** repeats, LONGEST_PAUSE_MILLISECONDS);
    return longest * (0.5 + Math.random() / 2);
}
function pause(milliseconds) {
    return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
