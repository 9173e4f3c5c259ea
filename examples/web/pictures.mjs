// The pictures of the demo in README.md, drawn from the real page by `make pictures`.
//
// Starts the demo with a database of its own, uses it in Chromium (CHROMIUM, or the first in PATH) as somebody
// would, and writes docs/images/demo.png and docs/images/demo.webp. The film is a screenshot for each step, and
// how long each is shown is written here, so that the speed of this machine does not show.
//
// Usage: node pictures.mjs PYTHON, where PYTHON is that of the repository's .venv.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { Film } from "./film.mjs";

const IMAGES = new URL("../../docs/images/", import.meta.url);
const TASKS = [
  { title: "Renew the passport" },
  { title: "Learn three chords" },
  { title: "Book the train to Lyon", description: "The 9:04, two seats by the window: https://example.com/trains" },
  { title: "Water the plants" },
  { title: "Return the library books", description: "Due on Friday" },
  { title: "קנה חלב" },
  { title: "Pick up a cake for Noor", completed: true },
];
const LETTER_MILLISECONDS = 60;
const POINTER_MILLISECONDS = 40;
const POINTER_STEPS = 8;
const FILM_SCALE = 1.25;
const STILL_SCALE = 1.5;
const MARGIN = 20;

const demo = await startDemo();
const browser = await chromium.launch({ executablePath: findChromium() });
try {
  const ada = await signUp("ada@example.com");
  await film(await visit(ada, { viewport: { width: 740, height: 570 }, deviceScaleFactor: FILM_SCALE }));
  const augusta = await signUp("augusta@example.com");
  const desktop = await visit(augusta, { viewport: { width: 880, height: 660 }, deviceScaleFactor: 2 });
  await makeTasks(desktop, [{ title: "Call the plumber" }, ...TASKS]);
  const telephone = { viewport: { width: 360, height: 602 }, isMobile: true, hasTouch: true, colorScheme: "dark" };
  await still(desktop, await visit(augusta, { ...telephone, deviceScaleFactor: 2 }));
} finally {
  await browser.close();
  await demo.stop();
}

/** A new account; what a browser of theirs has stored. */
async function signUp(email) {
  const data = { name: "Ada Lovelace", email, password: "correct horse battery" }; // pragma: allowlist secret
  const context = await browser.newContext();
  await context.request.post(`${demo.page}/api/auth/sign-up/email`, { data });
  return context.storageState();
}

async function visit(storageState, options) {
  const context = await browser.newContext({ storageState, reducedMotion: "reduce", serviceWorkers: "block", ...options });
  const page = await context.newPage();
  await page.goto(demo.page);
  return page;
}

/** Somebody adds, completes, deletes, takes it back, and goes on without a network. */
async function film(page) {
  const picture = new Film(await browser.newPage(), MARGIN * FILM_SCALE);
  const hold = async (milliseconds) => picture.add(await page.screenshot(), milliseconds);
  const pointer = await showPointer(page, hold);
  await makeTasks(page, TASKS);
  await page.clock.install();
  await page.clock.pauseAt(Date.now() + 60_000); // messages stay until they are dismissed
  await hold(700);

  await type(page, "Call the plumber", hold);
  await saved(page);
  await hold(700);

  await pointer.click(checkbox(page, "Water the plants"));
  await page.getByText("Completed “Water the plants”.").waitFor();
  await saved(page);
  await hold(900);
  await pointer.click(page.getByRole("button", { name: "Delete: Return the library books" }));
  await page.getByText("Deleted “Return the library books”.").waitFor();
  await hold(700);
  await pointer.click(page.getByRole("button", { name: "Undo" }));
  await page.getByText("Due on Friday").waitFor();
  await hold(600);
  await pointer.click(page.getByRole("button", { name: "Dismiss" }));
  await page.locator(".message").waitFor({ state: "detached" });
  await hold(200);

  await page.context().setOffline(true);
  await page.getByText("You are offline.").waitFor();
  await hold(900);
  await type(page, "Sketch the tunnel", hold);
  await page.getByText("Waiting for the connection").waitFor();
  await hold(1_200);
  await page.context().setOffline(false);
  await saved(page);
  await hold(1_500);

  const file = picture.encode();
  await writeFile(new URL("demo.webp", IMAGES), file);
  console.log(`docs/images/demo.webp: ${picture.milliseconds / 1000} s, ${Math.round(file.length / 1000)} kB`);
}

