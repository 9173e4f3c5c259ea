// Played while the service's database is away, and comes back once somebody has written a task.

import assert from "node:assert/strict";
import { test } from "node:test";
import { add, eventually, titles, visit } from "./browser.mjs";

test("a newcomer whose database is away sees that it is waited for, and then their task", async (t) => {
  const page = await visit(t);
  const answers = [];
  page.on("response", (response) => answers.push(response.status()));
  await page.getByLabel("Name").fill("Ada");
  await page.getByLabel("E-mail").fill(`${crypto.randomUUID()}@example.com`);
  await page.getByLabel("Password").fill("correct horse battery");
  await page.getByRole("button", { name: "Create account" }).click();
  await page.getByText("The service cannot be reached at the moment.").waitFor();
  await add(page, "Written all the same");
  await page.getByText("Sending…").waitFor();

  await eventually(() => titles(page), ["Written all the same"]);
  assert.ok(answers.includes(503));
  assert.equal(await page.getByText("The service cannot be reached at the moment.").count(), 0);
});
