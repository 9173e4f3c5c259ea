// The six endpoints as front ends call them: the request styles met in public todo applications.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { JSON_TYPE, signedIn } from "./service.mjs";

const FIELDS = ["id", "user_id", "title", "description", "completed", "created_at", "updated_at"];
const together = { concurrency: true, timeout: 60_000 };

describe("completing a task", together, () => {
  const toggles = {
    "without a body": { headers: {} },
    "without a body, as JSON": { headers: JSON_TYPE },
    "with an empty body, as JSON": { headers: JSON_TYPE, body: "" },
    "with an empty body, as a form": { headers: { "Content-Type": "application/x-www-form-urlencoded" }, body: "" },
    "with {}": { headers: JSON_TYPE, body: "{}" },
    "with {} and a charset": { headers: { "Content-Type": "application/json; charset=utf-8" }, body: "{}" },
    "with undefined, which JSON leaves out": { headers: JSON_TYPE, body: JSON.stringify({ completed: undefined }) },
  };
  for (const [style, options] of Object.entries(toggles)) {
    test(`${style} toggles`, async () => {
      const { call, create } = signedIn();
      const { id } = await create();

      const first = await call(`/${id}/complete`, { method: "PATCH", ...options });
      const second = await call(`/${id}/complete`, { method: "PATCH", ...options });

      assert.deepEqual([first.completed, second.completed], [true, false]);
    });
  }

  test("with {completed} sets", async () => {
    const { send, create } = signedIn();
    const { id } = await create();

    const answers = [];
    for (const completed of [true, true, false, false]) answers.push(await send("PATCH", `/${id}/complete`, { completed }));

    assert.deepEqual(answers.map(({ completed }) => completed), [true, true, false, false]);
  });

  for (const query of ["completed", "Completed"]) {
    test(`with ?${query}= and no body sets`, async () => {
      const { call, create } = signedIn();
      const { id } = await create();

      const answers = [];
      for (const completed of [true, true, false, false]) {
        answers.push(await call(`/${id}/complete?${query}=${completed}`, { method: "PATCH" }));
      }

      assert.deepEqual(answers.map(({ completed }) => completed), [true, true, false, false]);
    });
  }

  for (const body of [{ is_completed: true }, { done: true }, { status: "completed" }, { completed: "true" }, { completed: 1 }]) {
    test(`with ${JSON.stringify(body)} is an error, and no guess`, async () => {
      const { call, send, create } = signedIn();
      const { id } = await create();

      await assert.rejects(send("PATCH", `/${id}/complete`, body), { status: 400, message: /completed/ });

      assert.equal((await call(`/${id}`)).completed, false);
    });
  }

  test("with the whole task, turned over, sets", async () => {
    const { send, create } = signedIn();
    const task = await create();

    const answer = await send("PATCH", `/${task.id}/complete`, { ...task, completed: !task.completed });

    assert.equal(answer.completed, true);
  });

  test("through PUT sets", async () => {
    const { send, create } = signedIn();
    const { id } = await create();

    assert.equal((await send("PUT", `/${id}`, { completed: true })).completed, true);
  });
});

describe("changing a task", together, () => {
  const before = { title: "Buy milk", description: "Two litres", completed: true };
  const changes = {
    "one field": { title: "Buy tea" },
    "the fields of a form": { title: "Buy tea", description: "Green" },
    "all fields": { title: "Buy tea", description: "Green", completed: false },
    "an empty description": { title: "Buy tea", description: "" },
    "no description, as null": { title: "Buy tea", description: null },
  };
  for (const [style, change] of Object.entries(changes)) {
    test(`with ${style} keeps the others`, async () => {
      const { send, create } = signedIn();
      const task = await create(before);

      const answer = await send("PUT", `/${task.id}`, change);

      assert.deepEqual({ ...answer, updated_at: task.updated_at }, { ...task, ...change });
    });
  }

  test("with a field left undefined keeps it", async () => {
    const { send, create } = signedIn();
    const { id } = await create(before);

    assert.equal((await send("PUT", `/${id}`, { title: "Buy tea", description: undefined })).description, "Two litres");
  });

  test("with the whole task as it was read changes what the user changed", async () => {
    const { send, create } = signedIn();
    const task = await create(before);

    const answer = await send("PUT", `/${task.id}`, { ...task, title: "Buy tea" });

    assert.deepEqual({ ...answer, updated_at: task.updated_at }, { ...task, title: "Buy tea" });
  });

  test("with fields that the service does not know ignores them", async () => {
    const { send, create, user } = signedIn();
    const task = await create(before);
    const foreign = { id: 1, user_id: "somebody", created_at: "2020-01-01", priority: "high", tags: ["home"], due_date: null };

    const answer = await send("PUT", `/${task.id}`, { ...foreign, title: "Buy tea" });

    assert.deepEqual(Object.keys(answer), FIELDS);
    assert.deepEqual([answer.id, answer.user_id, answer.created_at], [task.id, user, task.created_at]);
  });
});

