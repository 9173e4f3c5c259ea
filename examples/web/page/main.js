/** Where the page begins: who is here, and what they see. */

import { TodoClient, renewing } from "todo-api-client";
import { Connection } from "./connection.js";
import { clear, warn } from "./messages.js";
import { keepFiles } from "./offline.js";
import { currentUser, fetchToken, signOut } from "./session.js";
import { listenToShortcuts } from "./shortcuts.js";
import { showSignIn } from "./sign-in.js";
import { forget, forgetTasks, rememberUser, rememberedUser } from "./storage.js";
import { draftOf, showTasks } from "./tasks.js";
import { count } from "./text.js";

const MAX_FLUSH_MILLISECONDS = 3_000;
const main = document.querySelector("#main");
const account = document.querySelector("#account");
const leaving = document.querySelector("#leaving");
const connection = new Connection(document.querySelector("#connection"));
const { api } = await (await fetch("/config.json")).json();

/** Ends what belongs to the user who is signed in, and what that is. */
let visit = new AbortController();
let user = null;
let store = null;

function enter(who) {
  visit = new AbortController();
  user = who;
  account.hidden = false;
  rememberUser(user);
  document.querySelector("#who").textContent = user.name;
  const token = renewing(fetchToken);
  const client = new TodoClient({ baseUrl: api, userId: user.id, token, fetch: connection.fetch });
  const signedOut = () => leave("You were signed out. What you have not sent is kept here.");
  store = showTasks(main, { userId: user.id, client, connection, signal: visit.signal, signedOut });
}

function leave(notice) {
  if (user === null) return;
  clear();
  visit.abort();
  forgetTasks(user.id);
  user = null;
  account.hidden = true;
  showSignIn(main, enter, notice);
}

/** Ask before what was not sent is lost with the sign-out. */
async function mayLeave() {
  await Promise.race([store.flush(), new Promise((resolve) => setTimeout(resolve, MAX_FLUSH_MILLISECONDS))]);
  if (store.unsent === 0) return true;
  leaving.querySelector("strong").textContent = count(store.unsent, "change");
  leaving.returnValue = "";
  leaving.showModal();
  await new Promise((resolve) => leaving.addEventListener("close", resolve, { once: true }));
  return leaving.returnValue === "leave";
}

document.querySelector("#sign-out").addEventListener("click", async () => {
  const { id } = user;
  if (!(await mayLeave())) return;
  try {
    await signOut();
  } catch {
    return warn("There is no connection, so you are still signed in.");
  }
  leave();
  forget(id);
  sessionStorage.removeItem(draftOf(id));
});

// Signed out, or somebody else, in another tab.
window.addEventListener("storage", () => {
  if (user === null || rememberedUser()?.id === user.id) return;
  sessionStorage.removeItem(draftOf(user.id));
  leave("You have signed out in another tab.");
});

listenToShortcuts();
const offline = () => rememberedUser(); // without one, the form says what is wrong, when it is sent
const present = await currentUser().catch(offline);
if (present !== null) {
  enter(present);
} else {
  if (rememberedUser() !== null) forgetTasks(rememberedUser().id);
  showSignIn(main, enter);
}
window.addEventListener("load", () => keepFiles().catch(() => {})); // without room, or forbidden: needs the network
if (document.readyState === "complete") keepFiles().catch(() => {});
