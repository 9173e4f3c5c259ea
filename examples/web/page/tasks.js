/** The signed-in page: the composer, the tools, the list and what becomes of it. */

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

  /** Say why something did not work, in the service's own words where it has some. */
  function explain(error, what) {
    if (error instanceof SignedOut || error.status === 401) return signedOut();
    return warn(`${what} ${sentence(error)}`);
  }

  const list = new TaskList(main, client, { explain, restore: (fields) => outbox.add(fields), signal });
  const outbox = new Outbox(userId, client, connection, {
    changed(entries) {
      const badge = connection.offline ? "Waiting for the connection" : "Sending…";
      waiting.replaceChildren(...entries.map(({ fields }) => waitingRow(fields, badge)).reverse());
    },
    sent({ value, etag }) {
      if (list.fits(value)) return list.add(value, etag);
      tools.reset();
      return list.load(queryOf(tools));
    },
    refused(fields, error) {
      explain(error, "The task was not added.");
      if (composer.elements.title.value === "") fill(composer, fields);
    },
    failed(error) {
      if (error instanceof SignedOut || error.status === 401) signedOut();
    },
  });

  composer.addEventListener("submit", (event) => {
    event.preventDefault();
    const { title, description } = Object.fromEntries(new FormData(composer));
    composer.reset();
    composer.querySelector("details").open = false;
    composer.elements.title.focus();
    outbox.add({ title: title.trim(), description: description.trim() || null });
  });
  composer.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) composer.requestSubmit();
  });

  let pause;
  tools.addEventListener("input", (event) => {
    clearTimeout(pause);
    const delay = event.target.type === "search" ? SEARCH_PAUSE_MILLISECONDS : 0;
    pause = setTimeout(() => list.load(queryOf(tools)), delay);
  });
  tools.addEventListener("submit", (event) => event.preventDefault());

  connection.addEventListener("back", () => (outbox.send(), list.refresh()), { signal });
  window.addEventListener("offline", () => outbox.send(), { signal });
  window.addEventListener("focus", () => list.refresh(), { signal });
  signal.addEventListener("abort", () => outbox.close());

  outbox.send();
  list.load(queryOf(tools));
  // On a telephone the keyboard would jump up and hide the list.
  (matchMedia("(hover: hover)").matches ? composer.elements.title : main).focus();
}

function sentence(error) {
  return error instanceof Problem ? `The service says: ${error.detail}` : "There is no connection to the service.";
}

function queryOf(tools) {
  const { search, status, sort } = Object.fromEntries(new FormData(tools));
  const [key, order] = sort.split(" ");
  return { status, search: search.trim(), sort: key, order };
}

function fill(composer, { title, description }) {
  composer.elements.title.value = title;
  composer.elements.description.value = description ?? "";
  composer.querySelector("details").open = Boolean(description);
}
