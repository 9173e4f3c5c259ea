// Played before a service that nobody has configured: its interactive documentation.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { API, eventually, open } from "./browser.mjs";

const axe = createRequire(new URL("../../examples/web/package.json", import.meta.url)).resolve("axe-core");

// One page for both: to draw it costs more than all that is done there.
test("the documentation of a service that nobody has configured", async (t) => {
  const page = await open(t);
  const elsewhere = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(API) && !request.url().startsWith("data:")) elsewhere.push(request.url());
  });
  await page.goto(`${API}/docs`);

  await t.test("a developer creates a task in it and sees it in the list, without signing in", async () => {
    assert.equal(await execute(page, "create_task"), "201");
    assert.equal(await execute(page, "list_tasks"), "200");
    await operation(page, "list_tasks").locator(".live-responses-table").getByText("Buy milk").first().waitFor();
    assert.deepEqual(elsewhere, []);
  });

  await t.test("every text has enough contrast, in light and in dark, which follow the reader's system", async () => {
    await expand(page, ["update_task", "delete_task", "complete_task", "ready"]);
    await page.getByRole("button", { name: "Authorize" }).first().click();
    await page.getByRole("heading", { name: "Available authorizations" }).waitFor();
    await page.addStyleTag({ content: "* { transition: none !important; animation: none !important }" });
    await page.evaluate(await readFile(axe, "utf8"));

    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await eventually(async () => Number(/\d+/.exec(await colour(page))) > 128, colorScheme === "dark");
      const found = await page.evaluate(() => globalThis.axe.run({ runOnly: ["color-contrast"] }));
      assert.deepEqual(found.violations.flatMap(({ nodes }) => nodes.map((node) => [node.target, node.failureSummary])), []);
      assert.ok(found.passes[0].nodes.length > 100);
    }
  });
});

/** The colour of the heading: light in dark mode. */
function colour(page) {
  return page.locator(".info .title").evaluate((element) => getComputedStyle(element).color);
}

function operation(page, id) {
  return page.locator(`.opblock[id$="-${id}"]`);
}

/** Open operations, all at once: after each one the page draws everything anew. */
async function expand(page, ids) {
  await page.evaluate((names) => {
    for (const name of names) document.querySelector(`.opblock[id$="-${name}"] .opblock-summary-control`).click();
  }, ids);
  for (const id of ids) await operation(page, id).locator(".opblock-body").waitFor();
}

/** Open an operation and press Execute; the status of the answer. */
async function execute(page, id) {
  const block = operation(page, id);
  await block.locator(".opblock-summary-control").click();
  await block.getByRole("button", { name: "Execute" }).click();
  return block.locator(".live-responses-table .response .response-col_status").innerText();
}
