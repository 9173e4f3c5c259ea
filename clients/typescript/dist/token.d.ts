/** Where tokens come from, and how long one is used. */
/**
 * Resolves to the token to send. After a 401 it is called once more with the token that was rejected, and
 * should then resolve to another one; a function without parameters that always fetches a new one will do.
 */
export type TokenSource = (rejected?: string) => Promise<string>;
/**
 * A source that uses a JWT until `marginSeconds` before its `exp`, or until it is rejected.
 *
 * However many requests need a new token at once, `fetchToken` is called once. When it fails and the old
 * token has not expired, the old one is used on. A token without a readable `exp` is used until rejected.
 */
export declare function renewing(fetchToken: () => Promise<string>, marginSeconds?: number): TokenSource;