/** A window, and in front of it a telephone that is offline. */
async function still(desktop, telephone) {
  await checkbox(desktop, "Water the plants").check();
  await desktop.getByRole("button", { name: "Delete: Call the plumber" }).click();
  await desktop.getByText("Deleted “Call the plumber”.").waitFor();
  await desktop.locator(".task", { hasText: "Book the train" }).hover();
  await telephone.locator(".task").first().waitFor();
  await telephone.context().setOffline(true);
  await telephone.getByLabel("New task", { exact: true }).fill("Pack for the seaside");
  await telephone.getByRole("button", { name: "Add", exact: true }).click();
  await telephone.getByText("Waiting for the connection").waitFor();

  const context = await browser.newContext({ viewport: { width: 1000, height: 604 }, deviceScaleFactor: STILL_SCALE });
  const stage = await context.newPage();
  const [window, screen] = await Promise.all([desktop, telephone].map(async (page) => {
    await page.evaluate(() => document.activeElement.blur());
    return `data:image/png;base64,${(await page.screenshot()).toString("base64")}`;
  }));
  await stage.setContent(`
    <style>
      body { margin: 0; background: #e2dfd7 }
      img { position: absolute; display: block }
      .window { inset: 27px auto auto 27px; width: 697px; border-radius: 10px; box-shadow: 0 12px 30px rgb(60 50 30 / 22%) }
      .screen { inset: 101px 27px auto auto; width: 271px; border: 7px solid #0b0c0b; border-radius: 22px;
        box-shadow: 0 16px 40px rgb(60 50 30 / 35%) }
    </style>
    <img class="window" src="${window}"><img class="screen" src="${screen}">`);
  await stage.screenshot({ path: fileURLToPath(new URL("demo.png", IMAGES)) });
  console.log("docs/images/demo.png");
}

function checkbox(page, title) {
  return page.getByRole("checkbox", { name: `Completed: ${title}` });
}

/** Wait until the service has everything that is shown. */
function saved(page) {
  return page.waitForFunction(() => document.querySelector(".unsent") === null);
}

/** Tasks made behind the page's back. */
async function makeTasks(page, tasks) {
  const { token } = await page.evaluate(async () => (await fetch("/api/auth/token")).json());
  const headers = { Authorization: `Bearer ${token}` };
  for (const data of tasks) await page.request.post(`${demo.api}/api/tasks`, { headers, data });
  await page.reload();
  await page.locator(".task").nth(tasks.length - 1).waitFor();
}

/** Write a new task, a screenshot for each letter. */
async function type(page, title, hold) {
  const field = page.getByLabel("New task", { exact: true });
  await field.focus();
  for (const letter of title) {
    await field.pressSequentially(letter);
    await hold(LETTER_MILLISECONDS);
  }
  await hold(250);
  await field.press("Enter");
}

/** Screenshots have no mouse pointer: an arrow that goes where the mouse goes. */
async function showPointer(page, hold) {
  let [x, y] = [560, 500];
  const move = async (left, top) => {
    [x, y] = [left, top];
    await page.mouse.move(x, y);
    await page.evaluate(([left, top]) => {
      const arrow = document.querySelector("#arrow") ?? document.body.appendChild(document.createElement("div"));
      arrow.id = "arrow";
      arrow.innerHTML = '<svg viewBox="0 0 20 20"><path d="M3 1v15l4-4 3 6 2-1-3-6h6z" fill="#000" stroke="#fff" /></svg>';
      arrow.style.cssText = `position: fixed; left: ${left - 3}px; top: ${top - 1}px; z-index: 9; pointer-events: none`;
    }, [x, y]);
  };
  /** On the way to a control, a screenshot for each step; the way begins fast and ends slowly. */
  const click = async (control) => {
    const box = await control.boundingBox();
    const [from, to] = [[x, y], [box.x + box.width / 2, box.y + box.height / 2]];
    for (let step = 1; step <= POINTER_STEPS; step++) {
      const part = 1 - (1 - step / POINTER_STEPS) ** 2;
      await move(from[0] + (to[0] - from[0]) * part, from[1] + (to[1] - from[1]) * part);
      await hold(POINTER_MILLISECONDS);
    }
    await hold(150);
    await page.mouse.down();
    await page.mouse.up();
  };
  return { click };
}

async function startDemo() {
  const directory = await mkdtemp(join(tmpdir(), "demo-"));
  const [pagePort, apiPort] = [await freePort(), await freePort()];
  const { DATABASE_URL, ...env } = process.env;
  const child = spawn(resolve(process.argv[2]), [fileURLToPath(new URL("run.py", import.meta.url))], {
    cwd: directory, // where no .env says otherwise
    env: { ...env, DEMO_PORT: String(pagePort), PORT: String(apiPort), DATA_DIR: directory },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  const stop = async () => {
    child.kill();
    await ended;
    await rm(directory, { recursive: true });
  };
  let output = "";
  await new Promise((ready, fail) => {
    child.stdout.on("data", (piece) => (output += piece).includes("The demo is at") && ready());
    child.once("exit", () => fail(new Error(`The demo did not start:\n${output}`)));
  });
  return { page: `http://localhost:${pagePort}`, api: `http://127.0.0.1:${apiPort}`, stop };
}

function freePort() {
  const server = createServer();
  return new Promise((done) => {
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

function findChromium() {
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const paths = process.env.PATH.split(delimiter).flatMap((folder) => names.map((name) => join(folder, name)));
  const found = process.env.CHROMIUM ?? paths.find(existsSync);
  if (found === undefined) throw new Error("Needs Chromium.");
  return found;
}
