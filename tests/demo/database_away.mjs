// Played while the service's database goes away, and comes back once somebody has written a task.

import assert from "node:assert/strict";
import { test } from "node:test";
import { API, add, eventually, newcomer, titles } from "./browser.mjs";

test("somebody whose database goes away sees that it is waited for, and then their task", async (t) => {
  const page = await newcomer(t);
  const answers = [];
  page.on("response", (response) => answers.push(response.status()));
  await eventually(async () => (await fetch(`${API}/ready`)).status, 503);
  await add(page, "Written all the same");
  await page.getByText("The service cannot be reached at the moment.").waitFor();

  // The task is shown from the beginning, and kept until the service has taken it.
  assert.deepEqual(await titles(page), ["Written all the same"]);
  await eventually(() => answers.includes(201), true);
  assert.ok(answers.includes(503));
  await eventually(() => page.getByText("The service cannot be reached at the moment.").count(), 0);
  assert.deepEqual(await titles(page), ["Written all the same"]);
});
