// The six endpoints as front ends call them: the request styles met in public todo applications.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { API, newUser, sign } from "./service.mjs";

const ORIGIN = "https://app.example.com";
const JSON_TYPE = { "Content-Type": "application/json" };
const FIELDS = ["id", "user_id", "title", "description", "completed", "created_at", "updated_at"];
const together = { concurrency: true, timeout: 60_000 };

/** A new user, and what their front end has at hand. */
function signedIn() {
  const user = newUser();
  const authorization = { Authorization: `Bearer ${sign(user)}` };
  const tasks = `${API}/api/${user}/tasks`;

  /** A fetch wrapper as most applications have one: JSON both ways, an Error with a text to show. */
  async function call(path = "", { method = "GET", headers = JSON_TYPE, ...options } = {}) {
    const response = await fetch(`${tasks}${path}`, { method, headers: { ...authorization, ...headers }, ...options });
    const data = await response.json();
    if (!response.ok) throw Object.assign(new Error(data.detail ?? data.message), { status: response.status });
    return data;
  }
  const send = (method, path, value) => call(path, { method, body: JSON.stringify(value) });
  const create = (fields = {}) => send("POST", "", { title: "Buy milk", ...fields });
  return { user, tasks, authorization, call, send, create };
}

describe("completing a task", together, () => {
  const toggles = {
    "without a body": { headers: {} },
    "without a body, as JSON": { headers: JSON_TYPE },
    "with an empty body, as JSON": { headers: JSON_TYPE, body: "" },
    "with an empty body, as a form": { headers: { "Content-Type": "application/x-www-form-urlencoded" }, body: "" },
    "with {}": { headers: JSON_TYPE, body: "{}" },
    "with {} and a charset": { headers: { "Content-Type": "application/json; charset=utf-8" }, body: "{}" },
    "with undefined, which JSON leaves out": { headers: JSON_TYPE, body: JSON.stringify({ completed: undefined }) },
    "with a field of another name": { headers: JSON_TYPE, body: JSON.stringify({ is_completed: true }) },
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

describe("listing tasks", together, () => {
  test("answers an array", async () => {
    const { call, create } = signedIn();
    const tasks = [await create({ title: "First" }), await create({ title: "Second" })];

    assert.deepEqual(await call(), tasks.reverse());
  });

  const titlesByQuery = {
    "?status=all": ["c", "a", "B"],
    "?status=pending": ["c", "B"],
    "?status=completed": ["a"],
    "?status=all&sort=created": ["c", "a", "B"],
    "?sort_by=created_at&sort_order=desc": ["c", "a", "B"],
    "?sort_by=created_at&sort_order=asc": ["B", "a", "c"],
    "?sort=title": ["a", "B", "c"],
    "?sort=title&order=desc": ["c", "B", "a"],
    "?sort_by=updated_at": ["a", "c", "B"],
    "?status=pending&sort_by=title&sort_order=asc": ["B", "c"],
    "?search=": ["c", "a", "B"],
    "?search=b&status=all": ["B"],
    "?limit=2": ["c", "a"],
    "?limit=100&offset=0&page=1": ["c", "a", "B"],
    "?_=1731000000000": ["c", "a", "B"],
    "?": ["c", "a", "B"],
    "/": ["c", "a", "B"],
    "/?status=pending": ["c", "B"],
  };
  test("understands the parameters in use", async () => {
    const { call, create, send } = signedIn();
    const [, { id }] = [await create({ title: "B" }), await create({ title: "a" }), await create({ title: "c" })];
    await send("PATCH", `/${id}/complete`, { completed: true });

    for (const [query, expected] of Object.entries(titlesByQuery)) {
      assert.deepEqual((await call(query)).map(({ title }) => title), expected, query);
    }
  });
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

describe("an error", together, () => {
  const refusals = {
    400: ({ tasks, authorization }) => [tasks, { method: "POST", headers: { ...authorization, ...JSON_TYPE }, body: '{"title": ""}' }],
    401: ({ tasks }) => [tasks, {}],
    403: ({ authorization }) => [`${API}/api/${newUser()}/tasks`, { headers: authorization }],
    404: ({ tasks, authorization }) => [`${tasks}/0`, { headers: authorization }],
    405: ({ tasks, authorization }) => [tasks, { method: "PATCH", headers: authorization }],
  };
  for (const [status, request] of Object.entries(refusals)) {
    test(`of status ${status} has a text to show, in detail and in message`, async () => {
      const response = await fetch(...request(signedIn()));
      const error = await response.json();

      assert.equal(response.ok, false);
      assert.equal(response.status, Number(status));
      assert.equal(error.status, Number(status));
      assert.equal(typeof error.detail, "string");
      assert.match(error.detail, /^\S.{10,}$/);
      assert.equal(error.message, error.detail);
      assert.equal(new Error(error.detail || `HTTP ${status}`).message, error.detail);
    });
  }
});

describe("from a browser", together, () => {
  for (const [method, path] of Object.entries({ GET: "", POST: "", PUT: "/1", DELETE: "/1", PATCH: "/1/complete" })) {
    test(`${method} is announced by a preflight and allowed`, async () => {
      const response = await fetch(`${signedIn().tasks}${path}`, {
        method: "OPTIONS",
        headers: {
          Origin: ORIGIN,
          "Access-Control-Request-Method": method,
          "Access-Control-Request-Headers": "authorization,content-type",
        },
      });

      assert.equal(response.status, 200);
      assert.equal(response.headers.get("Access-Control-Allow-Origin"), ORIGIN);
      assert.equal(response.headers.get("Access-Control-Allow-Credentials"), "true");
      assert(response.headers.get("Access-Control-Allow-Methods").split(", ").includes(method));
      for (const name of ["authorization", "content-type"]) {
        assert(response.headers.get("Access-Control-Allow-Headers").toLowerCase().split(", ").includes(name));
      }
    });
  }

  test("with credentials included, the answer may be read, a refusal too", async () => {
    const { tasks, authorization } = signedIn();

    for (const headers of [{ Origin: ORIGIN, ...authorization }, { Origin: ORIGIN }]) {
      const response = await fetch(tasks, { credentials: "include", cache: "no-store", mode: "cors", headers });

      assert.equal(response.status, headers.Authorization ? 200 : 401);
      assert.equal(response.headers.get("Access-Control-Allow-Origin"), ORIGIN);
      assert.equal(response.headers.get("Access-Control-Allow-Credentials"), "true");
    }
  });

  test("with the headers of axios, a task goes through its life", async () => {
    const { call } = signedIn();
    const headers = { Accept: "application/json, text/plain, */*", "Content-Type": "application/json" };
    const request = (method, path, body) => call(path, { method, headers, ...(body && { body: JSON.stringify(body) }) });

    const { id } = await request("POST", "/", { title: "Buy milk" });
    assert.equal((await request("GET", `/${id}/`)).title, "Buy milk");
    assert.equal((await request("PUT", `/${id}/`, { title: "Buy tea" })).title, "Buy tea");
    assert.equal((await request("PATCH", `/${id}/complete/`)).completed, true);
    assert.equal((await request("DELETE", `/${id}/`)).id, id);
  });
});
