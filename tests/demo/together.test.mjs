// Two browsers at the same tasks: neither overwrites what the other wrote without being asked.

import assert from "node:assert/strict";
import { test } from "node:test";
import { PAGE, add, beside, checkbox, eventually, newcomer, press, row, saved, serverTasks, signUp, titles } from "./browser.mjs";

/** Two browsers of one person, both showing one task; the second has just renamed it. */
async function renamedElsewhere(t) {
  const page = await newcomer(t);
  await add(page, "Paint the fence", "Green");
  await row(page, "Paint the fence").waitFor();
  const other = await beside(t, page);
  await edit(page, "Paint the fence");
  await edit(other, "Paint the fence", "Paint the gate");
  await row(other, "Paint the gate").waitFor();
  return [page, other];
}

/** Open an editor; type and save, if there is something to type. */
async function edit(page, title, text) {
  await press(page, "Edit", title);
  if (text === undefined) return;
  await page.getByLabel("Title").fill(text);
  await page.getByRole("button", { name: "Save" }).click();
}

async function save(page, text) {
  await page.getByLabel("Title").fill(text);
  await page.getByRole("button", { name: "Save" }).click();
}

test("a conflict shows both versions, and keeping mine overwrites theirs", async (t) => {
  const [page, other] = await renamedElsewhere(t);
  await save(page, "Paint the house");

  const question = page.getByRole("dialog", { name: "Somebody was faster" });
  await question.getByRole("region", { name: "Yours" }).getByText("Paint the house").waitFor();
  await question.getByRole("region", { name: "Theirs" }).getByText("Paint the gate").waitFor();
  await question.getByRole("button", { name: "Keep mine" }).click();

  await eventually(() => titles(page), ["Paint the house"]);
  await other.reload();
  await eventually(() => titles(other), ["Paint the house"]);
});

test("taking theirs leaves it as it is", async (t) => {
  const [page, other] = await renamedElsewhere(t);
  await save(page, "Paint the house");
  await page.getByRole("button", { name: "Take theirs" }).click();

  await eventually(() => titles(page), ["Paint the gate"]);
  await other.reload();
  await eventually(() => titles(other), ["Paint the gate"]);
});

test("leaving the question open goes back to the editor with what was typed", async (t) => {
  const [page, other] = await renamedElsewhere(t);
  await save(page, "Paint the house");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Enter"); // a hasty one decides nothing
  await page.keyboard.press("Escape");

  assert.equal(await page.getByLabel("Title").inputValue(), "Paint the house");
  await other.reload();
  await eventually(() => titles(other), ["Paint the gate"]);
});

test("a conflict is noticed as well where the task came with the list, and again after it was resolved", async (t) => {
  const [first, page] = await renamedElsewhere(t);
  await first.reload();
  await row(first, "Paint the gate").waitFor();
  await edit(first, "Paint the gate");
  await edit(page, "Paint the gate", "Paint the door");
  await row(page, "Paint the door").waitFor();
  await save(first, "Paint the wall");
  await first.getByRole("dialog").getByText("Paint the door").waitFor();

  await edit(page, "Paint the door", "Paint the roof");
  await row(page, "Paint the roof").waitFor();
  await first.getByRole("button", { name: "Keep mine" }).click();
  await first.getByRole("dialog").getByText("Paint the roof").waitFor();
  await first.getByRole("button", { name: "Keep mine" }).click();

  await eventually(() => titles(first), ["Paint the wall"]);
});

test("a task that was only ticked off elsewhere is renamed without a question", async (t) => {
  const page = await newcomer(t);
  await add(page, "Sweep the stairs");
  await row(page, "Sweep the stairs").waitFor();
  const other = await beside(t, page);
  await edit(page, "Sweep the stairs");
  await checkbox(other, "Sweep the stairs").check();
  await saved(other);
  await save(page, "Sweep the yard");

  await row(page, "Sweep the yard").waitFor();
  assert.equal(await checkbox(page, "Sweep the yard").isChecked(), true);
});

test("a title changed here and a note changed elsewhere are both kept without a question", async (t) => {
  const page = await newcomer(t);
  await add(page, "Bake bread", "Rye");
  await row(page, "Bake bread").waitFor();
  const other = await beside(t, page);
  await edit(page, "Bake bread");
  await edit(other, "Bake bread");
  await other.getByLabel("Note", { exact: true }).fill("Spelt");
  await other.getByRole("button", { name: "Save" }).click();
  await row(other, "Spelt").waitFor();
  await save(page, "Bake two loaves");

  await row(page, "Bake two loaves").getByText("Spelt").waitFor();
  await other.reload();
  await row(other, "Bake two loaves").getByText("Spelt").waitFor();
});

test("what was edited while it was deleted elsewhere can be brought back", async (t) => {
  const page = await newcomer(t);
  await add(page, "Mend the bicycle");
  await row(page, "Mend the bicycle").waitFor();
  const other = await beside(t, page);
  await edit(page, "Mend the bicycle");
  await press(other, "Delete", "Mend the bicycle");
  await other.getByRole("button", { name: "Dismiss" }).click();
  await eventually(async () => (await serverTasks(other)).length, 0);
  await save(page, "Mend both bicycles");

  await page.getByRole("button", { name: "Bring it back" }).click();
  await eventually(() => titles(page), ["Mend both bicycles"]);
});

test("coming back to the window shows what happened elsewhere", async (t) => {
  const page = await newcomer(t);
  const other = await beside(t, page);
  await add(other, "Feed the cat");
  await row(other, "Feed the cat").waitFor();
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
  await look();
  await eventually(() => statuses.length > 0, true);
  await look();

  await eventually(() => statuses.at(-1), 304);
});
