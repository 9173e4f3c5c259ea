/** Where tokens come from, and how long one is used. */

/**
 * Resolves to the token to send. After a 401 it is called once more with the token that was rejected, and
 * should then resolve to another one; a function without parameters that always fetches a new one will do.
 */
export type TokenSource = (rejected?: string) => Promise<string>;

interface CachedToken {
  token: string;
  /** Milliseconds since 1970. */
  expiresAt: number;
}

/**
 * A source that uses a JWT until `marginSeconds` before its `exp`, or until it is rejected.
 *
 * However many requests need a new token at once, `fetchToken` is called once. When it fails and the old
 * token has not expired, the old one is used on. A token without a readable `exp` is used until rejected.
 */
export function renewing(fetchToken: () => Promise<string>, marginSeconds = 30): TokenSource {
  let cached: CachedToken | undefined;
  let pending: Promise<string> | undefined;

  function usable(marginMilliseconds: number): string | undefined {
    return cached !== undefined && Date.now() < cached.expiresAt - marginMilliseconds ? cached.token : undefined;
  }

  async function renew(): Promise<string> {
    try {
      const token = await fetchToken();
      cached = { token, expiresAt: expiry(token) };
      return token;
    } catch (error) {
      const old = usable(0);
      if (old === undefined) throw error;
      return old;
    } finally {
      pending = undefined;
    }
  }

  return async (rejected) => {
    if (cached !== undefined && cached.token === rejected) cached = undefined;
    const token = usable(marginSeconds * 1000);
    if (token !== undefined) return token;
    pending ??= renew();
    return pending;
  };
}

/** When a JWT expires, in milliseconds since 1970; infinity where it does not say. */
function expiry(token: string): number {
  try {
    const payload = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const claims: unknown = JSON.parse(atob(payload));
    if (typeof claims === "object" && claims !== null && "exp" in claims && typeof claims.exp === "number") {
      return claims.exp * 1000;
    }
  } catch {
    // Not a JWT.
  }
  return Infinity;
}
