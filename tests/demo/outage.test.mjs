// A connection that comes and goes: what people wrote is neither lost nor doubled.

import assert from "node:assert/strict";
import { test } from "node:test";
import { add, API, checkbox, eventually, installClock, makeTasks, newcomer, press, row, saved, serverTasks, signIn, titles } from "./browser.mjs";

const CORS = { "Access-Control-Allow-Origin": process.env.DEMO_PAGE, "Access-Control-Allow-Credentials": "true" };
const TASKS = `${API}/api/*/tasks`;

/** Answer in the service's place: to these methods, as often as told. */
async function failing(page, { method, status, times, headers = {} }) {
  let left = times;
  await page.route(`${API}/**`, async (route) => {
    if (route.request().method() !== method || left-- <= 0) return route.fallback();
    const body = JSON.stringify({ status, detail: "The database takes a rest." });
    return route.fulfill({ status, body, headers: { ...CORS, "Content-Type": "application/problem+json", ...headers } });
  });
}

/** The Idempotency-Key of each create on its way. */
function keysOf(page) {
  const keys = [];
  page.on("request", (request) => {
    if (request.method() === "POST" && request.url().startsWith(API)) keys.push(request.headers()["idempotency-key"]);
  });
  return keys;
}

test("what is written offline waits, and is sent when the connection is back", async (t) => {
  const page = await newcomer(t);
  await page.context().setOffline(true);
  await page.getByText("You are offline.").waitFor();
  await add(page, "First");
  await add(page, "Second");
  await page.locator(".unsent").getByText("Waiting for the connection").nth(1).waitFor();
  assert.deepEqual(await titles(page), ["Second", "First"]);

  await page.context().setOffline(false);
  await saved(page);
  assert.deepEqual((await serverTasks(page)).map(({ title }) => title), ["Second", "First"]);
  assert.equal(await page.getByText("You are offline.").count(), 0);
});

test("a task whose answer never came survives that the page is closed, and is not made twice", async (t) => {
  const page = await newcomer(t);
  let lost = true; // not unroute(): it would hand over what a handler has just begun with
  await page.route(TASKS, async (route) => {
    if (!lost || route.request().method() !== "POST") return route.fallback();
    await route.fetch().catch(() => {}); // the page may be closed meanwhile
    return route.abort();
  });
  await add(page, "Do not lose me");
  await page.getByText("Saving…").waitFor();
  await page.reload();
  await page.getByText("Saving…").waitFor();
  lost = false;

  await saved(page);
  await page.reload();
  await eventually(() => titles(page), ["Do not lose me"]);
});

test("an add whose answer is lost makes one task", async (t) => {
  const page = await newcomer(t);
  const keys = keysOf(page);
  let lost = 0;
  await page.route(TASKS, async (route) => {
    if (route.request().method() !== "POST" || lost++ >= 2) return route.fallback();
    await route.fetch();
    return route.abort();
  });
  await add(page, "Only once");
  await saved(page);

  assert.deepEqual((await serverTasks(page)).map(({ title }) => title), ["Only once"]);
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1);
});

test("a 503 is waited for, visibly, and needs nobody's hand", async (t) => {
  const page = await newcomer(t);
  await failing(page, { method: "POST", status: 503, times: 2, headers: { "Retry-After": "1" } });
  await add(page, "Patience");
  await page.getByText("The service cannot be reached at the moment.").waitFor();
  await page.getByText("Saving…").waitFor();

  await row(page, "Patience").waitFor();
  assert.equal(await page.getByText("The service cannot be reached at the moment.").count(), 0);
});

test("a list that cannot be loaded says so and comes by itself", async (t) => {
  const page = await newcomer(t);
  await makeTasks(page, [{ title: "Still here" }]);
  await installClock(page);
  let down = true;
  await page.route(`${API}/**`, (route) => (down ? route.abort() : route.fallback()));
  await page.reload();
  await page.getByText("The service cannot be reached at the moment.").waitFor();
  const pass = () => page.clock.runFor(5_000);
  await eventually(() => pass().then(() => page.getByText("Your tasks could not be loaded").count()), 1);
  down = false;

  await eventually(() => pass().then(() => titles(page)), ["Still here"]);
  assert.equal(await page.getByText("Your tasks could not be loaded").isVisible(), false);
});

