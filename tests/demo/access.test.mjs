// For everybody: by keyboard alone, on a small telephone, in the dark, and read aloud.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { add, beside, eventually, makeTasks, newcomer, row, titles, visit } from "./browser.mjs";

const axe = createRequire(new URL("../../examples/web/package.json", import.meta.url)).resolve("axe-core");
const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** What axe has to say against the page as it is now. */
async function complaints(page) {
  await page.evaluate(await readFile(axe, "utf8"));
  const { violations } = await page.evaluate((values) => globalThis.axe.run({ runOnly: { type: "tag", values } }), rules);
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`)}`);
}

/** The name of what has the focus, as a screen reader would say it. */
function focused(page) {
  return page.evaluate(() => {
    const { activeElement: element } = document;
    return (element.labels?.[0]?.textContent || element.ariaLabel || element.textContent).trim();
  });
}

/** Press Tab until something of this name has the focus. */
async function tabTo(page, name) {
  for (let presses = 0; presses < 40; presses++) {
    if ((await focused(page)) === name) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`Tab does not lead to “${name}”`);
}

test("everything can be done by keyboard, and the focus is never lost", async (t) => {
  const page = await visit(t);
  await eventually(() => focused(page), "Name");
  await page.keyboard.type("Ada");
  await tabTo(page, "E-mail");
  await page.keyboard.type(`${crypto.randomUUID()}@example.com`);
  await tabTo(page, "Password");
  await page.keyboard.type("correct horse battery");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "A clean slate" }).waitFor();

  assert.equal(await focused(page), "New task");
  for (const title of ["Alpha", "Beta", "Gamma"]) {
    await page.keyboard.type(title);
    await page.keyboard.press("Enter");
    await row(page, title).waitFor();
    assert.equal(await focused(page), "New task");
  }

  await tabTo(page, "Edit: Beta");
  await page.keyboard.press("Enter");
  assert.match(await focused(page), /^Title/);
  await page.keyboard.press("Escape");
  assert.equal(await focused(page), "Edit: Beta");
  await page.keyboard.press("Enter");
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("Better");
  await page.keyboard.press("Enter");
  await eventually(() => titles(page), ["Gamma", "Better", "Alpha"]);
  assert.equal(await focused(page), "Edit: Better");

  await tabTo(page, "Delete: Better");
  await page.keyboard.press("Enter");
  await page.getByText("Deleted “Better”.").waitFor();
  assert.equal(await focused(page), "Completed: Alpha");
  await page.keyboard.press("Space");
  await row(page, "Alpha").getByText("Changed").waitFor();
  await page.keyboard.press("ControlOrMeta+z");
  await eventually(() => titles(page), ["Better", "Gamma", "Alpha"]);
  assert.equal(await focused(page), "Completed: Alpha");

  await tabTo(page, "Delete: Gamma");
  await page.keyboard.press("Enter"); // the next one is Alpha
  await page.getByText("Deleted “Gamma”.").waitFor();
  assert.equal(await focused(page), "Completed: Alpha");
  await page.keyboard.press("ControlOrMeta+z");
  await eventually(() => titles(page), ["Gamma", "Better", "Alpha"]);

  await page.getByRole("radio", { name: "All" }).focus();
  await page.keyboard.press("ArrowRight");
  await eventually(() => titles(page), ["Gamma", "Better"]);
  await tabTo(page, "Completed: Gamma");
  await page.keyboard.press("Space");
  await eventually(() => titles(page), ["Better"]);
  assert.equal(await focused(page), "Completed: Better");
});

test("Ctrl+Z in a text field is the text field's", async (t) => {
  const page = await newcomer(t);
  await add(page, "Gone");
  await row(page, "Gone").hover();
  await page.getByRole("button", { name: "Delete: Gone" }).click();
  await page.getByText("Deleted “Gone”.").waitFor();
  await page.getByLabel("New task", { exact: true }).focus();
  await page.keyboard.press("ControlOrMeta+z");

  assert.deepEqual(await titles(page), []);
  assert.equal(await page.getByRole("button", { name: "Undo" }).isVisible(), true);
});

test("the focus stays where it is when the list is refreshed around it", async (t) => {
  const page = await newcomer(t);
  await makeTasks(page, [{ title: "Mine" }, { title: "Another" }]);
  await page.reload();
  await page.getByLabel("Order").selectOption("Changed last");
  await eventually(() => titles(page), ["Another", "Mine"]);
  await row(page, "Mine").hover();
  await page.getByRole("button", { name: "Edit: Mine" }).click();
  await page.getByLabel("Title").fill("Half-typed");
  const other = await beside(t, page);
  await other.getByRole("checkbox", { name: "Completed: Mine" }).check();
  await row(other, "Mine").getByText("Changed").waitFor();
  await page.evaluate(() => window.dispatchEvent(new Event("focus")));
  await eventually(() => page.locator(".shown .task").first().getAttribute("class"), "task card editing completed");

  assert.match(await focused(page), /^Title/);
  assert.equal(await page.getByLabel("Title").inputValue(), "Half-typed");
});

test("an undo stays as long as the pointer is on it, and goes by itself otherwise", async (t) => {
  const page = await newcomer(t);
  await page.clock.install();
  await add(page, "Fleeting");
  await row(page, "Fleeting").hover();
  await page.getByRole("button", { name: "Delete: Fleeting" }).click();
  const undo = page.getByRole("button", { name: "Undo" });
  await undo.hover();
  await page.clock.runFor(20_000);
  assert.equal(await undo.isVisible(), true);
  await page.mouse.move(5, 5);
  await page.clock.runFor(6_500);

  assert.equal(await undo.count(), 0);
});

for (const colorScheme of ["light", "dark"]) {
  test(`axe has nothing against the ${colorScheme} page, whatever is shown`, async (t) => {
    const signIn = await visit(t, { colorScheme });
    assert.deepEqual(await complaints(signIn), []);

    const page = await newcomer(t, { colorScheme });
    assert.deepEqual(await complaints(page), []);
    await add(page, "Read a book", "Any book");
    await add(page, "Write a letter");
    await page.getByRole("checkbox", { name: "Completed: Read a book" }).check();
    await row(page, "Write a letter").hover();
    await page.getByRole("button", { name: "Edit: Write a letter" }).click();
    await row(page, "Read a book").hover();
    await page.getByRole("button", { name: "Delete: Read a book" }).click();
    await page.getByText("Deleted “Read a book”.").waitFor();
    await page.context().setOffline(true);
    await add(page, "Sail around the world");
    await page.getByText("Waiting for the connection").waitFor();
    assert.deepEqual(await complaints(page), []);

    await page.evaluate(() => document.querySelector("#conflict").showModal());
    assert.deepEqual(await complaints(page), []);
  });
}

test("360 pixels are wide enough, also for a word without an end", async (t) => {
  const page = await newcomer(t, { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true });
  await add(page, "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz".repeat(2), "x".repeat(200));
  await row(page, "Rindfleisch").waitFor();
  const width = () => page.evaluate(() => document.documentElement.scrollWidth);
  assert.equal(await width(), 360);
  await page.getByRole("button", { name: /^Edit/ }).tap();
  assert.equal(await width(), 360);
  await page.evaluate(() => document.querySelector("#conflict").showModal());
  assert.equal(await width(), 360);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Cancel" }).tap();

  const sizes = await page.locator("button:visible, input[type=checkbox]:visible, select, summary").evaluateAll((found) =>
    found.map((element) => (element.closest("label") ?? element).getBoundingClientRect()).map(({ height }) => height),
  );
  assert.ok(Math.min(...sizes) >= 24, String(sizes));
});
