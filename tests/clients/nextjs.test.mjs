// What examples/nextjs asks of the service, on the server and in the browser. Building it takes minutes: `make nextjs`.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { TodoClient } from "../../clients/typescript/dist/index.js";
import { API, newUser, sign } from "./service.mjs";

const EXAMPLE = new URL("../../examples/nextjs/", import.meta.url);
const CALLS = {
  "app/page.tsx": ["client.list({ limit: 50 })"],
  "app/actions.ts": [
    "client.create({ title }, { idempotencyKey })",
    "client.complete(id, completed)",
    "client.remove(id)",
  ],
  "app/search.tsx": ["todoClient(userId)\n      .list({ search: text, limit: 20 }, { signal })"],
};

test("the calls of the example are the ones below", async () => {
  for (const [file, calls] of Object.entries(CALLS)) {
    const source = await readFile(new URL(file, EXAMPLE), "utf8");
    const found = source.match(/\b(?:client|todoClient\(userId\))\s*\.\w+\(/g);
    assert.equal(found.length, calls.length, file);
    for (const call of calls) assert(source.includes(call), `${file}: ${call}`);
  }
});

test("they work", async () => {
  const userId = newUser();
  const client = new TodoClient({ baseUrl: API, userId, token: async () => sign(userId) });
  const { signal } = new AbortController();
  const [title, idempotencyKey] = ["Buy milk", "8b1c8b2e-55a1-4ad0-9f3f-61d7ef7a3f0b"];

  const { value: task } = await client.create({ title }, { idempotencyKey });
  await client.create({ title }, { idempotencyKey });
  const { tasks, next } = await client.list({ limit: 50 });
  const { value: completed } = await client.complete(task.id, true);
  const found = await client.list({ search: "MILK", limit: 20 }, { signal });
  await client.remove(task.id);

  assert.deepEqual([tasks, next], [[task], null]);
  assert.deepEqual(found.tasks, [completed]);
  assert.deepEqual((await client.list({ limit: 50 })).tasks, []);
});

test("a blank title is answered with the sentence that the form shows", async () => {
  const userId = newUser();
  const client = new TodoClient({ baseUrl: API, userId, token: async () => sign(userId) });

  await assert.rejects(client.create({ title: " " }), { name: "Problem", detail: "title: must not be blank" });
});
