/** Text that people wrote, and times, for reading. */

/** Web addresses; what ends a sentence does not end an address. */
const LINK = /https?:\/\/[^\s<>"]*[^\s<>"'.,;:!?)\]}]/g;
const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** Nodes with a text in which the addresses are links. */
export function linked(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    if (!URL.canParse(match[0])) continue;
    const link = document.createElement("a");
    Object.assign(link, { href: match[0], textContent: match[0], target: "_blank", rel: "noopener noreferrer" });
    nodes.push(text.slice(end, match.index), link);
    end = match.index + match[0].length;
  }
  return [...nodes, text.slice(end)];
}

/** How long ago something was, in words. */
export function since(time) {
  const seconds = (Date.now() - new Date(time)) / 1000;
  const [unit, length] = UNITS.find(([, length]) => seconds >= length) ?? [];
  if (unit === undefined) return "just now";
  return unit === "day" && seconds > 30 * length
    ? new Date(time).toLocaleDateString(undefined, { dateStyle: "medium" })
    : ago.format(-Math.floor(seconds / length), unit);
}

/** A number and its noun: "1 task", "2 tasks". */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
