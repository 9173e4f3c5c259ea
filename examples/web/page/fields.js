/** The title and the note of a task in a form: what is wrong with them is said beside them, as it is typed. */

export const MAX_TITLE_LENGTH = 255;
export const MAX_NOTE_LENGTH = 1000;

/**
 * Watch a form with the fields `title` and `description`.
 *
 * @param form its `.error` elements follow the two fields
 * @returns a function that answers the fields, or null after it has shown what is wrong
 */
export function watchFields(form) {
  const { title, description } = form.elements;
  const fields = [
    [title, MAX_TITLE_LENGTH],
    [description, MAX_NOTE_LENGTH],
  ];
  for (const [field, limit] of fields) field.addEventListener("input", () => show(field, tooLong(field, limit)));
  form.addEventListener("reset", () => fields.forEach(([field]) => show(field, "")));
  return () => {
    show(title, title.value.trim() === "" ? "A task needs a title." : tooLong(title, MAX_TITLE_LENGTH));
    show(description, tooLong(description, MAX_NOTE_LENGTH));
    const invalid = form.querySelector("[aria-invalid=true]");
    if (invalid !== null) {
      const hidden = invalid.closest("details");
      if (hidden !== null) hidden.open = true;
      invalid.focus();
      return null;
    }
    return { title: title.value.trim(), description: description.value.trim() || null };
  };
}

/** Show a sentence beside a field, or none. */
export function show(field, text) {
  const error = field.form.querySelector(`.error[data-for=${field.name}]`);
  error.textContent = text;
  error.hidden = text === "";
  error.id ||= `${field.name}-error-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  field.ariaInvalid = String(text !== "");
  if (text === "") field.removeAttribute("aria-describedby");
  else field.setAttribute("aria-describedby", error.id);
}

function tooLong(field, limit) {
  const length = Array.from(field.value.trim()).length; // characters as the service counts them
  return length > limit ? `This is ${length - limit} ${length - limit === 1 ? "character" : "characters"} too long: ${length} of ${limit}.` : "";
}
