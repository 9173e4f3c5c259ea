/**
 * Changes on their way to the service: tasks that are added, edited, completed and deleted.
 *
 * They are stored in the browser until the service has answered, so neither a lost connection nor a reload
 * loses one. A create carries the key that makes repeating it harmless (`Idempotency-Key`); the others may be
 * repeated as they are.
 */

import { Problem } from "todo-api-client";
import { Conflict, edit } from "./conflict.js";
import { read, write } from "./storage.js";

const RETRY_MILLISECONDS = 5_000;
const MAX_CONCURRENT_REQUESTS = 6;
/** After these, the same request may succeed later; with 401, when somebody has signed in again. */
const TEMPORARY = new Set([401, 408, 429, 502, 503, 504]);

const SEND = {
  create: (client, { key, fields }) => client.create(fields, { idempotencyKey: key }),
  edit: (client, entry, known) => edit(client, known, entry),
  complete: (client, { ref, fields }) => client.complete(Number(ref), fields.completed),
  remove: (client, { ref }) => client.remove(Number(ref)),
};

export class Outbox {
  #userId;
  #client;
  #connection;
  #events;
  #timer;
  #closed = false;

  /**
   * @param events `known(ref)`: the task and the entity tag that a change is made to; `changed()`: after every
   *   change of the entries; `sent(entry, result)`, before it; `rejected(entry, error)`: the service will never
   *   take it; `failed(error)`: only waiting helps
   */
  constructor(userId, client, connection, events) {
    this.#userId = userId;
    this.#client = client;
    this.#connection = connection;
    this.#events = events;
  }

  /**
   * The changes that are not sent yet, oldest first: `{ key, kind, ref, fields, … }`.
   *
   * `ref` names the task: by its id, or by the key of its create, as long as it has no id.
   */
  get entries() {
    return read(this.#userId, "outbox", []);
  }

  /** Keep changes and send them. */
  add(...changes) {
    const entries = changes.map((change) => {
      const key = newKey();
      return { key, ref: key, at: new Date().toISOString(), ...change };
    });
    this.#write([...this.entries, ...entries]);
    return this.send();
  }

  /** Replace what is known of one change, or drop it with `null`. */
  settle(key, entry) {
    this.#write(this.entries.flatMap((present) => (present.key === key ? (entry ?? []) : present)));
    return this.send();
  }

  /** Send what there is. What cannot be sent now is tried again later. */
  async send() {
    if (this.#closed || this.#connection.offline || this.entries.length === 0) return;
    clearTimeout(this.#timer);
    try {
      await oneTab(`todo.outbox.${this.#userId}`, () => this.#sendAll());
    } catch (error) {
      if (this.#closed) return;
      this.#timer = setTimeout(() => this.send(), RETRY_MILLISECONDS);
      this.#events.failed(error);
    }
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #sendAll() {
    for (let batch = this.#sendable(); batch.length > 0; batch = this.#sendable()) {
      const outcomes = await Promise.allSettled(batch.map((entry) => this.#sendOne(entry)));
      if (this.#closed) return;
      this.#settleAll(outcomes.flatMap(({ value }) => value ?? []));
      const failed = outcomes.find(({ status }) => status === "rejected");
      if (failed !== undefined) throw failed.reason;
    }
  }

  /** The oldest change of each task, unless it waits for a decision; creates one by one, in their order. */
  #sendable() {
    const seen = new Set();
    const first = this.entries.filter(({ kind, ref, conflict }) => {
      const lanes = kind === "create" ? [ref, "create"] : [ref];
      const free = lanes.every((lane) => !seen.has(lane));
      for (const lane of lanes) seen.add(lane);
      return free && conflict === undefined;
    });
    return first.slice(0, MAX_CONCURRENT_REQUESTS);
  }

  /** What came of it; rejects when it has to be sent again. */
  async #sendOne(entry) {
    try {
      return { entry, result: await SEND[entry.kind](this.#client, entry, this.#events.known(entry.ref)) };
    } catch (error) {
      if (error instanceof Conflict) return { entry, conflict: error.present };
      if (!(error instanceof Problem) || TEMPORARY.has(error.status)) throw error;
      return { entry, error };
    }
  }

  /** One write and one drawing for all: a thousand tasks may be completed at once. */
  #settleAll(outcomes) {
    this.#store(outcomes.reduce(settled, this.entries));
    for (const { entry, result } of outcomes) if (result !== undefined) this.#events.sent(entry, result);
    this.#events.changed();
    for (const { entry, error } of outcomes) if (error !== undefined) this.#events.rejected(entry, error);
  }

  #write(entries) {
    this.#store(entries);
    this.#events.changed();
  }

  #store(entries) {
    write(this.#userId, "outbox", entries);
  }
}

/** What is left of the changes after one of them was answered. */
function settled(entries, { entry, result, conflict, error }) {
  if (conflict !== undefined) return entries.map((other) => (other.key === entry.key ? { ...entry, conflict } : other));
  const left = entries.filter(({ key }) => key !== entry.key);
  const isDoomed = error !== undefined && (entry.kind === "create" || error.status === 404);
  if (isDoomed) return left.filter(({ ref }) => ref !== entry.ref); // there is no such task to change
  if (error !== undefined || entry.kind !== "create") return left;
  return left.map((other) => (other.ref === entry.ref ? { ...other, ref: String(result.value.id) } : other));
}

/** Tabs share one outbox: one of them sends at a time (which needs HTTPS, or localhost). */
function oneTab(name, run) {
  return navigator.locks === undefined ? run() : navigator.locks.request(name, run);
}

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-");
}
