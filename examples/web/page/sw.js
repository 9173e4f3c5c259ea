/** The service worker: the page's own files from the network, and from the cache where there is none. */

import { CACHE, isOwnFile } from "./offline.js";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && isOwnFile(request.url)) event.respondWith(answer(request));
});

async function answer(request) {
  const cache = await caches.open(CACHE);
  const file = request.mode === "navigate" ? "/" : request;
  try {
    const response = await fetch(request);
    if (response.ok && response.type === "basic") await cache.put(file, response.clone());
    return response;
  } catch {
    return (await cache.match(file)) ?? Response.error();
  }
}
