// The TypeScript client in a real browser: what `fetch` hides from pages, it finds out.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import http from "node:http";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { API, newUser, sign, unreliable } from "./service.mjs";

const { chromium } = createRequire(new URL("../../examples/web/package.json", import.meta.url))("playwright-core");
const DIST = new URL("../../clients/typescript/dist/", import.meta.url);

let browser, files, page;
before(async () => {
  files = http.createServer(async ({ url }, response) => {
    const isModule = /^\/\w+\.js$/.test(url);
    response.setHeader("Content-Type", isModule ? "text/javascript" : "text/html");
    response.end(isModule ? await readFile(new URL(url.slice(1), DIST)) : "<!doctype html><title>A front end</title>");
  });
  files.listen(0, "127.0.0.1");
  await once(files, "listening");
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM });
  page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${files.address().port}`);
});
after(async () => {
  await browser.close();
  files.close();
});

/** What a page finds when it lists tasks: how the method settled, and how often it was tried again. */
function list(baseUrl, options = {}) {
  const user = newUser();
  return page.evaluate(
    async ({ baseUrl, userId, token, options }) => {
      const { TodoClient } = await import("/index.js");
      let retries = 0;
      const client = new TodoClient({ baseUrl, userId, token: async () => token, onRetry: () => retries++, ...options });
      try {
        return { tasks: (await client.list()).tasks, retries };
      } catch ({ name, reason, message }) {
        return { name, reason, message, retries };
      }
    },
    { baseUrl, userId: user, token: sign(user), options },
  );
}

test("a page that the service does not allow learns that it is CORS, and which setting", async () => {
  const { name, reason, message, retries } = await list(API);

  assert.deepEqual([name, reason, retries], ["NetworkError", "blocked", 2]);
  assert.match(message, new RegExp(`CORS_ORIGINS does not name ${await page.evaluate("origin")}`));
});

test("an address where nothing listens is not taken for CORS", async () => {
  const network = await unreliable();
  network.stop();

  const { name, reason, message, retries } = await list(network.url);

  assert.deepEqual([name, reason, retries], ["NetworkError", "unreachable", 2]);
  assert.match(message, new RegExp(`^No connection to ${network.url}\\. `));
});

test("without a network it is said at the end of all retries", async (t) => {
  t.after(() => page.context().setOffline(false));
  await page.evaluate(() => import("/index.js"));
  await page.context().setOffline(true);

  const { name, reason, retries } = await list(API, { retries: 3 });

  assert.deepEqual([name, reason, retries], ["NetworkError", "offline", 3]);
});

test("a redirect is not followed, and said at once", async (t) => {
  const elsewhere = await unreliable();
  const redirecting = http.createServer((request, response) => {
    response.setHeader("Access-Control-Allow-Origin", "*");
    response.setHeader("Access-Control-Allow-Headers", "authorization");
    response.writeHead(request.method === "OPTIONS" ? 204 : 307, { Location: elsewhere.url }).end();
  });
  redirecting.listen(0, "127.0.0.1");
  await once(redirecting, "listening");
  t.after(() => (elsewhere.stop(), redirecting.close()));

  const { reason, retries } = await list(`http://127.0.0.1:${redirecting.address().port}`);

  assert.deepEqual([reason, retries, elsewhere.requests.length], ["redirect", 0, 0]);
});
