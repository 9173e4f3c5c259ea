/** One task on the screen: what it says, its three buttons, and the editor that opens in its place. */

const template = document.querySelector("#task");
const editorTemplate = document.querySelector("#editor");
const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** A task that is not the service's yet: shown, but not to be touched. */
export function waitingRow(task, badge) {
  const row = new TaskRow(task, null, {});
  row.draw(task, badge);
  row.element.classList.add("waiting");
  for (const control of row.element.querySelectorAll("input, button")) control.disabled = true;
  return row.element;
}

export class TaskRow {
  element = template.content.firstElementChild.cloneNode(true);
  /** The task as the service last answered it, and the entity tag of that version where it is known. */
  task;
  etag;
  /** How many writes are on their way; as long as there are, the screen is ahead of `task`. */
  writes = 0;
  #actions;
  #turn = Promise.resolve();
  #editor = null;

  /** @param actions `complete(row, completed)`, `save(row, fields)`, `remove(row)` */
  constructor(task, etag, actions) {
    this.task = task;
    this.etag = etag;
    this.#actions = actions;
    this.checkbox.addEventListener("change", () => actions.complete(this, this.checkbox.checked));
    this.#find(".edit").addEventListener("click", () => this.edit(this.task));
    this.#find(".remove").addEventListener("click", () => actions.remove(this));
    this.draw(task);
  }

  get checkbox() {
    return this.#find("[type=checkbox]");
  }

  get editing() {
    return this.#editor !== null;
  }

  /** Take what a list says, unless the row knows better. */
  refresh(task) {
    if (task.updated_at > this.task.updated_at) [this.task, this.etag] = [task, null];
    if (this.writes === 0) this.draw(this.task);
  }

  /** Make `write` when those before it are done: one write at a time. */
  inTurn(write) {
    this.#turn = this.#turn.catch(() => {}).then(write);
    return this.#turn;
  }

  /** Show `shown` at once, and the service's answer when `write` brings it. */
  async optimistically(shown, write) {
    this.writes++;
    this.draw(shown, "Saving…");
    try {
      const { value, etag } = await this.inTurn(write);
      [this.task, this.etag] = [value, etag];
    } finally {
      if (--this.writes === 0) this.draw(this.task);
    }
  }

  draw(task, badge = "") {
    this.element.classList.toggle("completed", task.completed);
    this.checkbox.checked = task.completed;
    this.#find(".check span").textContent = `Completed: ${task.title}`;
    this.#find(".title").textContent = task.title;
    this.#find(".description").textContent = task.description ?? "";
    this.#find(".description").hidden = !task.description;
    this.#find(".edit span").textContent = `Edit: ${task.title}`;
    this.#find(".remove span").textContent = `Delete: ${task.title}`;
    this.#drawTime(task);
    this.#find(".badge").textContent = badge;
    this.#find(".badge").hidden = badge === "";
  }

  /** Open the editor with these fields, and with a sentence on why they were not saved, if they were not. */
  edit({ title, description }, error = "") {
    this.#close();
    const before = this.task;
    const form = (this.#editor = editorTemplate.content.firstElementChild.cloneNode(true));
    form.elements.title.value = title;
    form.elements.description.value = description ?? "";
    form.querySelector(".error").textContent = error;
    form.querySelector(".error").hidden = error === "";
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#leave();
      const fields = { title: form.elements.title.value.trim(), description: form.elements.description.value.trim() || null };
      if (fields.title !== before.title || fields.description !== before.description) {
        this.#actions.save(this, before, fields);
      }
    });
    form.querySelector("[type=button]").addEventListener("click", () => this.#leave());
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#leave();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
    this.element.classList.add("editing");
    this.element.append(form);
    form.elements.title.focus();
  }

  #leave() {
    this.#close();
    this.#find(".edit").focus();
  }

  #close() {
    this.#editor?.remove();
    this.#editor = null;
    this.element.classList.remove("editing");
  }

  #drawTime({ created_at: created, updated_at: updated }) {
    const time = this.#find("time");
    time.hidden = created === undefined;
    if (time.hidden) return;
    time.dateTime = updated;
    time.title = new Date(updated).toLocaleString();
    time.textContent = `${created === updated ? "Added" : "Changed"} ${since(updated)}`;
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }
}

function since(time) {
  const seconds = (Date.now() - new Date(time)) / 1000;
  const [unit, length] = UNITS.find(([, length]) => seconds >= length) ?? [];
  if (unit === undefined) return "just now";
  return unit === "day" && seconds > 30 * length
    ? new Date(time).toLocaleDateString(undefined, { dateStyle: "medium" })
    : ago.format(-Math.floor(seconds / length), unit);
}
