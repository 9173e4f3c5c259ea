/** One task on the screen: its checkbox, what it says, its buttons, and the editor that opens in its place. */

import { show, watchFields } from "./fields.js";
import { linked, since } from "./text.js";

const template = document.querySelector("#task");
const editorTemplate = document.querySelector("#editor");
/** A note beyond these is shortened until somebody asks for the rest. */
const MAX_NOTE_LINES = 3;
const MAX_NOTE_CHARACTERS = 240;

export class TaskRow {
  element = template.content.firstElementChild.cloneNode(true);
  /** What the page calls the task, and the task as it is shown. */
  ref;
  task = null;
  #badge = "";
  #drawn = "";
  #actions;
  #editor = null;

  /** @param actions `complete(row, completed)`, `save(row, base, fields)`, `discard(row, fields)`, `remove(row)` */
  constructor(ref, actions) {
    this.ref = ref;
    this.#actions = actions;
    this.checkbox.addEventListener("change", () => actions.complete(this, this.checkbox.checked));
    this.#find(".edit").addEventListener("click", () => this.edit());
    this.#find(".remove").addEventListener("click", () => actions.remove(this));
    this.#find(".text").addEventListener("dblclick", (event) => event.target.closest("a, button") || this.edit());
    this.#find(".whole").addEventListener("click", () => this.#showWhole(!this.#isWhole));
  }

  get checkbox() {
    return this.#find("[type=checkbox]");
  }

  get editing() {
    return this.#editor !== null;
  }

  /**
   * Show a task, if it is another than before.
   *
   * @param badge what happens to it
   * @param time which of its times to show: "created_at", "updated_at" or none
   */
  draw(task, badge, time) {
    const drawn = time && !task.created_at.startsWith("9") ? since(task[time]) : "";
    if (task === this.task && badge === this.#badge && drawn === this.#drawn) return;
    [this.task, this.#badge, this.#drawn] = [task, badge, drawn];
    this.element.classList.toggle("completed", task.completed);
    this.checkbox.checked = task.completed;
    for (const [selector, verb] of [[".check", "Completed"], [".edit", "Edit"], [".remove", "Delete"]]) {
      this.#find(`${selector} .visually-hidden`).textContent = `${verb}: ${task.title}`;
    }
    this.#find(".title").textContent = task.title;
    this.#drawNote(task.description ?? "");
    this.#find("time").textContent = drawn;
    this.#find("time").hidden = drawn === "";
    this.#find(".badge").textContent = badge;
    this.#find(".badge").hidden = badge === "";
  }

  /** Open the editor, with what was typed before if there is something, and what is wrong with it. */
  edit(fields = this.task, error = "") {
    if (this.editing) return this.#editor.elements.title.focus();
    const base = { title: this.task.title, description: this.task.description };
    const form = (this.#editor = editorTemplate.content.firstElementChild.cloneNode(true));
    form.elements.title.value = fields.title;
    form.elements.description.value = fields.description ?? "";
    const check = watchFields(form);
    show(form.elements.title, error);
    const typed = () => ({ title: form.elements.title.value, description: form.elements.description.value || null });
    const changed = ({ title, description }) => title !== base.title || description !== base.description;
    const cancel = () => {
      this.#leave();
      if (changed(typed())) this.#actions.discard(this, typed());
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const checked = check();
      if (checked === null) return;
      this.#leave();
      if (changed(checked)) this.#actions.save(this, base, checked);
    });
    form.querySelector("[type=button]").addEventListener("click", cancel);
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") cancel();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
    this.element.classList.add("editing");
    this.element.append(form);
    form.elements.title.focus();
  }

  #leave() {
    this.#editor.remove();
    this.#editor = null;
    this.element.classList.remove("editing");
    this.#find(".edit").focus();
  }

  #drawNote(note) {
    const element = this.#find(".description");
    element.replaceChildren(...linked(note));
    element.hidden = note === "";
    const isLong = note.length > MAX_NOTE_CHARACTERS || note.split("\n").length > MAX_NOTE_LINES;
    this.#find(".whole").hidden = !isLong;
    this.#showWhole(!isLong || this.#isWhole);
  }

  get #isWhole() {
    return this.#find(".whole").ariaExpanded === "true";
  }

  #showWhole(whole) {
    this.#find(".description").classList.toggle("short", !whole);
    this.#find(".whole").ariaExpanded = String(whole);
    this.#find(".whole").textContent = whole ? "Show less" : "Show all";
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }
}