test("a tick that is not accepted is taken back, with the service's reason", async (t) => {
  const page = await newcomer(t);
  await add(page, "Stubborn");
  await row(page, "Stubborn").waitFor();
  await failing(page, { method: "PATCH", status: 500, times: 1 });
  const box = checkbox(page, "Stubborn");
  await box.click();

  await page.getByRole("alert").getByText("The database takes a rest.").waitFor();
  assert.equal(await box.isChecked(), false);
  await box.check();
  await saved(page);
  assert.equal((await serverTasks(page))[0].completed, true);
});

test("a deletion that is not accepted is taken back", async (t) => {
  const page = await newcomer(t);
  await add(page, "Sticky");
  await row(page, "Sticky").waitFor();
  await failing(page, { method: "DELETE", status: 500, times: 1 });
  await press(page, "Delete", "Sticky");
  await eventually(() => titles(page), []);
  await page.getByRole("button", { name: "Dismiss" }).click();

  await page.getByRole("alert").getByText("“Sticky” was not deleted.").waitFor();
  await eventually(() => titles(page), ["Sticky"]);
});

test("a task that is not accepted goes back to where it was typed", async (t) => {
  const page = await newcomer(t);
  let answer;
  const typing = new Promise((resolve) => (answer = resolve));
  await page.route(TASKS, async (route) => {
    if (route.request().method() !== "POST") return route.fallback();
    if (route.request().postDataJSON().title === "Unwanted too") await typing;
    return route.fulfill({ status: 400, headers: CORS, json: { status: 400, detail: "Not this one." } });
  });
  await add(page, "Unwanted");
  await page.getByRole("alert").getByText("“Unwanted” was not added. The service says: Not this one.").waitFor();
  const title = page.getByLabel("New task", { exact: true });
  assert.equal(await title.inputValue(), "Unwanted");
  await add(page, "Unwanted too");
  await title.fill("Something else");
  answer();
  const edit = page.getByRole("alert").getByRole("button", { name: "Edit" });
  await edit.click(); // the form is taken: nothing is overwritten, and the message stays
  assert.equal(await title.inputValue(), "Something else");
  await title.fill("");
  await edit.click();

  assert.equal(await title.inputValue(), "Unwanted too");
});

test("an edit that is not accepted stays in its editor", async (t) => {
  const page = await newcomer(t);
  await add(page, "Draft");
  await row(page, "Draft").waitFor();
  await press(page, "Edit", "Draft");
  await failing(page, { method: "PUT", status: 500, times: 1 });
  await page.getByLabel("Title").fill("Final");
  await page.keyboard.press("Enter");

  await page.getByRole("alert").getByText("it is still in the editor").waitFor();
  assert.equal(await page.getByLabel("Title").inputValue(), "Final");
  await page.keyboard.press("Enter");
  await row(page, "Final").waitFor();
});

test("ticks in quick succession end as the last one says", async (t) => {
  const page = await newcomer(t);
  await add(page, "Undecided");
  await row(page, "Undecided").waitFor();
  let slow = true;
  await page.route(`${TASKS}/*/complete`, async (route) => {
    const pause = slow ? 300 : 0;
    slow = false;
    await new Promise((resolve) => setTimeout(resolve, pause));
    return route.fallback();
  });
  const box = page.getByRole("checkbox", { name: "Completed: Undecided" });
  await box.click();
  await box.click();
  assert.equal(await box.isChecked(), false);
  await saved(page);

  assert.equal((await serverTasks(page))[0].completed, false);
  assert.equal(await box.isChecked(), false);
});

