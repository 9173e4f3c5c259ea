/** What a failed connection may come from. `fetch` tells a page nothing; these are the usual causes. */
/** The same error with a message that helps; errors which are not ours, such as a token source's, as they are. */
export declare function explain(error: Error, url: string): Promise<Error>;
