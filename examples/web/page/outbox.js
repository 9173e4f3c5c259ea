/**
 * New tasks on their way to the service. They are kept in the browser until it has answered, each with the
 * key that makes repeating it harmless (`Idempotency-Key`), so neither a lost answer nor a reload doubles one.
 */

import { Problem } from "todo-api-client";

const RETRY_MILLISECONDS = 5_000;

export class Outbox {
  #storage;
  #client;
  #connection;
  #events;
  #sending = false;
  #closed = false;
  #timer;

  /**
   * @param events `changed(entries)` after every change, `sent(versioned)` when a task is made,
   *   `refused(fields, error)` when the service will never take it, `failed(error)` when only waiting helps
   */
  constructor(userId, client, connection, events) {
    this.#storage = `todo.outbox.${userId}`;
    this.#client = client;
    this.#connection = connection;
    this.#events = events;
  }

  /** Keep a new task and send it. */
  add(fields) {
    const key = Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-");
    this.#write([...this.#read(), { key, fields }]);
    return this.send();
  }

  /** Send what is kept, oldest first. What cannot be sent now is tried again later. */
  async send() {
    this.#events.changed(this.#read());
    if (this.#sending || this.#closed || this.#connection.offline) return;
    this.#sending = true;
    clearTimeout(this.#timer);
    try {
      for (let [entry] = this.#read(); entry !== undefined; [entry] = this.#read()) await this.#deliver(entry);
    } catch (error) {
      this.#timer = setTimeout(() => this.send(), RETRY_MILLISECONDS);
      this.#events.failed(error);
    } finally {
      this.#sending = false;
    }
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #deliver({ key, fields }) {
    try {
      const created = await this.#client.create(fields, { idempotencyKey: key });
      this.#drop(key);
      this.#events.sent(created);
    } catch (error) {
      if (!(error instanceof Problem) || error.status === 401 || error.status >= 500) throw error;
      this.#drop(key);
      this.#events.refused(fields, error);
    }
  }

  #drop(key) {
    this.#write(this.#read().filter((entry) => entry.key !== key));
    this.#events.changed(this.#read());
  }

  #read() {
    return JSON.parse(localStorage.getItem(this.#storage) ?? "[]");
  }

  #write(entries) {
    localStorage.setItem(this.#storage, JSON.stringify(entries));
  }
}
