/** The list on the screen: what the query finds, drawn row by row, and what can be done to many tasks at once. */

import { say } from "./messages.js";
import { find } from "./query.js";
import { TaskRow } from "./task-row.js";
import { count } from "./text.js";

/** How many rows are drawn before somebody scrolls, and with each time they come near the end. */
const ROWS = 100;
const NEAR = "1500px";
const EMPTY = {
  all: ["A clean slate", "Write down the first thing that needs doing."],
  pending: ["All done", "Nothing is waiting for you."],
  completed: ["Nothing completed yet", "What you tick off gathers here."],
};
/** The order by last change is hard to follow without the time of it. */
const TIMES = { changed: "updated_at", oldest: "created_at" };

export class TaskList {
  #store;
  #connection;
  #shown;
  #state;
  #bulk;
  #toggleAll;
  #left;
  #clear;
  #counts;
  #query;
  #rows = new Map();
  #found = [];
  #limit = ROWS;
  #nearEnd;

  constructor(main, store, { connection, signal }) {
    this.#store = store;
    this.#connection = connection;
    this.#shown = main.querySelector(".shown");
    this.#state = main.querySelector(".state");
    this.#bulk = main.querySelector(".bulk");
    this.#toggleAll = main.querySelector("#toggle-all");
    this.#left = main.querySelector(".left");
    this.#clear = main.querySelector(".clear");
    this.#counts = main.querySelectorAll("[data-count]");
    this.#state.querySelector("button").addEventListener("click", () => store.refresh());
    this.#toggleAll.addEventListener("change", () => this.#completeAll(this.#toggleAll.checked));
    this.#clear.addEventListener("click", () => this.#clearCompleted());
    this.#nearEnd = new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && this.#showMore(), { rootMargin: NEAR });
    this.#nearEnd.observe(main.querySelector(".end"));
    for (const type of ["online", "offline"]) window.addEventListener(type, () => this.draw(), { signal });
    signal.addEventListener("abort", () => this.#nearEnd.disconnect());
  }

  /** Show what a query finds, from its beginning. */
  show(query) {
    this.#query = query;
    this.#limit = ROWS;
    this.draw();
  }

  /** Show the row of a task, if the query finds it. */
  reveal(ref) {
    const place = this.#found.findIndex((entry) => entry.ref === ref);
    if (place < 0) return null;
    this.#limit = Math.max(this.#limit, place + 1);
    this.draw();
    const row = this.#rows.get(ref);
    row.element.scrollIntoView({ block: "nearest" });
    return row;
  }

  /** Bring the rows into the order of what is found, moving little and keeping the focus where it is. */
  draw() {
    const { shown, counts } = find(this.#store.tasks, this.#query);
    this.#found = shown;
    const visible = shown.slice(0, this.#limit);
    const focused = document.activeElement;
    const beside = this.#removeAllBut(new Set(visible.map(({ ref }) => ref)));
    const badge = this.#connection.offline ? "Waiting for the connection" : "Saving…";
    let place = this.#shown.firstElementChild;
    for (const entry of visible) {
      const row = this.#rows.get(entry.ref) ?? this.#row(entry.ref);
      if (row.element === place) place = place.nextElementSibling;
      else this.#shown.insertBefore(row.element, place);
      row.element.classList.toggle("unsent", entry.unsent);
      row.draw(entry.task, entry.unsent ? badge : "", TIMES[this.#query.order]);
    }
    if (beside !== null) beside.focus();
    else if (focused !== document.activeElement) focused.focus({ preventScroll: true });
    this.#drawCounts(counts);
    this.#drawState();
  }

  /** Take rows away, unless somebody types in them; answers what gets the focus, if one of them had it. */
  #removeAllBut(refs) {
    const stays = (element) => refs.has(element.row.ref) || element.row.editing;
    const leaving = [...this.#shown.children].filter((element) => !stays(element));
    const holder = leaving.find((element) => element.contains(document.activeElement));
    const beside = holder === undefined ? null : focusTarget(holder, stays);
    for (const element of leaving) {
      this.#rows.delete(element.row.ref);
      element.remove();
    }
    return beside;
  }

  #row(ref) {
    const row = new TaskRow(ref, {
      complete: ({ ref, task }, completed) => this.#complete([{ ref, task }], completed),
      save: ({ ref }, base, fields) => this.#store.edit(ref, base, fields),
      discard: (own, fields) => say("Your changes were discarded.", { label: "Undo", run: () => own.edit(fields) }),
      remove: ({ ref, task }) => this.#remove([{ ref, task }]),
    });
    row.element.row = row;
    this.#rows.set(ref, row);
    return row;
  }

  #complete(entries, completed) {
    const refs = entries.map(({ ref }) => ref);
    this.#store.complete(refs, completed);
    say(`${completed ? "Completed" : "Reopened"} ${named(entries)}.`, {
      label: "Undo",
      run: () => this.#store.complete(refs, !completed),
    });
  }

  #completeAll(completed) {
    this.#complete(this.#found.filter(({ task }) => task.completed !== completed), completed);
  }

  #clearCompleted() {
    this.#remove(this.#found.filter(({ task }) => task.completed));
  }

  /** Tasks are deleted when the offer to take it back is over; so they come back as they were. */
  #remove(entries) {
    const refs = entries.map(({ ref }) => ref);
    this.#store.hold(...refs);
    say(`Deleted ${named(entries)}.`, {
      label: "Undo",
      run: () => this.#store.release(...refs),
      lapsed: () => this.#store.commit(...refs),
    });
  }

  #drawCounts(counts) {
    for (const element of this.#counts) element.textContent = counts[element.dataset.count];
    const found = this.#found.length;
    const completed = this.#found.filter(({ task }) => task.completed).length;
    this.#bulk.hidden = found === 0;
    this.#toggleAll.checked = found > 0 && completed === found;
    this.#left.textContent = `${counts.pending} left`;
    this.#clear.hidden = completed === 0;
  }

  #drawState() {
    const { loaded, failure } = this.#store;
    const waiting = !loaded && failure === null;
    this.#shown.ariaBusy = String(waiting);
    const [title, text] =
      failure !== null && !loaded
        ? ["Your tasks could not be loaded", "They are safe. This page goes on trying."]
        : this.#query.search.trim() !== ""
          ? ["Nothing found", `No task says “${this.#query.search.trim()}”.`]
          : EMPTY[this.#query.show];
    this.#state.hidden = this.#shown.childElementCount > 0 || waiting;
    this.#state.querySelector("h2").textContent = title;
    this.#state.querySelector("p").textContent = text;
    this.#state.querySelector("button").hidden = failure === null || loaded;
  }

  #showMore() {
    if (this.#limit >= this.#found.length) return;
    this.#limit += ROWS;
    this.draw();
    // Observed anew, or an end that is still near would not be reported again.
    const end = this.#shown.parentElement.querySelector(".end");
    this.#nearEnd.unobserve(end);
    this.#nearEnd.observe(end);
  }
}

/** Beside a row that leaves: the next one that stays, or the one before, or where new tasks are written. */
function focusTarget(element, stays) {
  for (const step of ["nextElementSibling", "previousElementSibling"]) {
    let neighbour = element[step];
    while (neighbour !== null && !stays(neighbour)) neighbour = neighbour[step];
    if (neighbour !== null) return neighbour.querySelector(neighbour.row.editing ? "[name=title]" : "[type=checkbox]");
  }
  return document.querySelector("#new-title");
}

function named(entries) {
  return entries.length === 1 ? `“${entries[0].task.title}”` : count(entries.length, "task");
}
