// For everybody: by keyboard alone, on a small telephone, in the dark, and read aloud.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { add, changeTask, checkbox, eventually, newcomer, press, row, saved, signUp, titles, visit } from "./browser.mjs";

const axe = createRequire(new URL("../../examples/web/package.json", import.meta.url)).resolve("axe-core");
const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** What axe has to say against the page, or one element, in each of these surroundings. */
async function complaints(page, within = "html") {
  if (await page.evaluate(() => globalThis.axe === undefined)) await page.evaluate(await readFile(axe, "utf8"));
  const found = [];
  for (const [name, media] of Object.entries(page.surroundings)) {
    await page.emulateMedia(media);
    const options = { runOnly: { type: "tag", values: rules } };
    const { violations } = await page.evaluate(([where, how]) => globalThis.axe.run(where, how), [within, options]);
    found.push(...violations.map(({ id, nodes }) => `${name}: ${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`)}`));
  }
  return found;
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
  for (let presses = 0; presses < 60; presses++) {
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
  await page.keyboard.press("ControlOrMeta+z");
  await eventually(() => titles(page), ["Gamma", "Better", "Alpha"]);
  assert.equal(await focused(page), "Completed: Alpha");
  await page.keyboard.press("Space");

  await tabTo(page, "Delete: Gamma");
  await page.keyboard.press("Enter");
  await page.getByText("Deleted “Gamma”.").waitFor();
  assert.equal(await focused(page), "Completed: Better");
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

test("the focus stays where it is when the list is refreshed around it", async (t) => {
  const page = await newcomer(t, { tasks: [{ title: "Mine" }, { title: "Another" }] });
  await page.getByLabel("Order").selectOption("Changed last");
  await eventually(() => titles(page), ["Another", "Mine"]);
  await press(page, "Edit", "Mine");
  await page.getByLabel("Title").fill("Half-typed");
  await changeTask(page, "Mine", { completed: true });
  await page.evaluate(() => window.dispatchEvent(new Event("focus")));
  await eventually(() => page.locator(".shown .task").first().getAttribute("class"), "task editing completed");

  assert.match(await focused(page), /^Title/);
  assert.equal(await page.getByLabel("Title").inputValue(), "Half-typed");
});

const light = { colorScheme: "light", forcedColors: "none" };
const dark = { colorScheme: "dark", forcedColors: "none" };
const small = { viewport: { width: 320, height: 640 }, isMobile: true, hasTouch: true };
for (const [name, options, surroundings] of [
  ["1000 pixels", {}, { light, dark, "forced colours": { colorScheme: "light", forcedColors: "active" } }],
  ["320 pixels", small, { light, dark }],
]) {
  test(`axe has nothing against the page, whatever is shown, in any colours: ${name}`, async (t) => {
    const page = Object.assign(await visit(t, options), { surroundings });
    assert.deepEqual(await complaints(page), []);

    await signUp(page);
    assert.deepEqual(await complaints(page), []);
    await add(page, "Read a book", "A long note with https://example.com/a-link\n".repeat(8));
    await add(page, "Write a letter");
    await add(page, "Pay the rent");
    await saved(page);
    await checkbox(page, "Read a book").check();
    await press(page, "Edit", "Write a letter");
    await page.getByLabel("Title").fill("x".repeat(300));
    await press(page, "Delete", "Pay the rent");
    await page.getByText("Deleted “Pay the rent”.").waitFor();
    await page.context().setOffline(true);
    await add(page, "Sail around the world");
    await page.getByText("Waiting for the connection").waitFor();
    await page.getByRole("button", { name: "Add", exact: true }).click(); // a blank one: says so
    assert.deepEqual(await complaints(page), []);

    for (const dialog of ["conflict", "shortcuts", "leaving"]) {
      await page.evaluate((id) => document.getElementById(id).showModal(), dialog);
      assert.deepEqual(await complaints(page, `#${dialog}`), []);
      await page.evaluate((id) => document.getElementById(id).close(), dialog);
    }
  });
}

test("320 pixels are wide enough, also for a word without an end", async (t) => {
  const page = await newcomer(t, { viewport: { width: 320, height: 640 }, isMobile: true, hasTouch: true });
  await add(page, "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz".repeat(2), "x".repeat(200));
  await row(page, "Rindfleisch").waitFor();
  const width = () => page.evaluate(() => document.documentElement.scrollWidth);
  assert.equal(await width(), 320);
  await page.getByRole("button", { name: /^Edit/ }).tap();
  assert.equal(await width(), 320);
  for (const dialog of ["conflict", "shortcuts"]) {
    await page.evaluate((id) => document.getElementById(id).showModal(), dialog);
    assert.equal(await width(), 320);
    await page.keyboard.press("Escape");
  }
  await page.getByRole("button", { name: "Cancel" }).tap();

  const sizes = await page.locator("button:visible, input[type=checkbox]:visible, select, summary").evaluateAll((found) =>
    found.map((element) => (element.closest("label") ?? element).getBoundingClientRect()).map(({ height }) => height),
  );
  assert.ok(Math.min(...sizes) >= 24, String(sizes));
});
