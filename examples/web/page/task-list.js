/** The list: pages as the reader scrolls, and writes that show at once and are taken back when they fail. */

import { Problem } from "todo-api-client";
import { Undecided, save } from "./conflict.js";
import { isOutage } from "./connection.js";
import { say } from "./messages.js";
import { TaskRow } from "./task-row.js";

const RETRY_MILLISECONDS = 10_000;
const PAGE = 30;
const LONGEST_PAGE = 1000;
const NEARLY_THERE = "600px";
const EMPTY = {
  all: ["A clean slate", "Write down the first thing that needs doing."],
  pending: ["All done", "Nothing is waiting for you."],
  completed: ["Nothing completed yet", "What you tick off gathers here."],
};

export class TaskList {
  #client;
  #explain;
  #restore;
  #shown;
  #state;
  #more;
  #count;
  #query = {};
  #rows = new Map();
  /** Ids are never used again, so a list from before the deletion cannot bring one back. */
  #deleted = new Set();
  #next = null;
  #loads = 0;
  #loading = false;
  #retry;
  #nearEnd;

  /**
   * @param explain says why something did not work
   * @param restore makes a task again
   */
  constructor(main, client, { explain, restore, signal }) {
    this.#client = client;
    this.#explain = explain;
    this.#restore = restore;
    this.#shown = main.querySelector(".shown");
    this.#state = main.querySelector(".state");
    this.#more = main.querySelector(".more button");
    this.#count = main.querySelector(".more span");
    this.#state.querySelector("button").addEventListener("click", () => this.refresh());
    this.#more.addEventListener("click", () => this.#loadMore());
    this.#nearEnd = new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && this.#loadMore(), {
      rootMargin: NEARLY_THERE,
    });
    signal.addEventListener("abort", () => this.#close());
  }

  /** Show what this query finds, from its beginning. */
  load(query) {
    this.#query = query;
    return this.#load(PAGE);
  }

  /** Look whether something is new, as far as the reader has come. */
  refresh() {
    return this.#load(Math.min(Math.max(this.#rows.size, PAGE), LONGEST_PAGE));
  }

  /** Whether a task is among those the tools ask for. */
  fits({ title, description, completed }) {
    const { status, search } = this.#query;
    const text = `${title}\n${description ?? ""}`.toLowerCase();
    return (status === "all" || (status === "completed") === completed) && text.includes(search.toLowerCase());
  }

  /** Show a new task on top, wherever its place is: people look for what they just wrote. */
  add(task, etag) {
    if (this.#rows.has(task.id)) return;
    this.#shown.prepend(this.#row(task, etag).element);
    this.#settle();
  }

  async #load(limit) {
    clearTimeout(this.#retry);
    const load = ++this.#loads;
    this.#loading = true;
    this.#shown.ariaBusy = "true";
    const page = await this.#client.list({ ...this.#query, limit }).catch((error) => error);
    if (load !== this.#loads) return;
    this.#loading = false;
    this.#shown.ariaBusy = "false";
    if (page instanceof Error) this.#showFailure(page);
    else this.#arrange(page);
  }

  async #loadMore() {
    const [load, next] = [this.#loads, this.#next];
    if (next === null || this.#loading) return;
    this.#loading = true;
    try {
      const page = await next();
      if (load !== this.#loads) return;
      for (const task of page.tasks) {
        if (!this.#rows.has(task.id) && !this.#deleted.has(task.id)) this.#shown.append(this.#row(task).element);
      }
      [this.#next, this.#loading] = [page.next, false];
      this.#draw();
    } catch (error) {
      if (load !== this.#loads) return;
      this.#loading = false;
      this.#explain(error, "The next tasks could not be loaded.");
    }
  }

  /** Bring the list into the order of a page, moving little and keeping the focus where it is. */
  #arrange({ tasks, next }) {
    this.#next = next;
    const focused = document.activeElement;
    const present = tasks.filter(({ id }) => !this.#deleted.has(id));
    const ids = new Set(present.map(({ id }) => id));
    for (const [id, row] of this.#rows) if (!ids.has(id) && !row.editing && row.writes === 0) this.#take(row);
    let place = this.#shown.firstElementChild;
    for (const task of present) {
      const row = this.#rows.get(task.id) ?? this.#row(task);
      row.refresh(task);
      if (row.element === place) place = place.nextElementSibling;
      else this.#shown.insertBefore(row.element, place);
    }
    if (focused !== document.activeElement) focused.focus({ preventScroll: true });
    this.#draw();
  }

  #row(task, etag = null) {
    const row = new TaskRow(task, etag, {
      complete: (...given) => this.#complete(...given),
      save: (...given) => this.#save(...given),
      remove: (...given) => this.#remove(...given),
    });
    this.#rows.set(task.id, row);
    return row;
  }

  async #complete(row, completed) {
    const shown = { ...row.task, completed };
    try {
      await row.optimistically(shown, () => this.#client.complete(row.task.id, completed));
    } catch (error) {
      return this.#failed(row, error, completed ? "The task was not completed." : "The task was not reopened.");
    }
    if (!this.fits(row.task) && row.writes === 0) {
      this.#takeWithFocus(row);
      say(`${completed ? "Completed" : "Reopened"} “${row.task.title}”.`);
    }
    return this.#settle();
  }

  /** @param base the task as it was when its editor opened */
  async #save(row, base, fields) {
    try {
      await row.optimistically({ ...row.task, ...fields }, () => save(this.#client, row, base, fields));
      this.#settle();
    } catch (error) {
      if (error instanceof Undecided) row.edit(fields);
      else if (error.status === 404) this.#offerToRestore(row, fields);
      else if (error instanceof Problem && error.status === 400) row.edit(fields, error.detail);
      else {
        row.edit(fields);
        this.#explain(error, "The change was not saved; it is still in the editor.");
      }
    }
  }

  async #remove(row) {
    this.#focusBeside(row);
    row.element.hidden = true;
    try {
      const removed = await row.inTurn(() => this.#client.remove(row.task.id));
      const { title, description, completed } = removed ?? row.task;
      this.#forget(row);
      say(`Deleted “${title}”.`, { label: "Undo", run: () => this.#restore({ title, description, completed }) });
    } catch (error) {
      if (error.status === 404) return this.#forget(row);
      row.element.hidden = false;
      this.#failed(row, error, "The task was not deleted.");
    }
  }

  #offerToRestore(row, { title, description }) {
    const { completed } = row.task;
    this.#forget(row);
    say(`“${title}” was deleted elsewhere.`, {
      label: "Bring it back",
      run: () => this.#restore({ title, description, completed }),
    });
  }

  #failed(row, error, what) {
    if (error.status === 404) {
      this.#forget(row);
      say(`“${row.task.title}” was deleted elsewhere.`);
    } else {
      this.#explain(error, what);
    }
  }

  #forget(row) {
    this.#deleted.add(row.task.id);
    this.#takeWithFocus(row);
    this.#settle();
  }

  #takeWithFocus(row) {
    if (row.element.contains(document.activeElement)) this.#focusBeside(row);
    this.#take(row);
  }

  #take(row) {
    this.#rows.delete(row.task.id);
    row.element.remove();
  }

  #focusBeside({ element }) {
    const shown = [...this.#shown.children].filter((other) => other === element || !other.hidden);
    const place = shown.indexOf(element);
    const neighbour = shown[place + 1] ?? shown[place - 1];
    const target = neighbour?.classList.contains("editing") ? "[name=title]" : "[type=checkbox]";
    (neighbour?.querySelector(target) ?? document.querySelector("#new-title")).focus();
  }

  /** After a write: a list that was asked for before it may not know of it. */
  #settle() {
    this.#draw();
    if (this.#loading) this.refresh();
  }

  #draw() {
    const number = this.#rows.size;
    const [title, text] = this.#query.search
      ? ["Nothing found", `No task says “${this.#query.search}”.`]
      : EMPTY[this.#query.status];
    this.#showState(number === 0 && !this.#loading ? title : "", text);
    this.#more.hidden = this.#next === null;
    this.#count.textContent = this.#next !== null || number === 0 ? "" : `${number} ${number === 1 ? "task" : "tasks"}`;
    // Observed anew, or an end that is still in view would not be reported again.
    this.#nearEnd.disconnect();
    if (this.#next !== null) this.#nearEnd.observe(this.#more);
  }

  #showFailure(error) {
    if (this.#rows.size === 0) {
      this.#showState("Your tasks could not be loaded", "They are safe. This page goes on trying.", true);
    }
    if (isOutage(error)) this.#retry = setTimeout(() => this.refresh(), RETRY_MILLISECONDS);
    else this.#explain(error, "The list may be out of date.");
  }

  #close() {
    this.#loads++;
    clearTimeout(this.#retry);
    this.#nearEnd.disconnect();
  }

  #showState(title, text, again = false) {
    this.#state.hidden = title === "";
    this.#state.querySelector("h2").textContent = title;
    this.#state.querySelector("p").textContent = text;
    this.#state.querySelector("button").hidden = !again;
  }
}
