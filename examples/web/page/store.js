/**
 * The tasks of a user: what the service said last, and on top of it what has not been sent yet.
 *
 * Whatever is changed here shows at once; when the service rejects it, it is simply no longer on top.
 */

import { isOutage } from "./connection.js";
import { Outbox } from "./outbox.js";
import { read, write } from "./storage.js";

const PAGE = 1000;
const RETRY_MILLISECONDS = 10_000;
const SNAPSHOT_MILLISECONDS = 500;
/** Another tab's changes in quick succession are looked up once. */
const TOGETHER_MILLISECONDS = 200;
/** A task without an id is newer than all others. */
const NOT_YET = "9999-";

/** Dispatches "change" when there is something else to show, "rejected" and "failed" with details. */
export class Store extends EventTarget {
  #userId;
  #client;
  #connection;
  #signal;
  #outbox;
  #channel;
  /** By id: the task as the service answered it, and the entity tag of that version where it is known. */
  #known = new Map();
  /** Deleted, unless somebody takes it back while they can. */
  #held = new Set();
  /** Ids are never used again, so a list from before the deletion cannot bring one back. */
  #deleted = new Set();
  /** What the page calls a task that was made here, before and after it has an id. */
  #ids = new Map();
  #names = new Map();
  #etag = null;
  #loads = 0;
  #retry;
  #snapshot;
  /** Whether a list has come from the service, and what the last attempt failed with. */
  loaded = false;
  failure = null;

