// Many tasks: found, filtered, ordered, and scrolled through to the end.

import assert from "node:assert/strict";
import { test } from "node:test";
import { add, checkbox, eventually, newcomer, row, saved, titles } from "./browser.mjs";

const withTasks = (t, tasks) => newcomer(t, { tasks });

test("scrolling reaches every task, each once and in order, also those that came meanwhile", async (t) => {
  const many = Array.from({ length: 220 }, (_, number) => ({ title: `Task ${number + 1}` }));
  const page = await withTasks(t, many);
  assert.equal((await titles(page)).length, 100);
  await add(page, "Meanwhile");
  await eventually(async () => {
    await page.mouse.wheel(0, 4000);
    return (await titles(page)).length;
  }, 221);

  assert.deepEqual(await titles(page), ["Meanwhile", ...many.map(({ title }) => title).reverse()]);
  await page.getByText("221 left").waitFor();
});

test("a task without a note is one line of 36 to 44 pixels, and a long note does not fill the screen", async (t) => {
  const page = await withTasks(t, [{ title: "Short" }, { title: "Long", description: "line\n".repeat(30) }]);
  const height = async (title) => (await row(page, title).boundingBox()).height;
  assert.ok((await height("Short")) >= 36 && (await height("Short")) <= 44, String(await height("Short")));
  assert.ok((await height("Long")) < 150, String(await height("Long")));
  await page.getByRole("button", { name: "Show all" }).click();
  assert.ok((await height("Long")) > 400);
  await page.getByRole("button", { name: "Show less" }).click();
  assert.ok((await height("Long")) < 150);
});

test("search finds in titles and notes, takes % as it is, and says when there is nothing", async (t) => {
  const page = await withTasks(t, [{ title: "100% wool" }, { title: "Socks", description: "WOOL too" }, { title: "1000 nails" }]);
  const search = page.getByLabel("Search");
  await search.fill("wool");
  await eventually(() => titles(page), ["Socks", "100% wool"]);
  await search.fill("0%");
  await eventually(() => titles(page), ["100% wool"]);
  await search.fill("silk");
  await page.getByRole("heading", { name: "Nothing found" }).waitFor();
  await search.fill("");
  await eventually(() => titles(page), ["1000 nails", "Socks", "100% wool"]);
});

test("each filter says how many tasks it has, and the list how many are left", async (t) => {
  const page = await withTasks(t, [{ title: "Open" }, { title: "Opened" }, { title: "Done", completed: true }]);
  const filters = () => page.locator(".choice label").allTextContents();
  assert.deepEqual(await filters(), ["All 3", "Pending 2", "Completed 1"]);
  await page.getByText("2 left").waitFor();
  await checkbox(page, "Open").check();
  assert.deepEqual(await filters(), ["All 3", "Pending 1", "Completed 2"]);
  await page.getByLabel("Search").fill("opened");
  assert.deepEqual(await filters(), ["All 1", "Pending 1", "Completed 0"]);
});

test("filter, search and order are in the address: a reload keeps them, and Back takes them back", async (t) => {
  const page = await withTasks(t, [{ title: "Pears" }, { title: "Apples" }, { title: "Plums", completed: true }]);
  await page.getByRole("radio", { name: "Pending" }).check();
  await page.getByLabel("Order").selectOption("By title");
  await page.getByLabel("Search").pressSequentially("ap");
  assert.deepEqual(await titles(page), ["Apples"]);
  assert.equal(new URL(page.url()).search, "?show=pending&search=ap&order=title");
  await page.reload();
  await eventually(() => titles(page), ["Apples"]);
  assert.equal(await page.getByLabel("Search").inputValue(), "ap");
  await page.goBack();
  await eventually(() => titles(page), ["Apples", "Pears"]);
  await page.goBack();
  await page.goBack();

  await eventually(() => titles(page), ["Plums", "Apples", "Pears"]);
  assert.equal(await page.getByRole("radio", { name: "All" }).isChecked(), true);
});

test("filters show what is pending and what is completed, and a task leaves when it no longer fits", async (t) => {
  const page = await withTasks(t, [{ title: "Open" }, { title: "Done", completed: true }]);
  await page.getByRole("radio", { name: "Completed" }).check();
  await eventually(() => titles(page), ["Done"]);
  await page.getByRole("radio", { name: "Pending" }).check();
  await eventually(() => titles(page), ["Open"]);
  await checkbox(page, "Open").click();
  await page.getByRole("heading", { name: "All done" }).waitFor();
  await page.getByText("Completed “Open”.").waitFor();

  await page.getByRole("radio", { name: "All" }).check();
  await eventually(() => titles(page), ["Done", "Open"]);
});

test("the order can be chosen", async (t) => {
  const page = await withTasks(t, [{ title: "Pears" }, { title: "apples" }, { title: "Bread" }]);
  const order = page.getByLabel("Order");
  await order.selectOption("By title");
  await eventually(() => titles(page), ["apples", "Bread", "Pears"]);
  await order.selectOption("Oldest first");
  await eventually(() => titles(page), ["Pears", "apples", "Bread"]);
  await checkbox(page, "apples").check();
  await saved(page);
  await order.selectOption("Changed last");
  await eventually(() => titles(page), ["apples", "Bread", "Pears"]);
});

test("what is added is shown, also when the filter would hide it", async (t) => {
  const page = await withTasks(t, [{ title: "Done", completed: true }]);
  await page.getByRole("radio", { name: "Completed" }).check();
  await page.getByLabel("Search").fill("do");
  await add(page, "Brand new");

  await eventually(() => titles(page), ["Brand new", "Done"]);
  assert.equal(await page.getByRole("radio", { name: "All" }).isChecked(), true);
  assert.equal(await page.getByLabel("Search").inputValue(), "");
});

test("what people write is shown as text", async (t) => {
  const title = "<img src=x onerror=alert(1)> & “quotes”";
  const page = await withTasks(t, [{ title, description: "<b>no</b>\nsecond line" }]);

  assert.deepEqual(await titles(page), [title]);
  assert.equal(await page.locator(".shown img, .shown b").count(), 0);
});

test("addresses in notes can be followed, and text runs as its letters do", async (t) => {
  const description = "See https://example.com/a?b=1, then (http://example.org/x). javascript:alert(1) https://";
  const page = await withTasks(t, [{ title: "קנה חלב", description }]);
  const links = await page.locator(".shown a").evaluateAll((found) => found.map(({ href, rel, target }) => [href, rel, target]));

  assert.deepEqual(links, [
    ["https://example.com/a?b=1", "noopener noreferrer", "_blank"],
    ["http://example.org/x", "noopener noreferrer", "_blank"],
  ]);
  assert.equal(await page.locator(".shown .description").innerText(), description);
  assert.equal(await page.locator(".shown .title").evaluate((element) => getComputedStyle(element).direction), "rtl");
});
