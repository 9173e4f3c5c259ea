// What was done can be taken back, and comes back as it was.

import assert from "node:assert/strict";
import { test } from "node:test";
import { add, checkbox, eventually, installClock, newcomer, press, saved, serverTasks, titles } from "./browser.mjs";

async function withTasks(t, ...names) {
  const page = await newcomer(t, { tasks: names.map((title) => ({ title })).reverse() });
  await eventually(() => titles(page), names);
  return page;
}

test("a deleted task comes back in its place, as the same task", async (t) => {
  const page = await withTasks(t, "One", "Two", "Three");
  const before = await serverTasks(page);
  await press(page, "Delete", "Two");
  await eventually(() => titles(page), ["One", "Three"]);
  await page.getByRole("button", { name: "Undo" }).click();

  await eventually(() => titles(page), ["One", "Two", "Three"]);
  await page.reload();
  await eventually(() => titles(page), ["One", "Two", "Three"]);
  assert.deepEqual(await serverTasks(page), before);
});

test("a deletion that nobody took back is sent when its time is over, and when the page is left", async (t) => {
  const page = await withTasks(t, "One", "Two", "Three");
  await installClock(page);
  await press(page, "Delete", "Two");
  await page.getByText("Deleted “Two”.").waitFor();
  await page.clock.runFor(6_500);
  await eventually(async () => (await serverTasks(page)).map(({ title }) => title), ["One", "Three"]);
  await press(page, "Delete", "Three");
  await page.reload();

  await eventually(() => titles(page), ["One"]);
  await eventually(async () => (await serverTasks(page)).map(({ title }) => title), ["One"]);
});

test("Ctrl+Z takes back one thing after the other, and never what was typed elsewhere", async (t) => {
  const page = await withTasks(t, "One", "Two", "Three");
  const search = page.getByLabel("Search");
  await search.pressSequentially("x");
  await search.press("Backspace");
  await press(page, "Delete", "One");
  await press(page, "Delete", "Two");
  await eventually(() => titles(page), ["Three"]);
  assert.equal(await page.locator(".message").count(), 1);
  await page.keyboard.press("ControlOrMeta+z");
  await eventually(() => titles(page), ["Two", "Three"]);
  await page.getByText("Deleted “One”.").waitFor();
  await page.keyboard.press("ControlOrMeta+z");
  await eventually(() => titles(page), ["One", "Two", "Three"]);
  await page.keyboard.press("ControlOrMeta+z");

  assert.equal(await search.inputValue(), "");
  assert.deepEqual(await titles(page), ["One", "Two", "Three"]);
});

test("a completed task is reopened by the same message", async (t) => {
  const page = await withTasks(t, "One");
  await checkbox(page, "One").check();
  await page.getByText("Completed “One”.").waitFor();
  await page.getByRole("button", { name: "Undo" }).click();
  await saved(page);

  assert.equal(await checkbox(page, "One").isChecked(), false);
  assert.equal((await serverTasks(page))[0].completed, false);
});

test("messages do not pile up", async (t) => {
  const page = await withTasks(t, "One", "Two", "Three", "Four", "Five");
  for (const title of ["One", "Two", "Three", "Four", "Five"]) await press(page, "Delete", title);

  assert.deepEqual(await page.locator(".message > span").allInnerTexts(), ["Deleted “Five”."]);
});

test("all are completed, reopened and deleted at once, and taken back at once", async (t) => {
  const page = await withTasks(t, "One", "Two", "Three");
  await checkbox(page, "Two").check();
  const all = page.getByRole("checkbox", { name: "Complete all" });
  await all.check();
  await page.getByText("Completed 2 tasks.").waitFor();
  await page.getByText("0 left").waitFor();
  await page.keyboard.press("ControlOrMeta+z");
  await page.getByText("2 left").waitFor();
  assert.equal(await checkbox(page, "Two").isChecked(), true);
  await all.check();
  await all.uncheck();
  await page.getByText("3 left").waitFor();
  await checkbox(page, "One").check();
  await checkbox(page, "Three").check();
  await page.getByRole("button", { name: "Delete completed" }).click();
  await eventually(() => titles(page), ["Two"]);
  await page.keyboard.press("ControlOrMeta+z");
  await eventually(() => titles(page), ["One", "Two", "Three"]);
  await page.getByRole("button", { name: "Delete completed" }).click();
  await page.getByRole("button", { name: "Dismiss" }).click();

  await eventually(async () => (await serverTasks(page)).map(({ title }) => title), ["Two"]);
});

test("Ctrl+Z in a text field is the text field's", async (t) => {
  const page = await newcomer(t);
  await add(page, "Gone");
  await press(page, "Delete", "Gone");
  await page.getByText("Deleted “Gone”.").waitFor();
  await page.getByLabel("New task", { exact: true }).focus();
  await page.keyboard.press("ControlOrMeta+z");

  assert.deepEqual(await titles(page), []);
  assert.equal(await page.getByRole("button", { name: "Undo" }).isVisible(), true);
});

test("an undo stays as long as the pointer is on it, and goes by itself otherwise", async (t) => {
  const page = await newcomer(t);
  await installClock(page);
  await add(page, "Fleeting");
  await press(page, "Delete", "Fleeting");
  const undo = page.getByRole("button", { name: "Undo" });
  await undo.hover();
  await page.clock.runFor(20_000);
  assert.equal(await undo.isVisible(), true);
  await page.mouse.move(5, 5);
  await page.clock.runFor(6_500);

  assert.equal(await undo.count(), 0);
});
