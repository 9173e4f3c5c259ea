/** The Todo API for TypeScript: its six operations, typed, repeated where that is safe, and paged. */
export { TodoClient } from "./client.js";
export type { ClientOptions, CreateOptions, ListQuery, NewTask, Page, Task, TaskChange, Versioned, WriteOptions, } from "./client.js";
export { NetworkError, Problem } from "./errors.js";
export type { FieldError, NetworkErrorReason, ProblemCode } from "./errors.js";
export type { RequestOptions, Retry } from "./request.js";
export { renewing } from "./token.js";
export type { TokenSource } from "./token.js";
export type { components, operations, paths } from "./schema.js";
