/** The signed-in page: what is written goes to the outbox, what is asked for comes from the list. */

import { Problem } from "todo-api-client";
import { warn } from "./messages.js";
import { Outbox } from "./outbox.js";
import { SignedOut } from "./session.js";
import { TaskList } from "./task-list.js";
import { waitingRow } from "./task-row.js";

const SEARCH_PAUSE_MILLISECONDS = 250;

/**
 * Show the tasks of a user in `main`, until `signal` is aborted.
 *
 * @param signedOut called when the session is over
 */
export function showTasks(main, { userId, client, connection, signal, signedOut }) {
  main.replaceChildren(document.querySelector("#tasks-view").content.cloneNode(true));
  const composer = main.querySelector(".composer");
  const tools = main.querySelector(".tools");
  const waiting = main.querySelector(".waiting");

  function explain(error, what) {
    if (isSignedOut(error)) signedOut();
    else warn(`${what} ${sentence(error)}`);
  }

  const list = new TaskList(main, client, { explain, restore: (fields) => outbox.add(fields), signal });
  const outbox = new Outbox(userId, client, connection, {
    changed: (entries) => showWaiting(waiting, entries, connection.offline),
    sent({ value, etag }) {
      if (list.fits(value)) return list.add(value, etag);
      tools.reset();
      return list.load(queryOf(tools));
    },
    refused(fields, error) {
      explain(error, "The task was not added.");
      if (composer.elements.title.value === "") fill(composer, fields);
    },
    failed: (error) => isSignedOut(error) && signedOut(),
  });

  listen(composer, (fields) => outbox.add(fields));
  listenToTools(tools, () => list.load(queryOf(tools)));
  connection.addEventListener("back", () => (outbox.send(), list.refresh()), { signal });
  window.addEventListener("offline", () => outbox.send(), { signal });
  window.addEventListener("focus", () => list.refresh(), { signal });
  signal.addEventListener("abort", () => outbox.close());

  outbox.send();
  list.load(queryOf(tools));
  // On a telephone the keyboard would jump up and hide the list.
  (matchMedia("(hover: hover)").matches ? composer.elements.title : main).focus();
}

function isSignedOut(error) {
  return error instanceof SignedOut || error.status === 401;
}

function sentence(error) {
  return error instanceof Problem ? `The service says: ${error.detail}` : "There is no connection to the service.";
}

/** Newest first, like the list below. */
function showWaiting(waiting, entries, offline) {
  const badge = offline ? "Waiting for the connection" : "Sending…";
  waiting.replaceChildren(...entries.map(({ fields }) => waitingRow(fields, badge)).reverse());
}

function listen(composer, add) {
  composer.addEventListener("submit", (event) => {
    event.preventDefault();
    const { title, description } = Object.fromEntries(new FormData(composer));
    composer.reset();
    composer.querySelector("details").open = false;
    composer.elements.title.focus();
    add({ title: title.trim(), description: description.trim() || null });
  });
  composer.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) composer.requestSubmit();
  });
}

function fill(composer, { title, description }) {
  composer.elements.title.value = title;
  composer.elements.description.value = description ?? "";
  composer.querySelector("details").open = Boolean(description);
}

/** A choice counts at once, typing when it pauses. */
function listenToTools(tools, changed) {
  let pause;
  tools.addEventListener("input", (event) => {
    clearTimeout(pause);
    pause = setTimeout(changed, event.target.type === "search" ? SEARCH_PAUSE_MILLISECONDS : 0);
  });
  tools.addEventListener("submit", (event) => event.preventDefault());
}

function queryOf(tools) {
  const { search, status, sort } = Object.fromEntries(new FormData(tools));
  const [key, order] = sort.split(" ");
  return { status, search: search.trim(), sort: key, order };
}
