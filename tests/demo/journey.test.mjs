// One person, from signing up to signing out.

import assert from "node:assert/strict";
import { test } from "node:test";
import { add, eventually, newcomer, row, signIn, signUp, titles, visit } from "./browser.mjs";

test("a newcomer signs up, adds, edits, completes, deletes and takes it back", async (t) => {
  const page = await visit(t);
  await signUp(page);

  await add(page, "Buy milk");
  await add(page, "Call the plumber", "The tap in the kitchen");
  await eventually(() => titles(page), ["Call the plumber", "Buy milk"]);

  await row(page, "Buy milk").hover();
  await page.getByRole("button", { name: "Edit: Buy milk" }).click();
  await page.getByLabel("Title").fill("Buy oat milk");
  await page.getByRole("button", { name: "Save" }).click();
  await row(page, "Buy oat milk").getByText("Changed just now").waitFor();

  await page.getByRole("checkbox", { name: "Completed: Call the plumber" }).check();
  await row(page, "Call the plumber").getByText("Changed just now").waitFor();

  await row(page, "Call the plumber").hover();
  await page.getByRole("button", { name: "Delete: Call the plumber" }).click();
  await eventually(() => titles(page), ["Buy oat milk"]);
  await page.getByRole("button", { name: "Undo" }).click();
  await eventually(() => titles(page), ["Call the plumber", "Buy oat milk"]);
  assert.equal(await page.getByRole("checkbox", { name: "Completed: Call the plumber" }).isChecked(), true);
  assert.equal(await row(page, "Call the plumber").getByText("The tap in the kitchen").isVisible(), true);

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
