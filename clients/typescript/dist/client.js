/** `TodoClient`: one user's tasks. */
import createClient from "openapi-fetch";
import { Delivery } from "./delivery.js";
import { Problem } from "./problem.js";
const TASKS = "/api/{user_id}/tasks";
const TASK = "/api/{user_id}/tasks/{id}";
const COMPLETE = "/api/{user_id}/tasks/{id}/complete";
/**
 * The signed-in user's tasks.
 *
 * Every method rejects with a `Problem` when the service refuses, and as `fetch` does (a `TypeError`, or a
 * `DOMException` named "TimeoutError") when no answer came, after the repetitions that are safe.
 */
export class TodoClient {
    #api;
    #user;
    #token;
    #fetch;
    #retries;
    constructor({ baseUrl, userId, token, fetch = globalThis.fetch, retries = 5 }) {
        this.#api = createClient({ baseUrl });
        this.#user = { user_id: userId };
        this.#token = token;
        this.#fetch = fetch;
        this.#retries = retries;
    }
    /** The first page of the tasks, newest first unless asked otherwise. */
    list(query = {}) {
        return this.#page(query, null);
    }
    /** Every task of a list, fetched page by page as the loop gets there. */
    async *all(query = {}) {
        let page = await this.list(query);
        while (page !== null) {
            yield* page.tasks;
            page = page.next === null ? null : await page.next();
        }
    }
    async get(id) {
        const params = { path: { ...this.#user, id } };
        return versioned(await this.#api.GET(TASK, { params, fetch: this.#delivery().send }));
    }
    /**
     * Create a task, once, however often the request is repeated.
     *
     * @param key the name of this create (`Idempotency-Key`). Keep it where a create may be repeated later,
     *   by this client or by the next page load; without one, each call creates a task of its own.
     */
    async create(fields, key = newKey()) {
        const answer = await this.#api.POST(TASKS, {
            params: { path: this.#user, header: { "Idempotency-Key": key } },
            body: fields,
            fetch: this.#delivery().send,
        });
        return versioned(answer);
    }
    /**
     * Change a task.
     *
     * @param etag the version that the change is made to. When the task is another by now, the `Problem` has
     *   status 412 and nothing was changed. Without it the last writer wins, field by field.
     */
    async update(id, change, etag) {
        const delivery = this.#delivery();
        const answer = await this.#api.PUT(TASK, { params: this.#params(id, etag), body: change, fetch: delivery.send });
        return this.#written(answer, delivery, id, change);
    }
    /**
     * Complete a task, or reopen it with `false`.
     *
     * Without `completed` it toggles. A toggle is never repeated: when it rejects for want of an answer,
     * look at the task.
     */
    async complete(id, completed, etag) {
        const params = this.#params(id, etag);
        if (completed === undefined) {
            return versioned(await this.#api.PATCH(COMPLETE, { params, fetch: this.#delivery(0).send }));
        }
        const delivery = this.#delivery();
        const answer = await this.#api.PATCH(COMPLETE, { params, body: { completed }, fetch: delivery.send });
        return this.#written(answer, delivery, id, { completed });
    }
    /**
     * Delete a task. Answers the task as it was: `create` with its fields undoes it.
     *
     * Null means that the task is gone, but that an answer was lost on the way and the task with it.
     */
    async remove(id, etag) {
        const delivery = this.#delivery();
        const answer = await this.#api.DELETE(TASK, { params: this.#params(id, etag), fetch: delivery.send });
        if (answer.response.status === 404 && delivery.uncertain)
            return null;
        return versioned(answer).value;
    }
    async #page(query, cursor) {
        const { data, error, response } = await this.#api.GET(TASKS, {
            params: { path: this.#user, query: { ...query, cursor } },
            fetch: this.#delivery().send,
        });
        if (data === undefined)
            throw new Problem(response, error);
        const next = cursorOf(response);
        return { tasks: data, next: next === null ? null : () => this.#page(query, next), etag: etagOf(response) };
    }
    /**
     * The task after a write. A repeated write under a precondition may be refused because its first attempt
     * was carried out: when the task is what was asked for, nothing is lost and nothing is left to do.
     */
    async #written(answer, delivery, id, change) {
        if (answer.response.status === 412 && delivery.uncertain) {
            const present = await this.get(id);
            if (has(present.value, change))
                return present;
        }
        return versioned(answer);
    }
    #delivery(repeats = this.#retries) {
        return new Delivery(this.#token, this.#fetch, repeats);
    }
    #params(id, etag) {
        return { path: { ...this.#user, id }, header: { "If-Match": etag ?? null } };
    }
}
function versioned({ data, error, response }) {
    if (data === undefined)
        throw new Problem(response, error);
    return { value: data, etag: etagOf(response) };
}
function etagOf(response) {
    return response.headers.get("ETag") ?? "";
}
/** The cursor in the `Link` to the next page (RFC 8288); null on the last. */
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
