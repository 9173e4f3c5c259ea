// One person, from signing up to signing out.

import assert from "node:assert/strict";
import { test } from "node:test";
import { PAGE, add, checkbox, eventually, newcomer, open, press, row, saved, signIn, signUp, titles, visit } from "./browser.mjs";

test("a newcomer signs up, adds, edits, completes, deletes and takes it back", async (t) => {
  const page = await visit(t);
  await signUp(page);

  await add(page, "Buy milk");
  await add(page, "Call the plumber", "The tap in the kitchen");
  await eventually(() => titles(page), ["Call the plumber", "Buy milk"]);

  await press(page, "Edit", "Buy milk");
  await page.getByLabel("Title").fill("Buy oat milk");
  await page.getByRole("button", { name: "Save" }).click();
  await row(page, "Buy oat milk").waitFor();

  await checkbox(page, "Call the plumber").check();
  await press(page, "Delete", "Call the plumber");
  await eventually(() => titles(page), ["Buy oat milk"]);
  await page.getByRole("button", { name: "Undo" }).click();
  await eventually(() => titles(page), ["Call the plumber", "Buy oat milk"]);
  assert.equal(await checkbox(page, "Call the plumber").isChecked(), true);
  assert.equal(await row(page, "Call the plumber").getByText("The tap in the kitchen").isVisible(), true);
  await saved(page);

  await page.reload();
  await eventually(() => titles(page), ["Call the plumber", "Buy oat milk"]);
});

test("what was written is there after signing in at another browser, and gone from this one after signing out", async (t) => {
  const page = await newcomer(t);
  await add(page, "Water the plants");
  await row(page, "Water the plants").waitFor();

  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Welcome back" }).waitFor();
  assert.equal(await page.getByText("Water the plants").count(), 0);

  const other = await visit(t);
  await other.getByRole("button", { name: "Sign in" }).click();
  await signIn(other, page.email);
  await row(other, "Water the plants").waitFor();
});

test("a wrong password is said to be one", async (t) => {
  const known = await newcomer(t);
  const page = await visit(t);
  await page.getByRole("button", { name: "Sign in" }).click();
  await signIn(page, known.email, "not the password");

  await page.getByText("Invalid email or password").waitFor();
});

test("a sign-in server that fails is met with a sentence, not with an empty page", async (t) => {
  const page = await visit(t);
  await page.route("**/api/auth/**", (route) => route.fulfill({ status: 500 }));
  await page.reload();
  await page.getByLabel("Name").fill("Ada");
  await page.getByLabel("E-mail").fill("ada@example.com");
  await page.getByLabel("Password").fill("correct horse battery");
  await page.getByRole("button", { name: "Create account" }).click();

  await page.getByRole("alert").getByText("Signing in does not work at the moment.").waitFor();
});

test("while it is found out who is here, the page is not blank", async (t) => {
  const page = await newcomer(t);
  let answer;
  const held = new Promise((resolve) => (answer = resolve));
  await page.route("**/api/auth/get-session", async (route) => {
    await held;
    await route.fallback();
  });
  await page.reload();
  await page.getByText("Loading …").waitFor({ state: "attached" });
  assert.ok((await page.locator(".skeleton").boundingBox()).height > 100);
  answer();

  await page.getByRole("heading", { name: "A clean slate" }).waitFor();
  assert.equal(await page.locator(".skeleton").count(), 0);
});

test("who opens the page by the address of this machine can sign up", async (t) => {
  const page = await open(t);
  await page.goto(PAGE.replace("localhost", "127.0.0.1"));
  await signUp(page);

  assert.equal(new URL(page.url()).hostname, "localhost");
});

test("signing out leaves nothing of what was written in this browser", async (t) => {
  const page = await newcomer(t);
  await add(page, "A secret");
  await saved(page);
  await page.getByLabel("New task", { exact: true }).fill("A secret draft");
  const stored = () => page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
  await eventually(async () => (await stored()).includes("A secret draft"), true);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Welcome back" }).waitFor();

  await eventually(async () => (await stored()).includes("secret"), false);
});

test("signing out with what is not sent asks first", async (t) => {
  const page = await newcomer(t);
  await page.context().setOffline(true);
  await add(page, "Unsent");
  await page.getByRole("button", { name: "Sign out" }).click();
  const question = page.getByRole("dialog", { name: "Not everything is saved" });
  await question.getByText("1 change").waitFor();
  await question.getByRole("button", { name: "Stay signed in" }).click();
  await page.context().setOffline(false);

  await row(page, "Unsent").waitFor();
});