  constructor({ userId, client, connection, signal }) {
    super();
    this.#userId = userId;
    this.#client = client;
    this.#connection = connection;
    this.#signal = signal;
    for (const task of read(userId, "tasks", [])) this.#known.set(String(task.id), { task, etag: null });
    this.#outbox = new Outbox(userId, client, connection, {
      known: (ref) => this.#known.get(ref),
      changed: () => this.#changed(),
      sent: (entry, result) => this.#sent(entry, result),
      rejected: (entry, error) => this.#rejected(entry, error),
      failed: (error) => this.#emit("failed", { error }),
    });
    this.#channel = new BroadcastChannel(`todo.${userId}`);
    this.#channel.addEventListener("message", ({ data }) => this.#heard(data));
    this.#listen();
  }

  #listen() {
    const signal = this.#signal;
    const visible = () => document.visibilityState === "visible" && this.refresh();
    this.#connection.addEventListener("back", () => (this.#outbox.send(), this.refresh()), { signal });
    window.addEventListener("focus", visible, { signal });
    document.addEventListener("visibilitychange", visible, { signal });
    window.addEventListener("pagehide", () => (this.commit(...this.#held), this.#save()), { signal });
    signal.addEventListener("abort", () => this.#close());
  }

  /** Every task as the page shows it: `{ ref, task, unsent }`. */
  get tasks() {
    const shown = new Map();
    for (const [ref, { task }] of this.#known) shown.set(ref, { ref: this.#names.get(ref) ?? ref, task, unsent: false });
    for (const entry of this.#outbox.entries) apply(shown, entry);
    for (const ref of this.#held) shown.delete(ref);
    return [...shown.values()];
  }

  /** How many changes have not been sent. */
  get unsent() {
    return this.#outbox.entries.length + this.#held.size;
  }

  /** Edits that need a decision, each with `conflict`: the task and entity tag as they are now. */
  get conflicts() {
    return this.#outbox.entries.filter(({ conflict }) => conflict !== undefined).map((entry) => this.#asShown(entry));
  }

  create(fields) {
    return this.#outbox.add({ kind: "create", fields });
  }

  /** @param base the fields as they were when the editor opened */
  edit(ref, base, fields) {
    return this.#outbox.add({ kind: "edit", ref: this.#ref(ref), base, fields });
  }

  complete(refs, completed) {
    return this.#outbox.add(...refs.map((ref) => ({ kind: "complete", ref: this.#ref(ref), fields: { completed } })));
  }

  /** Take tasks away from the screen; `commit` deletes them, `release` brings them back. */
  hold(...refs) {
    for (const ref of refs) this.#held.add(this.#ref(ref));
    this.#changed();
  }

  release(...refs) {
    for (const ref of refs) this.#held.delete(this.#ref(ref));
    this.#changed();
  }

  commit(...refs) {
    const due = refs.map((ref) => this.#ref(ref)).filter((ref) => this.#held.delete(ref));
    if (due.length > 0) this.#outbox.add(...due.map((ref) => ({ kind: "remove", ref })));
  }

  /** Answer a conflict: save "mine" over what is there now, or keep "theirs". */
  decide(entry, choice) {
    const { conflict, ...edit } = entry;
    this.#accept(conflict);
    const again = { ...edit, ref: this.#ref(edit.ref), base: conflict.value };
    return this.#outbox.settle(entry.key, choice === "mine" ? again : null);
  }

  /** Send everything that was done, also what could still be taken back. */
  async flush() {
    this.commit(...this.#held);
    await this.#outbox.send();
  }

  send() {
    return this.#outbox.send();
  }

  /** Look what is new. The browser asks with `If-None-Match`, so an unchanged list is not sent again. */
  async refresh() {
    clearTimeout(this.#retry);
    const load = ++this.#loads;
    const before = [...this.#known.keys()];
    try {
      const { tasks, etag } = await this.#fetchAll(load);
      if (load !== this.#loads) return;
      const news = !this.loaded || etag !== this.#etag || this.failure !== null;
      [this.loaded, this.failure, this.#etag] = [true, null, etag];
      if (news) this.#merge(tasks, before);
    } catch (error) {
      if (load !== this.#loads || this.#signal.aborted) return;
      this.failure = error;
      if (isOutage(error)) this.#retry = setTimeout(() => this.refresh(), RETRY_MILLISECONDS);
      else this.#emit("failed", { error });
      this.#emit("change");
    }
  }

  async #fetchAll(load) {
    const options = { signal: this.#signal };
    let page = await this.#client.list({ limit: PAGE }, options);
    const tasks = [...page.tasks];
    const etags = [page.etag];
    while (page.next !== null && load === this.#loads) {
      page = await page.next(options);
      tasks.push(...page.tasks);
      etags.push(page.etag);
    }
    return { tasks, etag: etags.join() };
  }

  /** @param before the ids that were known when the list was asked for: those that it lacks are gone */
  #merge(tasks, before) {
    const listed = new Set(tasks.map(({ id }) => String(id)));
    for (const ref of before) if (!listed.has(ref)) this.#known.delete(ref);
    for (const task of tasks) {
      const known = this.#known.get(String(task.id));
      if (this.#deleted.has(String(task.id))) continue;
      if (known === undefined || task.updated_at > known.task.updated_at) this.#known.set(String(task.id), { task, etag: null });
    }
    this.#changed(false);
  }

  #accept({ value, etag }) {
    this.#known.set(String(value.id), { task: value, etag });
  }

  #sent(entry, result) {
    this.#channel.postMessage({ entry, result });
    this.#take(entry, result);
  }

  #take({ kind, key, ref }, result) {
    if (kind === "remove") this.#remove(ref);
    else this.#accept(result);
    if (kind === "create") this.#name(key, String(result.value.id));
  }

  #rejected(entry, error) {
    const { task } = this.#known.get(entry.ref) ?? {};
    if (error.status === 404) this.#remove(entry.ref);
    this.#changed();
    if (entry.kind !== "remove" || error.status !== 404) this.#emit("rejected", { entry: this.#asShown(entry), task, error });
  }

  #remove(ref) {
    this.#deleted.add(ref);
    this.#known.delete(ref);
  }

  #name(key, id) {
    this.#ids.set(key, id);
    this.#names.set(id, key);
    if (this.#held.delete(key)) this.#held.add(id);
  }

  /** With the page's name for its task. */
  #asShown(entry) {
    return { ...entry, ref: this.#names.get(entry.ref) ?? entry.ref };
  }

  /** The reference of a task in the outbox, from what the page calls it. */
  #ref(name) {
    return this.#ids.get(name) ?? name;
  }

  /** Another tab sent something; what it says after that, is that there is something to show. */
  #heard({ entry, result }) {
    if (entry !== undefined) return this.#take(entry, result);
    this.#emit("change");
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.refresh(), TOGETHER_MILLISECONDS);
  }

  #changed(tell = true) {
    if (tell) this.#channel.postMessage({});
    clearTimeout(this.#snapshot);
    this.#snapshot = setTimeout(() => this.#save(), SNAPSHOT_MILLISECONDS);
    this.#emit("change");
  }

  /** For the next visit: what it shows until a list has come, or as long as there is no network. */
  #save() {
    try {
      write(this.#userId, "tasks", Array.from(this.#known.values(), ({ task }) => task));
    } catch {
      // No room: the next visit waits for the list.
    }
  }

  #emit(type, detail) {
    if (!this.#signal.aborted) this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #close() {
    this.#loads++;
    clearTimeout(this.#retry);
    clearTimeout(this.#snapshot);
    this.#outbox.close();
    this.#channel.close();
  }
}

function apply(shown, { kind, ref, fields, at }) {
  if (kind === "remove") return shown.delete(ref);
  const before = shown.get(ref);
  if (kind === "create") {
    const times = { created_at: NOT_YET + at, updated_at: NOT_YET + at };
    return shown.set(ref, { ref, task: { completed: false, ...fields, ...times }, unsent: true });
  }
  if (before !== undefined) shown.set(ref, { ref: before.ref, task: { ...before.task, ...fields }, unsent: true });
}
