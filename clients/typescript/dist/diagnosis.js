/** What a failed connection may come from. `fetch` tells a page nothing; these are the usual causes. */
import { NetworkError } from "./errors.js";
const PROBE_MILLISECONDS = 1_000;
/** The same error with a message that helps; errors which are not ours, such as a token source's, as they are. */
export async function explain(error, url) {
    if (!(error instanceof NetworkError))
        return error;
    const page = globalThis.location;
    const { origin, protocol, hostname } = new URL(url, page?.href);
    if (error.reason === "redirect") {
        return because(error, `${origin} answers with a redirect, which is not followed. Use its final address as baseUrl.`);
    }
    if (error.reason !== "unreachable")
        return error;
    if (page?.protocol === "https:" && protocol === "http:" && !isLoopback(hostname)) {
        return because(error, `A page loaded over https may not call ${origin} over http.`);
    }
    if (page !== undefined && page.origin !== origin && (await isAnswering(url))) {
        const advice = `Most likely the service's CORS_ORIGINS does not name ${page.origin}.`;
        return because(error, `${origin} answers, but the browser keeps the response from this page. ${advice}`, "blocked");
    }
    const code = codeOf(error.cause);
    const advice = "Is the address right, is the service running, and does nothing block the way to it?";
    return because(error, `No connection to ${origin}${code === "" ? "" : ` (${code})`}. ${advice}`);
}
function because(error, message, reason = error.reason) {
    return new NetworkError(reason, message, { cause: error.cause });
}
/** Whether there is any response, which a page may find out from every origin without reading it. */
async function isAnswering(url) {
    try {
        const { origin } = new URL(url);
        await fetch(`${origin}/health`, { mode: "no-cors", signal: AbortSignal.timeout(PROBE_MILLISECONDS) });
        return true;
    }
    catch {
        return false;
    }
}
function isLoopback(hostname) {
    return /^(localhost|.*\.localhost|127\..*|\[::1\])$/.test(hostname);
}
/** Node's code of a failed connection, such as ECONNREFUSED; browsers have none. */
function codeOf(cause) {
    const inner = cause instanceof Error ? cause.cause : undefined;
    return inner instanceof Error && "code" in inner ? String(inner.code) : "";
}
//# sourceMappingURL=diagnosis.js.map