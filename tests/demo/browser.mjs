// A real browser, people who use the demo in it, and the words in which tests speak of the page.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { after, before } from "node:test";

/** Where the demo's page and the Todo API are. */
export const PAGE = process.env.DEMO_PAGE;
export const API = process.env.DEMO_API;
const PASSWORD = "correct horse battery"; // pragma: allowlist secret
const SECONDS = 20;

const { chromium } = createRequire(new URL("../../examples/web/package.json", import.meta.url))("playwright-core");

/**
 * Without what each new window of a full Chromium loads for its address bar: that costs more than our page. Of
 * several such lists the last one holds, so this one repeats of Playwright's what concerns pages.
 */
const WITHOUT = [
  "WebUIOmniboxPopup",
  "WebUIOmniboxAimPopup",
  "WebUIOmniboxFullPopup",
  "AimEnabled",
  "AvoidCorsURLLoaderRestartOnRedirect",
  "AvoidUnnecessaryBeforeUnloadCheckSync",
  "DestroyProfileOnBrowserClose",
  "HttpsFirstBalancedModeAutoEnable",
  "HttpsUpgrades",
  "LensOverlay",
  "MediaRouter",
  "NetworkTimeServiceQuerying",
  "OptimizationHints",
  "PaintHolding",
  "PreconnectToSearch",
  "ThirdPartyStoragePartitioning",
];

let browser;
before(async () => {
  const args = [`--disable-features=${WITHOUT}`];
  browser = await chromium.launch({ executablePath: process.env.DEMO_CHROMIUM, args });
});
after(() => browser.close());

/** Somebody at a browser of their own. */
export async function visit(t, options) {
  const page = await open(t, options);
  await page.goto(PAGE);
  await page.getByLabel("E-mail").waitFor();
  return page;
}

/** Somebody who has just signed up. They have written nothing yet, or these tasks, the last one newest. */
export async function newcomer(t, { tasks = [], ...options } = {}) {
  const page = await open(t, options);
  page.email = `${randomBytes(8).toString("hex")}@example.com`;
  const person = { name: "Ada Lovelace", email: page.email, password: PASSWORD };
  const response = await page.context().request.post(`${PAGE}/api/auth/sign-up/email`, { data: person });
  assert.equal(response.status(), 200, await response.text());
  await makeTasks(page, tasks);
  await page.goto(PAGE);
  if (tasks.length === 0) await page.getByRole("heading", { name: "A clean slate" }).waitFor();
  else await page.locator(".shown .task").first().waitFor();
  return page;
}

export async function signUp(page, { name = "Ada Lovelace", email = `${randomBytes(8).toString("hex")}@example.com` } = {}) {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Create account" }).click();
  await page.getByRole("heading", { name: "A clean slate" }).waitFor();
  return email;
}

export async function signIn(page, email, password = PASSWORD) {
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Pages that somebody has left, by their options, for the next one: a new browser costs several times as much. */
const left = new Map();

/** A page in a browser of its own. Whatever it logs as an error, or blocks, fails the test. */
export async function open(t, options = {}) {
  const kind = JSON.stringify(options);
  const page = left.get(kind)?.pop() ?? (await newPage(options));
  const context = page.context();
  const faults = [];
  const noteError = (error) => faults.push(String(error));
  const listen = (tab) => tab.on("pageerror", noteError);
  const noteMessage = (message) => {
    if (/Content Security Policy|Uncaught/.test(message.text())) faults.push(message.text());
  };
  listen(page);
  context.on("page", listen).on("console", noteMessage);
  t.after(async () => {
    if (page.hasClock) await context.close();
    else await leave(page, kind);
    page.off("pageerror", noteError);
    context.off("page", listen).off("console", noteMessage);
    assert.deepEqual(faults, []);
  });
  return page;
}

async function newPage({ serviceWorker = false, ...options }) {
  const usual = {
    viewport: { width: 1000, height: 800 },
    reducedMotion: "reduce", // nothing to wait for before a click
  };
  const context = await browser.newContext({ ...usual, ...options });
  context.setDefaultTimeout(SECONDS * 1000);
  // It would hide requests from the tests, and have each page's files loaded twice.
  if (!serviceWorker) {
    await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "serviceWorker", { value: undefined }));
  }
  return context.newPage();
}

