// Played while the service's database is away, and comes back.

import assert from "node:assert/strict";
import { test } from "node:test";
import { TodoClient } from "../../clients/typescript/dist/index.js";
import { API, newUser, sign } from "./service.mjs";

test("what is asked meanwhile is answered in the end", async () => {
  const user = newUser();
  const client = new TodoClient({ baseUrl: API, userId: user, token: async () => sign(user) });

  const [created, page] = await Promise.all([client.create({ title: "Buy milk" }), client.list()]);

  assert(page.tasks.length <= 1);
  assert.deepEqual((await client.list()).tasks, [created.value]);
});
