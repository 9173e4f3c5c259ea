/** Where tokens come from, and how long one is kept. */
/**
 * A source that keeps a JWT until `marginSeconds` before its `exp`, or until it is refused.
 *
 * However many requests want a new token at once, `fetchToken` is called once. When it fails and the old
 * token has not expired, the old one serves on. A token without a readable `exp` is kept until refused.
 */
export function renewing(fetchToken, marginSeconds = 30) {
    let kept;
    let pending;
    function usable(marginMilliseconds) {
        return kept !== undefined && Date.now() < kept.expiresAt - marginMilliseconds ? kept.token : undefined;
    }
    async function renew() {
        try {
            const token = await fetchToken();
            kept = { token, expiresAt: expiry(token) };
            return token;
        }
        catch (error) {
            const old = usable(0);
            if (old === undefined)
                throw error;
            return old;
        }
        finally {
            pending = undefined;
        }
    }
    return async (refused) => {
        if (kept !== undefined && kept.token === refused)
            kept = undefined;
        const token = usable(marginSeconds * 1000);
        if (token !== undefined)
            return token;
        pending ??= renew();
        return pending;
    };
}
/** When a JWT expires, in milliseconds since 1970; infinity where it does not say. */
function expiry(token) {
    try {
        const payload = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
        const claims = JSON.parse(atob(payload));
        if (typeof claims === "object" && claims !== null && "exp" in claims && typeof claims.exp === "number") {
            return claims.exp * 1000;
        }
    }
    catch {
        // Not a JWT.
    }
    return Infinity;
}
