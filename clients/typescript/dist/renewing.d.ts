/** Where tokens come from, and how long one is kept. */
/**
 * Answers the token to send. After a 401 it is asked once more with the token that was refused, and
 * should then answer another one; a function without parameters that always asks afresh will do.
 */
export type TokenSource = (refused?: string) => Promise<string>;
/**
 * A source that keeps a JWT until `marginSeconds` before its `exp`, or until it is refused.
 *
 * However many requests want a new token at once, `fetchToken` is called once. When it fails and the old
 * token has not expired, the old one serves on. A token without a readable `exp` is kept until refused.
 */
export declare function renewing(fetchToken: () => Promise<string>, marginSeconds?: number): TokenSource;
