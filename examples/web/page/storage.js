/** What this browser remembers of a user between visits; signing out removes it. */

const PREFIX = "todo";
const USER = `${PREFIX}.user`;
const VISITED = `${PREFIX}.visited`;

/** By name: a text and the value that it was parsed to. */
const parsed = new Map();

/** The value must not be changed: as long as it stays the same, everybody gets this one. */
export function read(userId, name, otherwise) {
  const text = localStorage.getItem(key(userId, name));
  if (text === null) return otherwise;
  if (parsed.get(name)?.text !== text) parsed.set(name, { text, value: JSON.parse(text) });
  return parsed.get(name).value;
}

/** Throws where the browser has no room left. */
export function write(userId, name, value) {
  localStorage.setItem(key(userId, name), JSON.stringify(value));
}

/** The user who was here last and has not signed out; null where there is none. */
export function rememberedUser() {
  return JSON.parse(localStorage.getItem(USER) ?? "null");
}

export function rememberUser({ id, name }) {
  localStorage.setItem(VISITED, "yes");
  localStorage.setItem(USER, JSON.stringify({ id, name }));
}

/** Whether somebody was ever signed in here: then they have an account, most likely. */
export function isKnownBrowser() {
  return localStorage.getItem(VISITED) !== null;
}

/** Remove what a user saw. What they wrote and could not send stays for when they sign in again. */
export function forgetTasks(userId) {
  localStorage.removeItem(key(userId, "tasks"));
}

/** Remove everything that a user wrote or saw. */
export function forget(userId) {
  localStorage.removeItem(USER);
  for (const name of Object.keys(localStorage)) {
    if (name.startsWith(PREFIX) && name.endsWith(`.${userId}`)) localStorage.removeItem(name);
  }
}

function key(userId, name) {
  return `${PREFIX}.${name}.${userId}`;
}
