/** The Todo API for TypeScript: its six operations, typed, repeated where that is safe, and paged. */

export { TodoClient } from "./client.js";
export type { ListQuery, NewTask, Options, Page, Task, TaskChange, Versioned } from "./client.js";
export { Problem } from "./problem.js";
export type { FieldError } from "./problem.js";
export { renewing } from "./renewing.js";
export type { TokenSource } from "./renewing.js";
export type { components, operations, paths } from "./schema.js";
