/** Short messages at the edge of the page, read aloud by screen readers. */

const SECONDS = 6;
const template = document.querySelector("#message");
const calm = document.querySelector("#messages");
const urgent = document.querySelector("#alerts");

/** What Ctrl+Z does while a message offers it; null otherwise. */
let latest = null;

/**
 * Show a message for six seconds; longer while the pointer or the focus is on it.
 *
 * @param action what its button offers: `{ label, run }`; Ctrl+Z (or Cmd+Z) runs it too
 */
export function say(text, action) {
  show(calm, text, action);
}

/** Say that something went wrong. */
export function warn(text, action) {
  show(urgent, text, action);
}

document.addEventListener("keydown", (event) => {
  const undo = event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey;
  if (!undo || latest === null || event.target.matches("input:not([type=checkbox], [type=radio]), textarea")) return;
  event.preventDefault();
  latest();
});

function show(region, text, action) {
  const message = template.content.firstElementChild.cloneNode(true);
  message.querySelector("span").textContent = text;
  let timer;
  const wait = () => (timer = setTimeout(close, SECONDS * 1000));
  const hold = () => clearTimeout(timer);
  function close() {
    hold();
    message.remove();
    if (latest === run) latest = null;
  }
  function run() {
    close();
    action.run();
  }
  if (action !== undefined) {
    const button = message.querySelector("button");
    button.textContent = action.label;
    button.ariaKeyShortcuts = "Control+Z Meta+Z";
    button.hidden = false;
    button.addEventListener("click", run);
    latest = run;
  }
  for (const event of ["pointerenter", "focusin"]) message.addEventListener(event, hold);
  for (const event of ["pointerleave", "focusout"]) {
    message.addEventListener(event, () => {
      hold();
      if (message.isConnected) wait();
    });
  }
  region.append(message);
  wait();
}
