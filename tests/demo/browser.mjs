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

let browser;
before(async () => {
  browser = await chromium.connect(process.env.DEMO_BROWSER);
});
after(() => browser.close());

/** Somebody at a browser of their own. */
export async function visit(t, options) {
  const page = await open(t, options);
  await page.goto(PAGE);
  await page.getByLabel("E-mail").waitFor();
  return page;
}

/** Somebody who has just signed up, and has not written anything yet. */
export async function newcomer(t, options) {
  const page = await open(t, options);
  page.email = `${randomBytes(8).toString("hex")}@example.com`;
  const person = { name: "Ada Lovelace", email: page.email, password: PASSWORD };
  const response = await page.context().request.post(`${PAGE}/api/auth/sign-up/email`, { data: person });
  assert.equal(response.status(), 200, await response.text());
  await page.goto(PAGE);
  await page.getByRole("heading", { name: "A clean slate" }).waitFor();
  return page;
}

/** The same person at another browser. */
export async function beside(t, page) {
  const other = await open(t, { storageState: await page.context().storageState() });
  await other.goto(PAGE);
  await other.getByLabel("New task", { exact: true }).waitFor();
  return other;
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

/** A page in a browser of its own. Whatever it logs as an error, or blocks, fails the test. */
export async function open(t, options = {}) {
  const usual = {
    viewport: { width: 1000, height: 800 },
    reducedMotion: "reduce", // nothing to wait for before a click
    serviceWorkers: "block", // it would hide requests from the tests
  };
  const context = await browser.newContext({ ...usual, ...options });
  context.setDefaultTimeout(SECONDS * 1000);
  const faults = [];
  context.on("page", (page) => page.on("pageerror", (error) => faults.push(String(error))));
  context.on("console", (message) => {
    if (/Content Security Policy|Uncaught/.test(message.text())) faults.push(message.text());
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(faults, []);
  });
  return context.newPage();
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
  const { token } = await page.evaluate(async () => (await fetch("/api/auth/token")).json());
  const response = await fetch(`${API}/api/tasks`, { headers: { Authorization: `Bearer ${token}` } });
  assert.equal(response.status, 200);
  return response.json();
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

/** Tasks made behind the page's back, as a script of the same person would. */
export async function makeTasks(page, list) {
  const { token } = await page.evaluate(async () => (await fetch("/api/auth/token")).json());
  const { sub } = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
  for (const task of list) {
    const response = await fetch(`${API}/api/${sub}/tasks`, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify(task),
    });
    assert.equal(response.status, 201);
  }
}
