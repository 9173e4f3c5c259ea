/** Two editors of one task: what each changed is kept, and where both changed the same, people choose. */

const dialog = document.querySelector("#conflict");
const [mine, theirs] = dialog.querySelectorAll(".version");

/** The same field was changed here and elsewhere; `present` is the task and entity tag as they are now. */
export class Conflict extends Error {
  constructor(present) {
    super("Changed here and elsewhere");
    this.present = present;
  }
}

/**
 * Save an edit to the version that the person has seen or has decided about.
 *
 * @param known the task as it was last seen, and its entity tag or null
 * @param base the fields as they were when the editor opened
 * @param fields what the editor says now
 */
export async function edit(client, known, { ref, base, fields }) {
  const id = Number(ref);
  const change = Object.fromEntries(Object.entries(fields).filter(([name, value]) => value !== base[name]));
  let present = known?.etag ? { value: known.task, etag: known.etag } : await client.get(id);
  for (;;) {
    if (clash(change, base, present.value)) throw new Conflict(present);
    try {
      return await client.update(id, change, { etag: present.etag });
    } catch (error) {
      if (error.status !== 412) throw error;
      present = await client.get(id);
    }
  }
}

/** Whether a field was changed here to one value, and elsewhere to another. */
function clash(change, base, present) {
  return Object.keys(change).some((name) => present[name] !== base[name] && present[name] !== change[name]);
}

/** Show both versions; answers "mine", "theirs", or "" when the person would rather go on editing. */
export async function ask(own, other) {
  fill(mine, own);
  fill(theirs, other);
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  return dialog.returnValue;
}

export function isAsking() {
  return dialog.open;
}

/** Without an answer. */
export function stopAsking() {
  dialog.close("stop");
}

function fill(section, { title, description }) {
  section.querySelector(".title").textContent = title;
  section.querySelector(".description").textContent = description ?? "No note";
  section.querySelector(".description").classList.toggle("none", !description);
}
