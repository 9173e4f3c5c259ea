/** The signed-in page: its forms, its list, and what it says when the service does not take a change. */

import { Problem } from "todo-api-client";
import { listenToComposer } from "./composer.js";
import { ask, isAsking, stopAsking } from "./conflict.js";
import { say, warn } from "./messages.js";
import { readQuery, writeQuery } from "./query.js";
import { SignedOut } from "./session.js";
import { Store } from "./store.js";
import { TaskList } from "./task-list.js";

/** Where this window remembers what a user is typing. */
export const draftOf = (userId) => `todo.draft.${userId}`;

/**
 * Show the tasks of a user in `main`, until `signal` is aborted.
 *
 * @param signedOut called when the session is over
 * @returns the tasks
 */
export function showTasks(main, { userId, client, connection, signal, signedOut }) {
  main.replaceChildren(document.querySelector("#tasks-view").content.cloneNode(true));
  const tools = main.querySelector(".tools");
  const store = new Store({ userId, client, connection, signal });
  const list = new TaskList(main, store, { connection, signal });

  const look = (query) => (writeQuery(query), list.show(query));
  const showAll = () => (fill(tools, { ...readQuery(), show: "all", search: "" }), look(queryOf(tools)));
  const edit = (ref, fields, reason) => (list.reveal(ref) ?? (showAll(), list.reveal(ref)))?.edit(fields, reason);

  const offer = listenToComposer(main.querySelector(".composer"), draftOf(userId), (fields) => {
    store.create(fields);
    const { ref } = store.tasks.at(-1);
    if (list.reveal(ref) === null) (showAll(), list.reveal(ref));
  });
  tools.addEventListener("input", () => look(queryOf(tools)));
  tools.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("popstate", () => (fill(tools, readQuery()), list.show(readQuery())), { signal });

  store.addEventListener("change", () => (list.draw(), settleConflicts(store, edit, signal)));
  store.addEventListener("rejected", ({ detail }) => explain(detail, { store, offer, edit }));
  store.addEventListener("failed", ({ detail: { error } }) => {
    if (error instanceof SignedOut || error.status === 401) signedOut();
    else if (error instanceof Problem && error.status < 500) warn(`The list may be out of date. ${sentence(error)}`);
  });
  signal.addEventListener("abort", stopAsking);

  fill(tools, readQuery());
  list.show(readQuery());
  store.send();
  store.refresh();
  settleConflicts(store, edit, signal);
  // On a telephone the keyboard would jump up and hide the list.
  (matchMedia("(hover: hover)").matches ? main.querySelector("#new-title") : main).focus();
  return store;
}

/** Ask about the edits that clash with somebody else's, one after the other. */
async function settleConflicts(store, edit, signal) {
  const [entry] = store.conflicts;
  if (entry === undefined) return stopAsking();
  if (isAsking()) return;
  const present = entry.conflict.value;
  const choice = await ask({ ...present, ...entry.fields }, present);
  if (signal.aborted || choice === "stop") return;
  store.decide(entry, choice);
  if (choice === "") edit(entry.ref, entry.fields);
}

/** Say that the service did not take a change, and give back what was typed. */
function explain({ entry, task, error }, { store, offer, edit }) {
  const { kind, ref, fields } = entry;
  const title = fields?.title ?? task?.title ?? "A task";
  if (kind === "create") {
    const again = () => offer(fields, sentence(error)) || explain({ entry, task, error }, { store, offer, edit });
    warn(`“${title}” was not added. ${sentence(error)}`, offer(fields, sentence(error)) ? undefined : { label: "Edit", run: again });
  } else if (kind === "edit" && error.status === 404) {
    const restore = () => store.create({ ...fields, completed: task?.completed ?? false });
    warn(`“${title}” was deleted elsewhere.`, { label: "Bring it back", run: restore });
  } else if (kind === "edit") {
    edit(ref, fields, sentence(error));
    warn("The change was not saved; it is still in the editor.");
  } else if (error.status === 404) {
    say(`“${title}” was deleted elsewhere.`);
  } else {
    const what = kind === "remove" ? "deleted" : fields.completed ? "completed" : "reopened";
    warn(`“${title}” was not ${what}. ${sentence(error)}`);
  }
}

function sentence(error) {
  return `The service says: ${error.detail}`;
}

function fill(tools, { show, search, order }) {
  tools.elements.show.value = show;
  tools.elements.search.value = search;
  tools.elements.order.value = order;
}

function queryOf(tools) {
  return Object.fromEntries(new FormData(tools));
}
