/** The Todo API for TypeScript: its six operations, typed, repeated where that is safe, and paged. */
export { TodoClient } from "./client.js";
export { Problem } from "./problem.js";
export { renewing } from "./renewing.js";