/** Leave nothing in a page's browser that the next person would find. */
async function leave(page, kind) {
  const context = page.context();
  for (const tab of context.pages()) if (tab !== page) await tab.close();
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await context.setOffline(false);
  await page.mouse.move(0, 0);
  await page.goto("about:blank");
  await page.emulateMedia({ colorScheme: "light", forcedColors: "none" });
  await context.clearCookies();
  const session = await context.newCDPSession(page);
  for (const url of [PAGE, API].filter(Boolean)) {
    await session.send("Storage.clearDataForOrigin", { origin: new URL(url).origin, storageTypes: "all" });
  }
  await session.detach();
  left.set(kind, [...(left.get(kind) ?? []), page]);
}

/** Let the test say what time it is for the page, from now on. */
export async function installClock(page, options) {
  page.hasClock = true;
  await page.clock.install(options);
}

export async function add(page, title, note) {
  await page.getByLabel("New task", { exact: true }).fill(title);
  if (note !== undefined) {
    await page.getByText("Add a note").click();
    await page.getByLabel("Note of the new task").fill(note);
  }
  await page.getByRole("button", { name: "Add", exact: true }).click();
}

/** Press the button in a task's row. */
export async function press(page, verb, title) {
  await page.getByRole("button", { name: `${verb}: ${title}` }).focus(); // as the pointer would, it brings it into view
  await page.keyboard.press("Enter");
}

export function checkbox(page, title) {
  return page.getByRole("checkbox", { name: `Completed: ${title}`, exact: true });
}

/** The row of a task that the service has as it is shown. */
export function row(page, title) {
  return page.locator(".shown .task:not(.unsent)").filter({ hasText: title });
}

/** Wait until the service has everything that is shown. */
export async function saved(page) {
  await eventually(() => page.locator(".unsent").count(), 0);
}

/** The titles on the screen, from top to bottom. */
export function titles(page) {
  return page.locator(".shown .title").allTextContents();
}

/** What the service has, newest first. */
export async function serverTasks(page) {
  return call(page, "GET", "");
}

/** Tasks made behind the page's back, as a script of the same person would. */
export async function makeTasks(page, list) {
  if (list.length === 0) return;
  const token = await tokenOf(page);
  for (const task of list) await call(page, "POST", "", task, token);
}

/** Change a task behind the page's back, as the same person would at another browser; with null delete it. */
export async function changeTask(page, title, change) {
  const { id } = (await serverTasks(page)).find((task) => task.title === title);
  if (change === null) await call(page, "DELETE", `/${id}`);
  else await call(page, "PUT", `/${id}`, change);
}

async function call(page, method, path, body, token) {
  const authorization = { Authorization: `Bearer ${token ?? (await tokenOf(page))}` };
  const options = body === undefined ? {} : { body: JSON.stringify(body) };
  const headers = { ...authorization, "Content-Type": "application/json" };
  const response = await fetch(`${API}/api/tasks${path}`, { method, headers, ...options });
  assert.ok(response.ok, `${response.status}`);
  return response.json();
}

/** What the page's session is worth at the service. */
async function tokenOf(page) {
  const response = await page.context().request.get(`${PAGE}/api/auth/token`);
  return (await response.json()).token;
}

/** Wait until a question about the page has this answer. */
export async function eventually(ask, expected) {
  const until = Date.now() + SECONDS * 1000;
  for (;;) {
    const found = await ask();
    try {
      return assert.deepEqual(found, expected);
    } catch (error) {
      if (Date.now() > until) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
