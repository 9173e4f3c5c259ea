/** The question that two editors of one task are asked. */

const dialog = document.querySelector("#conflict");
const [mine, theirs] = dialog.querySelectorAll(".version");

let turn = Promise.resolve();

/** Show both versions; answers "mine", "theirs", or "" when the person would rather go on editing. */
export function askWhich(own, other) {
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
