// The same tasks at two places: neither overwrites what the other wrote without being asked.

import assert from "node:assert/strict";
import { test } from "node:test";
import { PAGE, add, changeTask, checkbox, eventually, makeTasks, newcomer, press, row, saved, serverTasks, signUp, titles } from "./browser.mjs";

/** Somebody edits the only task, which is renamed elsewhere meanwhile. */
async function renamedElsewhere(t) {
  const page = await editing(t, { title: "Paint the fence", description: "Green" });
  await changeTask(page, "Paint the fence", { title: "Paint the gate" });
  return page;
}

/** Somebody whose only task is open in its editor. */
async function editing(t, task) {
  const page = await newcomer(t, { tasks: [task] });
  await press(page, "Edit", task.title);
  return page;
}

async function save(page, text) {
  await page.getByLabel("Title").fill(text);
  await page.getByRole("button", { name: "Save" }).click();
}

/** The titles that the service has. */
const stored = async (page) => (await serverTasks(page)).map(({ title }) => title);

test("a conflict shows both versions, and keeping mine overwrites theirs", async (t) => {
  const page = await renamedElsewhere(t);
  await save(page, "Paint the house");

  const question = page.getByRole("dialog", { name: "Somebody was faster" });
  await question.getByRole("region", { name: "Yours" }).getByText("Paint the house").waitFor();
  await question.getByRole("region", { name: "Theirs" }).getByText("Paint the gate").waitFor();
  await question.getByRole("button", { name: "Keep mine" }).click();

  await eventually(() => titles(page), ["Paint the house"]);
  await eventually(() => stored(page), ["Paint the house"]);
});

test("taking theirs leaves it as it is", async (t) => {
  const page = await renamedElsewhere(t);
  await save(page, "Paint the house");
  await page.getByRole("button", { name: "Take theirs" }).click();

  await eventually(() => titles(page), ["Paint the gate"]);
  await saved(page);
  assert.deepEqual(await stored(page), ["Paint the gate"]);
});

test("leaving the question open goes back to the editor with what was typed", async (t) => {
  const page = await renamedElsewhere(t);
  await save(page, "Paint the house");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Enter"); // a hasty one decides nothing
  await page.keyboard.press("Escape");

  assert.equal(await page.getByLabel("Title").inputValue(), "Paint the house");
  assert.deepEqual(await stored(page), ["Paint the gate"]);
});

test("a conflict is noticed as well where the task came with the list, and again after it was resolved", async (t) => {
  const page = await renamedElsewhere(t);
  await page.reload();
  await row(page, "Paint the gate").waitFor();
  await press(page, "Edit", "Paint the gate");
  await changeTask(page, "Paint the gate", { title: "Paint the door" });
  await save(page, "Paint the wall");
  await page.getByRole("dialog").getByText("Paint the door").waitFor();

  await changeTask(page, "Paint the door", { title: "Paint the roof" });
  await page.getByRole("button", { name: "Keep mine" }).click();
  await page.getByRole("dialog").getByText("Paint the roof").waitFor();
  await page.getByRole("button", { name: "Keep mine" }).click();

  await eventually(() => titles(page), ["Paint the wall"]);
  await eventually(() => stored(page), ["Paint the wall"]);
});

test("a task that was only ticked off elsewhere is renamed without a question", async (t) => {
  const page = await editing(t, { title: "Sweep the stairs" });
  await changeTask(page, "Sweep the stairs", { completed: true });
  await save(page, "Sweep the yard");

  await row(page, "Sweep the yard").waitFor();
  assert.equal(await checkbox(page, "Sweep the yard").isChecked(), true);
});

test("a title changed here and a note changed elsewhere are both kept without a question", async (t) => {
  const page = await editing(t, { title: "Bake bread", description: "Rye" });
  await changeTask(page, "Bake bread", { description: "Spelt" });
  await save(page, "Bake two loaves");

  await row(page, "Bake two loaves").getByText("Spelt").waitFor();
  const [{ title, description }] = await serverTasks(page);
  assert.deepEqual([title, description], ["Bake two loaves", "Spelt"]);
});

test("what was edited while it was deleted elsewhere can be brought back", async (t) => {
  const page = await editing(t, { title: "Mend the bicycle" });
  await changeTask(page, "Mend the bicycle", null);
  await save(page, "Mend both bicycles");

  await page.getByRole("button", { name: "Bring it back" }).click();
  await eventually(() => titles(page), ["Mend both bicycles"]);
  await eventually(() => stored(page), ["Mend both bicycles"]);
});

test("coming back to the window shows what happened elsewhere", async (t) => {
  const page = await newcomer(t);
  await makeTasks(page, [{ title: "Feed the cat" }]);
  assert.deepEqual(await titles(page), []);
  await page.evaluate(() => window.dispatchEvent(new Event("focus")));

  await eventually(() => titles(page), ["Feed the cat"]);
});

test("people who share a browser do not see each other's tasks", async (t) => {
  const page = await newcomer(t);
  await add(page, "Buy a present for Eve");
  await row(page, "Buy a present for Eve").waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Create account" }).click();
  await signUp(page, { name: "Eve" });

  assert.equal(await page.getByText("Buy a present for Eve").count(), 0);
});

test("another tab shows every change at once, without being looked at", async (t) => {
  const page = await newcomer(t);
  const tab = await page.context().newPage();
  await tab.goto(PAGE);
  await tab.getByRole("heading", { name: "A clean slate" }).waitFor();
  await tab.evaluate(() => {
    for (const target of [window, document]) for (const type of ["focus", "visibilitychange"]) {
      target.addEventListener(type, (event) => event.stopImmediatePropagation(), { capture: true });
    }
  });
  await add(page, "Seen everywhere");
  await row(tab, "Seen everywhere").waitFor();
  await checkbox(page, "Seen everywhere").check();
  await eventually(() => checkbox(tab, "Seen everywhere").isChecked(), true);
  await press(page, "Delete", "Seen everywhere");
  await page.getByRole("button", { name: "Dismiss" }).click();

  await eventually(() => titles(tab), []);
});

test("signing out in one tab signs out in all", async (t) => {
  const page = await newcomer(t);
  const tab = await page.context().newPage();
  await tab.goto(PAGE);
  await tab.getByRole("heading", { name: "A clean slate" }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();

  await tab.getByRole("heading", { name: "Welcome back" }).waitFor();
});

test("an unchanged list is not sent again", async (t) => {
  const page = await newcomer(t);
  await add(page, "Unchanged");
  await saved(page);
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  const statuses = [];
  session.on("Network.responseReceivedExtraInfo", ({ statusCode }) => statuses.push(statusCode));
  const look = () => page.evaluate(() => window.dispatchEvent(new Event("focus")));

  await eventually(async () => {
    const before = statuses.length;
    await look(); // takes the place of one whose list has come and is not read yet
    await eventually(() => statuses.length > before, true);
    return statuses.at(-1);
  }, 304);
});
