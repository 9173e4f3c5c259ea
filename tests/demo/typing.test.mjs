// What is typed: said to be wrong where it was typed, by keyboard where people like that, and never lost.

import assert from "node:assert/strict";
import { test } from "node:test";
import { add, checkbox, eventually, makeTasks, newcomer, press, row, saved, titles } from "./browser.mjs";

test("a blank title is said to be missing, beside the field", async (t) => {
  const page = await newcomer(t);
  await add(page, "   ");
  const field = page.getByLabel("New task", { exact: true });
  await page.locator(".composer").getByText("A task needs a title.").waitFor();
  assert.equal(await field.getAttribute("aria-invalid"), "true");
  const description = await field.getAttribute("aria-describedby");
  assert.equal(await page.locator(`[id="${description}"]`).innerText(), "A task needs a title.");
  await field.fill("Something");
  assert.equal(await page.getByText("A task needs a title.").count(), 0);
  await field.press("Enter");

  await eventually(() => titles(page), ["Something"]);
});

test("what is too long is kept, and said to be too long", async (t) => {
  const page = await newcomer(t);
  const field = page.getByLabel("New task", { exact: true });
  await field.evaluate((input) => input.focus());
  await page.keyboard.insertText("😀".repeat(300));
  await page.getByText("This is 45 characters too long: 300 of 255.").waitFor();
  await field.press("Enter");
  assert.equal(await field.inputValue(), "😀".repeat(300));
  assert.deepEqual(await titles(page), []);
  await field.fill("😀".repeat(255));
  await page.getByText("Add a note").click();
  await page.getByLabel("Note of the new task").fill("x".repeat(1001));
  await page.getByText("This is 1 character too long: 1001 of 1000.").waitFor();
  await page.getByLabel("Note of the new task").fill("x".repeat(1000));
  await page.getByRole("button", { name: "Add", exact: true }).click();

  await row(page, "😀").waitFor();
});

test("what a full browser cannot keep stays in its field", async (t) => {
  const page = await newcomer(t);
  await page.evaluate(() => {
    Storage.prototype.setItem = () => {
      throw new DOMException("full", "QuotaExceededError");
    };
  });
  await page.getByLabel("New task", { exact: true }).evaluate((input) => (input.value = "Too much"));
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByText("This browser has no room left.").waitFor();

  assert.equal(await page.getByLabel("New task", { exact: true }).inputValue(), "Too much");
});

test("a draft outlives a reload", async (t) => {
  const page = await newcomer(t);
  await page.getByLabel("New task", { exact: true }).fill("Half a");
  await page.reload();

  await eventually(() => page.getByLabel("New task", { exact: true }).inputValue(), "Half a");
});

test("a double click edits, Enter saves, Escape cancels and can be undone", async (t) => {
  const page = await newcomer(t);
  await add(page, "Tea");
  await row(page, "Tea").locator(".title").dblclick();
  await page.getByLabel("Title").fill("Green tea");
  await page.keyboard.press("Enter");
  await eventually(() => titles(page), ["Green tea"]);
  await page.locator(".shown .title").dblclick();
  await page.getByLabel("Title").fill("Black tea");
  await page.keyboard.press("Escape");
  assert.deepEqual(await titles(page), ["Green tea"]);
  await page.getByText("Your changes were discarded.").waitFor();
  await page.getByRole("button", { name: "Undo" }).click();
  assert.equal(await page.getByLabel("Title").inputValue(), "Black tea");
  await page.keyboard.press("Enter");

  await eventually(() => titles(page), ["Black tea"]);
  await saved(page);
});

test("single keys do what the sheet of shortcuts says, until they are switched off", async (t) => {
  const page = await newcomer(t, { tasks: [{ title: "Third" }, { title: "Second" }, { title: "First" }] });
  await eventually(() => titles(page), ["First", "Second", "Third"]);
  const focused = () => page.evaluate(() => document.activeElement.labels?.[0]?.textContent.trim());
  await page.locator("#main").focus();
  await page.keyboard.press("?");
  const sheet = page.getByRole("dialog", { name: "Keyboard shortcuts" });
  await sheet.getByText("Write a new task").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("#main").focus();
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  assert.equal(await focused(), "Completed: Second");
  await page.keyboard.press("x");
  assert.equal(await checkbox(page, "Second").isChecked(), true);
  await page.keyboard.press("k");
  assert.equal(await focused(), "Completed: First");
  await page.keyboard.press("#");
  assert.deepEqual(await titles(page), ["Second", "Third"]);
  await page.keyboard.press("ArrowDown");
  assert.equal(await focused(), "Completed: Third");
  await page.keyboard.press("e");
  assert.equal(await page.getByLabel("Title").inputValue(), "Third");
  await page.keyboard.press("Escape");
  await page.keyboard.press("2");
  assert.deepEqual(await titles(page), ["Third"]);
  await page.keyboard.press("/");
  await page.keyboard.type("nj");
  assert.equal(await page.getByLabel("Search").inputValue(), "nj");
  await page.locator("#main").focus();
  await page.keyboard.press("n");
  assert.equal(await focused(), "New task");

  await page.locator("#main").focus();
  await page.getByRole("button", { name: "Keyboard shortcuts" }).click();
  await sheet.getByLabel("Use single keys as shortcuts").uncheck();
  await sheet.getByRole("button", { name: "Close" }).click();
  await page.locator("#main").focus();
  await page.keyboard.press("n");
  assert.notEqual(await focused(), "New task");
});
