/** The Todo API for TypeScript: its six operations, typed, repeated where that is safe, and paged. */
export { TodoClient } from "./client.js";
export { NetworkError, Problem } from "./errors.js";
export { renewing } from "./token.js";
//# sourceMappingURL=index.js.map