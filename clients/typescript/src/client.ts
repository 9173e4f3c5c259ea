/** `TodoClient`: one user's tasks. */

import { Problem } from "./errors.js";
import { send } from "./request.js";
import type { Answer, Connection, Outgoing, RequestOptions, Retry } from "./request.js";
import type { components, operations } from "./schema.js";
import type { TokenSource } from "./token.js";

/** A task. Its times are RFC 3339 in UTC, which `new Date` reads. */
export type Task = components["schemas"]["TaskRead"];
/** What a new task is made of. */
export type NewTask = components["schemas"]["TaskCreate"];
/** What to change; what is absent keeps its value. */
export type TaskChange = components["schemas"]["TaskUpdate"];
/** Which tasks to list, in which order, and how many to a page. */
export type ListQuery = Pick<
  NonNullable<operations["list_tasks"]["parameters"]["query"]>,
  "status" | "search" | "sort" | "order" | "limit"
>;

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
export class TodoClient {
  readonly #tasks: string;
  readonly #connection: Connection;
  readonly #retries: number;

  constructor(options: ClientOptions) {
    const { baseUrl, userId, token, fetch = globalThis.fetch, retries = 5, timeoutSeconds = 15 } = options;
    this.#tasks = `${baseUrl.replace(/\/+$/, "")}/api/${encodeURIComponent(userId)}/tasks`;
    this.#retries = retries;
    this.#connection = { token, fetch, timeoutSeconds, onRetry: options.onRetry ?? (() => {}) };
  }

  /** The first page of the tasks, newest first unless asked otherwise. */
  list(query: ListQuery = {}, options: RequestOptions = {}): Promise<Page> {
    return this.#page(query, null, options);
  }

  /** Every task of a list, fetched page by page as the loop gets there. */
  async *all(query: ListQuery = {}, options: RequestOptions = {}): AsyncGenerator<Task, void, undefined> {
    let page: Page | null = await this.list(query, options);
    while (page !== null) {
      yield* page.tasks;
      page = page.next === null ? null : await page.next(options);
    }
  }

  /** One task. */
  async get(id: number, options: RequestOptions = {}): Promise<Versioned<Task>> {
    return versioned(await this.#send("GET", `/${id}`, options));
  }

  /** Create a task, once, however often the request is repeated. */
  async create(fields: NewTask, options: CreateOptions = {}): Promise<Versioned<Task>> {
    const headers = { "Idempotency-Key": options.idempotencyKey ?? newKey() };
    return versioned(await this.#send("POST", "", options, { headers, body: JSON.stringify(fields) }));
  }

  /** Change a task: the fields of `change`, and no others. */
  async update(id: number, change: TaskChange, options: WriteOptions = {}): Promise<Versioned<Task>> {
    const answer = await this.#send("PUT", `/${id}`, options, conditional(options, change));
    return this.#written(answer, id, change, options);
  }

  /**
   * Complete a task, or reopen it with `false`.
   *
   * Without `completed` it toggles. A toggle is never repeated: when it rejects with a `NetworkError`, look
   * at the task.
   */
  async complete(id: number, completed?: boolean, options: WriteOptions = {}): Promise<Versioned<Task>> {
    const path = `/${id}/complete`;
    if (completed === undefined) {
      return versioned(await this.#send("PATCH", path, options, { ...conditional(options), retries: 0 }));
    }
    const answer = await this.#send("PATCH", path, options, conditional(options, { completed }));
    return this.#written(answer, id, { completed }, options);
  }

  /**
   * Delete a task. Resolves to the task as it was: `create` with its fields undoes it.
   *
   * Null means that the task is gone, but that a response was lost on the way and the task with it.
   */
  async remove(id: number, options: WriteOptions = {}): Promise<Task | null> {
    const answer = await this.#send("DELETE", `/${id}`, options, conditional(options));
    if (answer.response.status === 404 && answer.uncertain) return null;
    return versioned(answer).value;
  }

  async #page(query: ListQuery, cursor: string | null, options: RequestOptions): Promise<Page> {
    const given = Object.entries({ ...query, cursor }).filter(([, value]) => value !== undefined && value !== null);
    const search = given.length === 0 ? "" : `?${new URLSearchParams(given.map(([name, value]) => [name, `${value}`]))}`;
    const answer = await this.#send("GET", search, options);
    if (!answer.response.ok || !Array.isArray(answer.body)) throw new Problem(answer.response, answer.body);
    const next = cursorOf(answer.response);
    return {
      tasks: answer.body,
      next: next === null ? null : (again = {}) => this.#page(query, next, again),
      etag: etagOf(answer.response),
    };
  }

  /**
   * The task after a write. A repeated write under a precondition may be rejected because its first attempt
   * was carried out: when the task is what was asked for, nothing is lost and nothing is left to do.
   */
  async #written(answer: Answer, id: number, change: TaskChange, { signal }: WriteOptions): Promise<Versioned<Task>> {
    if (answer.response.status === 412 && answer.uncertain) {
      const present = await this.get(id, { signal });
      if (has(present.value, change)) return present;
    }
    return versioned(answer);
  }

  #send(method: string, path: string, { signal }: RequestOptions, sent: Partial<Outgoing> = {}): Promise<Answer> {
    const { headers = {}, body = null, retries = this.#retries } = sent;
    const type = body === null ? {} : { "Content-Type": "application/json" };
    return send(
      this.#connection,
      { method, url: `${this.#tasks}${path}`, headers: { ...type, ...headers }, body, retries },
      signal,
    );
  }
}

function conditional({ etag }: WriteOptions, change?: TaskChange): Pick<Outgoing, "headers" | "body"> {
  return {
    headers: etag === undefined ? {} : { "If-Match": etag },
    body: change === undefined ? null : JSON.stringify(change),
  };
}

function versioned({ response, body }: Answer): Versioned<Task> {
  if (!response.ok || !isTask(body)) throw new Problem(response, body);
  return { value: body, etag: etagOf(response) };
}

/** Whether it is the service's answer, and not the start page of a web server that answers every path. */
function isTask(body: unknown): body is Task {
  return typeof body === "object" && body !== null && "id" in body && "completed" in body;
}

function etagOf(response: Response): string {
  return response.headers.get("ETag") ?? "";
}

/**
 * The cursor in the `Link` to the next page (RFC 8288); null on the last.
 *
 * Only the cursor is taken from it, so a link can take neither the token nor the request to another address.
 */
function cursorOf(response: Response): string | null {
  const link = /<([^>]*)>; rel="next"/.exec(response.headers.get("Link") ?? "");
  return link?.[1] === undefined ? null : new URL(link[1], "http://localhost").searchParams.get("cursor");
}

function has(task: Task, { title, description, completed }: TaskChange): boolean {
  return (
    (title === undefined || title.trim() === task.title) &&
    (description === undefined || description === task.description) &&
    (completed === undefined || completed === task.completed)
  );
}

/** 32 random digits. `crypto.randomUUID` would not do: it is missing where a page does not come over HTTPS. */
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
