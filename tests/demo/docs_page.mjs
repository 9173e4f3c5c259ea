// Played before a service that nobody has configured: its interactive documentation.

import assert from "node:assert/strict";
import { test } from "node:test";
import { API, open } from "./browser.mjs";

test("a developer creates a task in the documentation and sees it in the list, without signing in", async (t) => {
  const page = await open(t);
  const elsewhere = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(API) && !request.url().startsWith("data:")) elsewhere.push(request.url());
  });
  await page.goto(`${API}/docs`);

  assert.equal(await execute(page, "create_task"), "201");
  assert.equal(await execute(page, "list_tasks"), "200");
  await operation(page, "list_tasks").locator(".live-responses-table").getByText("Buy milk").first().waitFor();
  assert.deepEqual(elsewhere, []);
});

function operation(page, id) {
  return page.locator(`.opblock[id$="-${id}"]`);
}

/** Open an operation and press Execute; the status of the answer. */
async function execute(page, id) {
  const block = operation(page, id);
  await block.locator(".opblock-summary-control").click();
  await block.getByRole("button", { name: "Execute" }).click();
  return block.locator(".live-responses-table .response .response-col_status").innerText();
}
