/** Keeps the page's own files in the browser, so that it opens without a network. Tasks are not among them. */

export const CACHE = "todo-page";

/** Whether an address is one of the page's files, and not Better Auth's. */
export function isOwnFile(address) {
  const { origin, pathname } = new URL(address);
  return origin === location.origin && !pathname.startsWith("/api/");
}

/** Have the service worker answer for this page from now on, and store the files that it consists of. */
export async function keepFiles() {
  if (navigator.serviceWorker === undefined) return;
  await navigator.serviceWorker.register("/sw.js", { type: "module" });
  const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
  const cache = await caches.open(CACHE);
  await cache.addAll(["/", ...new Set(loaded.filter(isOwnFile))]);
}
