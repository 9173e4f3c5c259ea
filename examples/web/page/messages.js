/**
 * Short messages at the edge of the page, read aloud by screen readers: one at a time, the newest.
 *
 * What a message offers can be had by Ctrl+Z as well: the newest first, then those before it, each as long as
 * its time lasts.
 */

const SECONDS = 6;
const TEXT_FIELDS = "input:not([type=checkbox], [type=radio]), textarea";
const template = document.querySelector("#message");
const calm = document.querySelector("#messages");
const urgent = document.querySelector("#alerts");

/** Those whose time is not over, oldest first. */
const messages = [];

/**
 * Show a message for six seconds; longer while the pointer or the focus is on it.
 *
 * @param action what its button offers: `{ label, run }`; Ctrl+Z (or Cmd+Z) runs it too. `lapsed` is called
 *   when the time is over and nobody took the offer.
 */
export function say(text, action) {
  add(calm, text, action);
}

/** Say that something went wrong. With an action it stays until somebody answers or dismisses it. */
export function warn(text, action) {
  add(urgent, text, action);
}

/** Forget every message, and let their offers lapse. */
export function clear() {
  for (const message of [...messages]) message.close(true);
}

document.addEventListener("keydown", (event) => {
  const undo = event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey;
  if (!undo || event.target.matches(TEXT_FIELDS) || document.querySelector("dialog[open]")) return;
  event.preventDefault(); // browsers would undo in a text field that has not got the focus
  messages.findLast(({ run }) => run !== null)?.run();
});

function add(region, text, action) {
  const element = template.content.firstElementChild.cloneNode(true);
  const message = { region, element, run: null, close };
  let timer;
  const lasting = region === urgent && action !== undefined;
  const hold = () => clearTimeout(timer);
  const wait = () => {
    hold();
    if (!lasting) timer = setTimeout(close, SECONDS * 1000, true);
  };
  function close(lapsed) {
    hold();
    if (!messages.includes(message)) return;
    messages.splice(messages.indexOf(message), 1);
    draw(region);
    if (lapsed) action?.lapsed?.();
  }
  element.querySelector("span").textContent = text;
  element.querySelector(".dismiss").addEventListener("click", () => close(true));
  if (action !== undefined) {
    message.run = () => {
      close(false);
      action.run();
    };
    const button = element.querySelector(".link");
    button.textContent = action.label;
    button.ariaKeyShortcuts = "Control+Z Meta+Z";
    button.hidden = false;
    button.addEventListener("click", message.run);
  }
  for (const event of ["pointerenter", "focusin"]) element.addEventListener(event, hold);
  for (const event of ["pointerleave", "focusout"]) element.addEventListener(event, () => messages.includes(message) && wait());
  messages.push(message);
  wait();
  draw(region);
}

function draw(region) {
  const latest = messages.findLast((message) => message.region === region);
  if (latest?.element !== region.firstElementChild || latest === undefined) {
    region.replaceChildren(...(latest === undefined ? [] : [latest.element]));
  }
}