test("a task deleted while its change is on the way is deleted as it was changed", async (t) => {
  const page = await newcomer(t);
  await add(page, "Before");
  await row(page, "Before").waitFor();
  await press(page, "Edit", "Before");
  await page.getByLabel("Title").fill("After");
  await page.keyboard.press("Enter");
  await press(page, "Delete", "After");

  await page.getByText("Deleted “After”.").waitFor();
  await page.getByRole("button", { name: "Undo" }).click();
  await eventually(() => titles(page), ["After"]);
  await saved(page);
  assert.equal((await serverTasks(page))[0].title, "After");
});

test("the token is renewed before it expires", async (t) => {
  const page = await newcomer(t);
  const [tokens, rejected] = [[], []];
  page.on("request", (request) => request.url().endsWith("/api/auth/token") && tokens.push(request.url()));
  page.on("response", (response) => response.status() === 401 && rejected.push(response.url()));
  await add(page, "With the first token");
  await row(page, "With the first token").waitFor();
  assert.equal(tokens.length, 0);

  await installClock(page, { time: Date.now() + (15 * 60 - 20) * 1000 });
  await add(page, "With another");
  await row(page, "With another").waitFor();
  assert.equal(tokens.length, 1);
  assert.deepEqual(rejected, []);
});

test("a session that is over leads to the sign-in and keeps what was not sent", async (t) => {
  const page = await newcomer(t);
  await page.context().clearCookies();
  await installClock(page, { time: Date.now() + 16 * 60 * 1000 });
  await add(page, "Written too late");
  await page.getByText("You were signed out.").waitFor();

  await signIn(page, page.email);
  await row(page, "Written too late").waitFor();
});

test("what is done offline stays done, and reaches the service later", async (t) => {
  const page = await newcomer(t, { tasks: [{ title: "Delete" }, { title: "Rename" }, { title: "Tick" }] });
  await eventually(() => titles(page), ["Tick", "Rename", "Delete"]);
  await page.getByRole("radio", { name: "Pending" }).check();
  await installClock(page);
  await page.context().setOffline(true);
  await checkbox(page, "Tick").click();
  await press(page, "Edit", "Rename");
  await page.getByLabel("Title").fill("Renamed");
  await page.keyboard.press("Enter");
  await press(page, "Delete", "Delete");
  await add(page, "New");
  await press(page, "Edit", "New");
  await page.getByLabel("Title").fill("Newer");
  await page.keyboard.press("Enter");
  assert.deepEqual(await titles(page), ["Newer", "Renamed"]);
  await page.clock.runFor(30_000);
  assert.deepEqual(await titles(page), ["Newer", "Renamed"]);
  await page.getByRole("radio", { name: "All" }).check();
  assert.equal(await checkbox(page, "Tick").isChecked(), true);
  await page.context().setOffline(false);
  await eventually(() => page.clock.runFor(1_000).then(() => page.locator(".unsent").count()), 0);

  const tasks = (await serverTasks(page)).map(({ title, completed }) => [title, completed]);
  assert.deepEqual(tasks, [["Newer", false], ["Tick", true], ["Renamed", false]]);
  assert.deepEqual(await titles(page), ["Newer", "Tick", "Renamed"]);
});

test("a reload offline shows the tasks, takes new ones, and sends them later", async (t) => {
  const page = await newcomer(t, { serviceWorker: true });
  await add(page, "Seen before");
  await saved(page);
  await page.evaluate(() => navigator.serviceWorker.ready);
  const stored = () => page.evaluate(async () => (await (await caches.open("todo-page")).keys()).map(({ url }) => new URL(url).pathname));
  await eventually(async () => (await stored()).includes("/client/index.js"), true);
  await page.context().setOffline(true);
  await page.reload();
  await eventually(() => titles(page), ["Seen before"]);
  await page.getByText("You are offline.").waitFor();
  await add(page, "Written offline");
  await page.reload();
  await eventually(() => titles(page), ["Written offline", "Seen before"]);
  await page.context().setOffline(false);
  await saved(page);

  assert.deepEqual((await serverTasks(page)).map(({ title }) => title), ["Written offline", "Seen before"]);
  assert.deepEqual((await stored()).filter((path) => path.startsWith("/api/")), []);
});
