/** Where the page begins: who is here, and what they see. */

import { TodoClient, renewing } from "todo-api-client";
import { Connection } from "./connection.js";
import { warn } from "./messages.js";
import { currentUser, fetchToken, signOut } from "./session.js";
import { VISITED, showSignIn } from "./sign-in.js";
import { showTasks } from "./tasks.js";

const main = document.querySelector("#main");
const account = document.querySelector("#account");
const connection = new Connection(document.querySelector("#connection"));
const { api } = await (await fetch("/config.json")).json();

/** Ends what belongs to the user who is signed in. */
let visit = new AbortController();

function enter(user) {
  visit = new AbortController();
  account.hidden = false;
  localStorage.setItem(VISITED, "yes");
  document.querySelector("#who").textContent = user.name;
  const token = renewing(fetchToken);
  const client = new TodoClient({ baseUrl: api, userId: user.id, token, fetch: connection.fetch });
  const signedOut = () => leave("You were signed out. Your unsent tasks are kept here.");
  showTasks(main, { userId: user.id, client, connection, signal: visit.signal, signedOut });
}

function leave(notice) {
  if (visit.signal.aborted) return;
  visit.abort();
  account.hidden = true;
  showSignIn(main, enter, notice);
}

document.querySelector("#sign-out").addEventListener("click", async () => {
  try {
    await signOut();
    leave();
  } catch {
    warn("There is no connection, so you are still signed in.");
  }
});

const user = await currentUser().catch(() => null); // the form says what is wrong, when it is sent
if (user === null) showSignIn(main, enter);
else enter(user);
