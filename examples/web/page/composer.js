/** The form for new tasks. What is typed there outlives a reload, and a session that ends. */

import { show, watchFields } from "./fields.js";

/**
 * Make the form work.
 *
 * @param draft the key under which this browser window remembers what is being typed
 * @param add called with the fields of a new task
 * @returns a function that puts fields back into the form, if there is nothing else in it, and says why
 */
export function listenToComposer(form, draft, add) {
  const { title, description } = form.elements;
  const details = form.querySelector("details");
  const check = watchFields(form);
  const fill = (fields) => {
    title.value = fields.title;
    description.value = fields.description ?? "";
    details.open = Boolean(fields.description);
  };
  form.addEventListener("input", () => {
    sessionStorage.setItem(draft, JSON.stringify({ title: title.value, description: description.value }));
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const fields = check();
    if (fields === null) return;
    try {
      add(fields);
    } catch {
      return show(title, "This browser has no room left. Delete something, and try again.");
    }
    form.reset();
    sessionStorage.removeItem(draft);
    details.open = false;
    title.focus();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  const typed = sessionStorage.getItem(draft);
  if (typed !== null) fill(JSON.parse(typed));

  return (fields, reason) => {
    if (title.value + description.value !== "") return false;
    fill(fields);
    show(title, reason);
    return true;
  };
}
