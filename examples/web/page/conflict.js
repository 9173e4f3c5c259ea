/** Two editors of one task: what each changed is kept, and where both changed the same, people choose. */

const dialog = document.querySelector("#conflict");
const [mine, theirs] = dialog.querySelectorAll(".version");
let turn = Promise.resolve();

/** The person would rather go on editing than choose a version. */
export class Undecided extends Error {}

/**
 * Save what was edited, to the version that the person has seen or has decided about.
 *
 * @param base the task as it was when its editor opened
 * @param fields what the editor says now
 */
export async function save(client, { task, etag }, base, fields) {
  const change = Object.fromEntries(Object.entries(fields).filter(([name, value]) => value !== base[name]));
  let present = etag === null ? await client.get(base.id) : { value: task, etag };
  for (;;) {
    if (clash(change, base, present.value)) {
      const choice = await askWhich({ ...present.value, ...change }, present.value);
      if (choice === "theirs") return present;
      if (choice !== "mine") throw new Undecided();
      base = present.value;
    }
    try {
      return await client.update(base.id, change, { etag: present.etag });
    } catch (error) {
      if (error.status !== 412) throw error;
      present = await client.get(base.id);
    }
  }
}

/** Whether a field was changed here to one value, and elsewhere to another. */
function clash(change, base, present) {
  return Object.keys(change).some((name) => present[name] !== base[name] && present[name] !== change[name]);
}

/** Show both versions; answers "mine", "theirs", or "" when the person would rather go on editing. */
function askWhich(own, other) {
  return (turn = turn.then(() => ask(own, other)));
}

async function ask(own, other) {
  fill(mine, own);
  fill(theirs, other);
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  return dialog.returnValue;
}

function fill(section, { title, description }) {
  section.querySelector(".title").textContent = title;
  section.querySelector(".description").textContent = description ?? "No note";
  section.querySelector(".description").classList.toggle("none", !description);
}
