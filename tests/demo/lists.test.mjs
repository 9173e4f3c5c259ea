// Many tasks: found, filtered, ordered, and scrolled through to the end.

import assert from "node:assert/strict";
import { test } from "node:test";
import { API, add, eventually, makeTasks, newcomer, row, titles } from "./browser.mjs";

async function withTasks(t, list) {
  const page = await newcomer(t);
  await makeTasks(page, list);
  await page.reload();
  await page.locator(".shown .task").first().waitFor();
  return page;
}

test("scrolling reaches every task, each once and in order, also those that came meanwhile", async (t) => {
  const many = Array.from({ length: 75 }, (_, number) => ({ title: `Task ${number + 1}` }));
  const page = await withTasks(t, many);
  assert.equal((await titles(page)).length, 30);
  await add(page, "Meanwhile");
  await row(page, "Meanwhile").waitFor();
  await eventually(async () => {
    await page.mouse.wheel(0, 4000);
    return (await titles(page)).length;
  }, 76);

  assert.deepEqual(await titles(page), ["Meanwhile", ...many.map(({ title }) => title).reverse()]);
  await page.getByText("76 tasks").waitFor();
});

test("a tall window is filled without scrolling", async (t) => {
  const page = await newcomer(t, { viewport: { width: 1000, height: 9000 } });
  await makeTasks(page, Array.from({ length: 62 }, (_, number) => ({ title: `Task ${number}` })));
  await page.reload();

  await page.getByText("62 tasks").waitFor();
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

test("typing asks once it pauses, and a late answer to an earlier question is not shown", async (t) => {
  const page = await withTasks(t, [{ title: "Apples" }, { title: "Bread" }]);
  const asked = [];
  await page.route(`${API}/**`, async (route) => {
    const search = new URL(route.request().url()).searchParams.get("search");
    asked.push(search);
    if (search === "apples") await new Promise((resolve) => setTimeout(resolve, 800));
    await route.fallback();
  });
  await page.getByLabel("Search").evaluate((input) => {
    for (const letter of "apples") {
      input.value += letter;
      input.dispatchEvent(new InputEvent("input", { bubbles: true }));
    }
  });
  await eventually(() => asked, ["apples"]);
  await page.getByLabel("Search").fill("bread");
  await eventually(() => titles(page), ["Bread"]);
  await page.waitForTimeout(1000);

  assert.deepEqual(await titles(page), ["Bread"]);
  assert.deepEqual(asked, ["apples", "bread"]);
});

test("filters show what is pending and what is completed, and a task leaves when it no longer fits", async (t) => {
  const page = await withTasks(t, [{ title: "Open" }, { title: "Done", completed: true }]);
  await page.getByRole("radio", { name: "Completed" }).check();
  await eventually(() => titles(page), ["Done"]);
  await page.getByRole("radio", { name: "Pending" }).check();
  await eventually(() => titles(page), ["Open"]);
  await page.getByRole("checkbox", { name: "Completed: Open" }).click();
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
  await page.getByRole("checkbox", { name: "Completed: apples" }).check();
  await row(page, "apples").getByText("Changed").waitFor();
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
