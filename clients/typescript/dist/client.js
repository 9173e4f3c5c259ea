/** `TodoClient`: one user's tasks. */
import { Problem } from "./errors.js";
import { send } from "./request.js";
/**
 * The signed-in user's tasks.
 *
 * Every method rejects with a `Problem` when the service answers with an error, with a `NetworkError` when
 * no response came after the retries that are safe, and as the token source does when there is no token.
 */
export class TodoClient {
    #tasks;
    #connection;
    #retries;
    constructor(options) {
        const { baseUrl, userId, token, fetch = globalThis.fetch, retries = 5, timeoutSeconds = 15 } = options;
        this.#tasks = `${baseUrl.replace(/\/+$/, "")}/api/${encodeURIComponent(userId)}/tasks`;
        this.#retries = retries;
        this.#connection = { token, fetch, timeoutSeconds, onRetry: options.onRetry ?? (() => { }) };
    }
    /** The first page of the tasks, newest first unless asked otherwise. */
    list(query = {}, options = {}) {
        return this.#page(query, null, options);
    }
    /** Every task of a list, fetched page by page as the loop gets there. */
    async *all(query = {}, options = {}) {
        let page = await this.list(query, options);
        while (page !== null) {
            yield* page.tasks;
            page = page.next === null ? null : await page.next(options);
        }
    }
    /** One task. */
    async get(id, options = {}) {
        return versioned(await this.#send("GET", `/${id}`, options));
    }
    /** Create a task, once, however often the request is repeated. */
    async create(fields, options = {}) {
        const headers = { "Idempotency-Key": options.idempotencyKey ?? newKey() };
        return versioned(await this.#send("POST", "", options, { headers, body: JSON.stringify(fields) }));
    }
    /** Change a task: the fields of `change`, and no others. */
    async update(id, change, options = {}) {
        const answer = await this.#send("PUT", `/${id}`, options, conditional(options, change));
        return this.#written(answer, id, change, options);
    }
    /**
     * Complete a task, or reopen it with `false`.
     *
     * Without `completed` it toggles. A toggle is never repeated: when it rejects with a `NetworkError`, look
     * at the task.
     */
    async complete(id, completed, options = {}) {
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
    async remove(id, options = {}) {
        const answer = await this.#send("DELETE", `/${id}`, options, conditional(options));
        if (answer.response.status === 404 && answer.uncertain)
            return null;
        return versioned(answer).value;
    }
    async #page(query, cursor, options) {
        const given = Object.entries({ ...query, cursor }).filter(([, value]) => value !== undefined && value !== null);
        const search = given.length === 0 ? "" : `?${new URLSearchParams(given.map(([name, value]) => [name, `${value}`]))}`;
        const answer = await this.#send("GET", search, options);
        if (!answer.response.ok || !Array.isArray(answer.body))
            throw new Problem(answer.response, answer.body);
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
    async #written(answer, id, change, { signal }) {
        if (answer.response.status === 412 && answer.uncertain) {
            const present = await this.get(id, { signal });
            if (has(present.value, change))
                return present;
        }
        return versioned(answer);
    }
    #send(method, path, { signal }, sent = {}) {
        const { headers = {}, body = null, retries = this.#retries } = sent;
        const type = body === null ? {} : { "Content-Type": "application/json" };
        return send(this.#connection, { method, url: `${this.#tasks}${path}`, headers: { ...type, ...headers }, body, retries }, signal);
    }
}
function conditional({ etag }, change) {
    return {
        headers: etag === undefined ? {} : { "If-Match": etag },
        body: change === undefined ? null : JSON.stringify(change),
    };
}
function versioned({ response, body }) {
    if (!response.ok || !isTask(body))
        throw new Problem(response, body);
    return { value: body, etag: etagOf(response) };
}
/** Whether it is the service's answer, and not the start page of a web server that answers every path. */
function isTask(body) {
    return typeof body === "object" && body !== null && "id" in body && "completed" in body;
}
function etagOf(response) {
    return response.headers.get("ETag") ?? "";
}
/**
 * The cursor in the `Link` to the next page (RFC 8288); null on the last.
 *
 * Only the cursor is taken from it, so a link can take neither the token nor the request to another address.
 */
function cursorOf(response) {
    const link = /<([^>]*)>; rel="next"/.exec(response.headers.get("Link") ?? "");
    return link?.[1] === undefined ? null : new URL(link[1], "http://localhost").searchParams.get("cursor");
}
function has(task, { title, description, completed }) {
    return ((title === undefined || title.trim() === task.title) &&
        (description === undefined || description === task.description) &&
        (completed === undefined || completed === task.completed));
}
/** 32 random digits. `crypto.randomUUID` would not do: it is missing where a page does not come over HTTPS. */
function newKey() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
//# sourceMappingURL=client.js.map