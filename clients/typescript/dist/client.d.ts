/** `TodoClient`: one user's tasks. */
import type { RequestOptions, Retry } from "./request.js";
import type { components, operations } from "./schema.js";
import type { TokenSource } from "./token.js";
/** A task. Its times are RFC 3339 in UTC, which `new Date` reads. */
export type Task = components["schemas"]["TaskRead"];
/** What a new task is made of. */
export type NewTask = components["schemas"]["TaskCreate"];
/** What to change; what is absent keeps its value. */
export type TaskChange = components["schemas"]["TaskUpdate"];
/** Which tasks to list, in which order, and how many to a page. */
export type ListQuery = Pick<NonNullable<operations["list_tasks"]["parameters"]["query"]>, "status" | "search" | "sort" | "order" | "limit">;
/** A value and the entity tag of its version. */
export interface Versioned<T> {
    value: T;
    etag: string;
}
/** One page of a list. */
export interface Page {
    tasks: Task[];
    /** Fetches the page behind this one; null on the last. */
    next: ((options?: RequestOptions) => Promise<Page>) | null;
    etag: string;
}
export interface CreateOptions extends RequestOptions {
    /**
     * The name of this create (`Idempotency-Key`): one key makes one task. Store it where a create may be
     * repeated later, by this client or by the next page load; without one, each call creates a task of its own.
     */
    idempotencyKey?: string | undefined;
}
export interface WriteOptions extends RequestOptions {
    /**
     * The version that the write is made to (`If-Match`). When the task is another by now, the `Problem` has
     * status 412 and nothing was changed. Without it the last writer wins, field by field.
     */
    etag?: string | undefined;
}
export interface ClientOptions {
    /** Where the service is, such as `https://api.example.com`, with a path if it has one; "" is the page's origin. */
    baseUrl: string;
    /** The signed-in user's id: the token's `sub`. */
    userId: string;
    /** Called for each request; see `renewing`. */
    token: TokenSource;
    /** Sends the requests; the global `fetch` unless given. */
    fetch?: typeof fetch | undefined;
    /** How often a request is repeated at most; 5 unless given, which outlasts a restart of some seconds. */
    retries?: number | undefined;
    /** How long one attempt may take; 15 unless given. */
    timeoutSeconds?: number | undefined;
    /** Called before each pause that a retry waits for. */
    onRetry?: ((retry: Retry) => void) | undefined;
}
/**
 * The signed-in user's tasks.
 *
 * Every method rejects with a `Problem` when the service answers with an error, with a `NetworkError` when
 * no response came after the retries that are safe, and as the token source does when there is no token.
 */
export declare class TodoClient {
    #private;
    constructor(options: ClientOptions);
    /** The first page of the tasks, newest first unless asked otherwise. */
    list(query?: ListQuery, options?: RequestOptions): Promise<Page>;
    /** Every task of a list, fetched page by page as the loop gets there. */
    all(query?: ListQuery, options?: RequestOptions): AsyncGenerator<Task, void, undefined>;
    /** One task. */
    get(id: number, options?: RequestOptions): Promise<Versioned<Task>>;
    /** Create a task, once, however often the request is repeated. */
    create(fields: NewTask, options?: CreateOptions): Promise<Versioned<Task>>;
    /** Change a task: the fields of `change`, and no others. */
    update(id: number, change: TaskChange, options?: WriteOptions): Promise<Versioned<Task>>;
    /**
     * Complete a task, or reopen it with `false`.
     *
     * Without `completed` it toggles. A toggle is never repeated: when it rejects with a `NetworkError`, look
     * at the task.
     */
    complete(id: number, completed?: boolean, options?: WriteOptions): Promise<Versioned<Task>>;
    /**
     * Delete a task. Resolves to the task as it was: `create` with its fields undoes it.
     *
     * Null means that the task is gone, but that a response was lost on the way and the task with it.
     */
    remove(id: number, options?: WriteOptions): Promise<Task | null>;
}
