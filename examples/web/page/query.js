/** Which tasks are shown, and in which order: as the address says, so that it can be kept and shared. */

const SHOWS = ["all", "pending", "completed"];
const byTitle = new Intl.Collator(undefined, { numeric: true });

const ORDERS = {
  newest: (one, other) => compare(other.created_at, one.created_at) || other.id - one.id,
  oldest: (one, other) => compare(one.created_at, other.created_at) || one.id - other.id,
  changed: (one, other) => compare(other.updated_at, one.updated_at) || other.id - one.id,
  title: (one, other) => byTitle.compare(one.title, other.title) || one.id - other.id,
};

/** The query of the present address: `{ show, search, order }`. */
export function readQuery() {
  const parameters = new URLSearchParams(location.search);
  const [show, order] = [parameters.get("show"), parameters.get("order")];
  return {
    show: SHOWS.includes(show) ? show : "all",
    search: parameters.get("search") ?? "",
    order: Object.hasOwn(ORDERS, order ?? "") ? order : "newest",
  };
}

/** Put a query into the address. A search that is being typed is one step back, not one for each letter. */
export function writeQuery({ show, search, order }) {
  const usual = { show: "all", search: "", order: "newest" };
  const parameters = new URLSearchParams(Object.entries({ show, search, order }).filter(([name, value]) => value !== usual[name]));
  const address = parameters.size === 0 ? location.pathname : `?${parameters}`;
  const typing = search !== readQuery().search && search !== "" && readQuery().search !== "";
  if (address !== `${location.search || location.pathname}`) history[typing ? "replaceState" : "pushState"](null, "", address);
}

/**
 * What a query finds among the tasks of the page.
 *
 * @returns `shown`: what fits, in order; `counts`: how many each of the filters would show
 */
export function find(entries, { show, search, order }) {
  const text = fold(search.trim());
  const found = text === "" ? entries : entries.filter(({ task }) => fold(`${task.title}\n${task.description ?? ""}`).includes(text));
  const completed = found.filter(({ task }) => task.completed);
  const pending = found.filter(({ task }) => !task.completed);
  const shown = { all: found, pending, completed }[show];
  const sort = ORDERS[order];
  return {
    shown: [...shown].sort((one, other) => sort(one.task, other.task) || 0),
    counts: { all: found.length, pending: pending.length, completed: completed.length },
  };
}

/** The same for letters that differ in case alone, or in how their accents are encoded. */
function fold(text) {
  return text.normalize("NFC").toUpperCase();
}

function compare(one, other) {
  return one < other ? -1 : Number(one > other);
}
