/** `TodoClient`: one user's tasks. */
import type { TokenSource } from "./renewing.js";
import type { components, operations } from "./schema.js";
export type Task = components["schemas"]["TaskRead"];
export type NewTask = components["schemas"]["TaskCreate"];
/** What to change; what is absent keeps its value. */
export type TaskChange = components["schemas"]["TaskUpdate"];
export type ListQuery = Pick<NonNullable<operations["list_tasks"]["parameters"]["query"]>, "status" | "search" | "sort" | "order" | "limit">;
/** A value and the entity tag of its version. */
export interface Versioned<T> {
    value: T;
    etag: string;
}
/** One page of a list; `next` fetches the one behind it and is null on the last. */
export interface Page {
    tasks: Task[];
    next: (() => Promise<Page>) | null;
    etag: string;
}
export interface Options {
    /** Where the service is, such as `https://api.example.com`. */
    baseUrl: string;
    /** The signed-in user's id: the token's `sub`. */
    userId: string;
    token: TokenSource;
    fetch?: typeof fetch;
    /** How often a request is repeated at most; 5 unless given, which outlasts a restart of some seconds. */
    retries?: number;
}
/**
 * The signed-in user's tasks.
 *
 * Every method rejects with a `Problem` when the service refuses, and as `fetch` does (a `TypeError`, or a
 * `DOMException` named "TimeoutError") when no answer came, after the repetitions that are safe.
 */
export declare class TodoClient {
    #private;
    constructor({ baseUrl, userId, token, fetch, retries }: Options);
    /** The first page of the tasks, newest first unless asked otherwise. */
    list(query?: ListQuery): Promise<Page>;
    /** Every task of a list, fetched page by page as the loop gets there. */
    all(query?: ListQuery): AsyncGenerator<Task, void, undefined>;
    get(id: number): Promise<Versioned<Task>>;
    /**
     * Create a task, once, however often the request is repeated.
     *
     * @param key the name of this create (`Idempotency-Key`). Keep it where a create may be repeated later,
     *   by this client or by the next page load; without one, each call creates a task of its own.
     */
    create(fields: NewTask, key?: string): Promise<Versioned<Task>>;
    /**
     * Change a task.
     *
     * @param etag the version that the change is made to. When the task is another by now, the `Problem` has
     *   status 412 and nothing was changed. Without it the last writer wins, field by field.
     */
    update(id: number, change: TaskChange, etag?: string): Promise<Versioned<Task>>;
    /**
     * Complete a task, or reopen it with `false`.
     *
     * Without `completed` it toggles. A toggle is never repeated: when it rejects for want of an answer,
     * look at the task.
     */
    complete(id: number, completed?: boolean, etag?: string): Promise<Versioned<Task>>;
    /**
     * Delete a task. Answers the task as it was: `create` with its fields undoes it.
     *
     * Null means that the task is gone, but that an answer was lost on the way and the task with it.
     */
    remove(id: number, etag?: string): Promise<Task | null>;
}