describe("creating a task", together, () => {
  const bodies = {
    "a title": { title: "Buy milk" },
    "a title and an empty description": { title: "Buy milk", description: "" },
    "a title and no description, as null": { title: "Buy milk", description: null },
    "everything": { title: "Buy milk", description: "Two litres", completed: true },
  };
  for (const [style, body] of Object.entries(bodies)) {
    test(`with ${style} answers the task`, async () => {
      const { send } = signedIn();

      const task = await send("POST", "", body);

      assert.deepEqual({ ...task, ...body }, task);
      assert.equal(typeof task.id, "number");
    });
  }

  test("with the user's id and fields of other applications creates it all the same", async () => {
    const { send, user } = signedIn();

    const task = await send("POST", "", { title: "Buy milk", user_id: user, userId: 7, priority: "low", id: "temporary" });

    assert.deepEqual([Object.keys(task), task.user_id], [FIELDS, user]);
  });
});

describe("deleting a task", together, () => {
  for (const [style, options] of Object.entries({
    "bare": { headers: {} },
    "as JSON without a body": {},
    "with an empty object": { body: "{}" },
  })) {
    test(`${style} answers JSON, as response.json() expects`, async () => {
      const { call, create } = signedIn();
      const task = await create();

      assert.deepEqual(await call(`/${task.id}`, { method: "DELETE", ...options }), task);
      assert.deepEqual(await call(), []);
    });
  }
});

describe("a task's times", together, () => {
  test("are dates to JavaScript", async () => {
    const { call, create } = signedIn();
    const started = Date.now();
    await create();
    await create();

    const tasks = await call();

    for (const task of tasks) {
      const [created, updated] = [new Date(task.created_at), new Date(task.updated_at)];
      assert(Math.abs(created - started) < 60_000);
      assert.equal(created.toISOString().slice(0, -1), task.created_at.slice(0, 23));
      assert.equal(created.getTime(), updated.getTime());
      assert(!created.toLocaleDateString("en-GB").includes("Invalid"));
    }
    const byDate = [...tasks].sort((one, other) => new Date(other.created_at) - new Date(one.created_at));
    const byText = [...tasks].sort((one, other) => other.created_at.localeCompare(one.created_at));
    assert.deepEqual([byDate, byText], [tasks, tasks]);
  });
});

describe("the adapters that docs/front-ends.md gives", together, () => {
  /** The functions of the table, by the words of its first column. */
  async function adapters(expected) {
    const text = await readFile(new URL("../../docs/front-ends.md", import.meta.url), "utf8");
    const row = text.split("\n").find((line) => line.startsWith(`| ${expected}`));
    const lines = [...row.matchAll(/`(const (?:fromApi|toApi|camel) = .*?;)`/g)].map(([, line]) => line);
    const names = lines.map((line) => line.split(" ")[1]);
    return import(`data:text/javascript,${encodeURIComponent(`${lines.join("\n")}\nexport { ${names} };`)}`);
  }

  test("make strings of ids, which go back in paths", async () => {
    const { call, create } = signedIn();
    const { fromApi } = await adapters("ids as strings");

    const task = fromApi(await create());

    assert.equal(typeof task.id, "string");
    assert.equal(String((await call(`/${task.id}`)).id), task.id);
  });

  test("rename completed, both ways", async () => {
    const { send, create } = signedIn();
    const { fromApi, toApi } = await adapters("`is_completed`");

    const task = fromApi(await create());
    const changed = fromApi(await send("PUT", `/${task.id}`, toApi({ ...task, is_completed: true })));

    assert.deepEqual([task.is_completed, changed.is_completed, "completed" in changed], [false, true, false]);
  });

  test("write names in camelCase", async () => {
    const { user, create } = signedIn();
    const { fromApi } = await adapters("`userId`");

    const task = fromApi(await create());

    assert.deepEqual(Object.keys(task), ["id", "userId", "title", "description", "completed", "createdAt", "updatedAt"]);
    assert.equal(task.userId, user);
  });

  test("fill in what a task here does not have", async () => {
    const { create } = signedIn();
    const [fields, description] = [await adapters("`priority`"), await adapters("a `description`")];

    const task = fields.fromApi(description.fromApi(await create({ priority: "high" })));

    assert.deepEqual([task.priority, task.due_date, task.tags, task.description], ["medium", null, [], ""]);
  });
});
