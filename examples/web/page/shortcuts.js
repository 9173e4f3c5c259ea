/** One key for what is done often, and the sheet that lists them. Off for people whose keys are not their own. */

const OFF = "todo.shortcuts.off";
const TEXT_FIELDS = "input:not([type=checkbox], [type=radio]), textarea, select";
const sheet = document.querySelector("#shortcuts");
const enabled = document.querySelector("#shortcuts-enabled");

/** What each key does; in a row, `row` is the task that has the focus. */
const KEYS = {
  n: () => focus("#new-title"),
  "/": () => focus("#search"),
  1: () => press("[name=show][value=all]"),
  2: () => press("[name=show][value=pending]"),
  3: () => press("[name=show][value=completed]"),
  j: (row) => move(row, "nextElementSibling"),
  k: (row) => move(row, "previousElementSibling"),
  x: (row) => press("[type=checkbox]", row),
  e: (row) => press(".edit", row),
  "#": (row) => press(".remove", row),
  Delete: (row) => press(".remove", row),
  "?": () => sheet.showModal(),
};
const NEED_ROW = new Set(["x", "e", "#", "Delete"]);
/** Without a row: the arrows scroll, as everywhere. */
const ARROWS = { ArrowDown: "j", ArrowUp: "k" };

export function listenToShortcuts() {
  enabled.checked = localStorage.getItem(OFF) === null;
  enabled.addEventListener("change", () => {
    if (enabled.checked) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "yes");
  });
  document.querySelector("#show-shortcuts").addEventListener("click", () => sheet.showModal());
  document.addEventListener("keydown", pressed);
}

function pressed(event) {
  const { target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.isComposing) return;
  if (document.querySelector("dialog[open]") || target.matches(TEXT_FIELDS)) return;
  const row = target.closest(".task:not(.editing)");
  const key = row === null || target.matches("[type=radio]") ? event.key : (ARROWS[event.key] ?? event.key);
  const isArrow = key !== event.key;
  if ((!enabled.checked && !isArrow) || !Object.hasOwn(KEYS, key) || (NEED_ROW.has(key) && row === null)) return;
  if (document.querySelector(".composer") === null) return;
  event.preventDefault();
  KEYS[key](row);
}

function focus(selector) {
  document.querySelector(selector).focus();
}

function press(selector, within = document) {
  within.querySelector(selector).click();
}

function move(row, step) {
  const next = row === null ? document.querySelector(".shown .task") : row[step];
  next?.querySelector(next.matches(".editing") ? "[name=title]" : "[type=checkbox]").focus();
}
