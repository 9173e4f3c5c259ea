/** Where tokens come from, and how long one is kept. */

/**
 * Answers the token to send. After a 401 it is asked once more with the token that was refused, and
 * should then answer another one; a function without parameters that always asks afresh will do.
 */
export type TokenSource = (refused?: string) => Promise<string>;

interface Kept {
  token: string;
  /** Milliseconds since 1970. */
  expiresAt: number;
}

/**
 * A source that keeps a JWT until `marginSeconds` before its `exp`, or until it is refused.
 *
 * However many requests want a new token at once, `fetchToken` is called once. When it fails and the old
 * token has not expired, the old one serves on. A token without a readable `exp` is kept until refused.
 */
export function renewing(fetchToken: () => Promise<string>, marginSeconds = 30): TokenSource {
  let kept: Kept | undefined;
  let pending: Promise<string> | undefined;

  function usable(marginMilliseconds: number): string | undefined {
    return kept !== undefined && Date.now() < kept.expiresAt - marginMilliseconds ? kept.token : undefined;
  }

  async function renew(): Promise<string> {
    try {
      const token = await fetchToken();
      kept = { token, expiresAt: expiry(token) };
      return token;
    } catch (error) {
      const old = usable(0);
      if (old === undefined) throw error;
      return old;
    } finally {
      pending = undefined;
    }
  }

  return async (refused) => {
    if (kept !== undefined && kept.token === refused) kept = undefined;
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
