// How front ends get here: other paths, proxies, upgrades, browsers, and what they are told when it fails.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { describe, test } from "node:test";
import { API, JSON_TYPE, newUser, signedIn } from "./service.mjs";

const ORIGIN = "https://app.example.com";
const together = { concurrency: true, timeout: 60_000 };

describe("behind a proxy that compresses", together, () => {
  for (const [style, marked] of Object.entries({
    "nginx makes weak": (etag) => `W/${etag}`,
    "Apache marks": (etag) => etag.replace(/"$/, '-gzip"'),
  })) {
    test(`a tag that ${style} matches`, async () => {
      const { tasks, authorization, call, create } = signedIn();
      const { id } = await create();
      const url = `${tasks}/${id}`;
      const tagOf = async (address) => marked((await fetch(address, { headers: authorization })).headers.get("ETag"));

      for (const address of [url, tasks]) {
        const headers = { ...authorization, "If-None-Match": await tagOf(address) };
        assert.equal((await fetch(address, { headers })).status, 304);
      }
      const headers = { ...JSON_TYPE, "If-Match": await tagOf(url) };
      const changed = await call(`/${id}`, { method: "PUT", headers, body: '{"title": "Buy tea"}' });
      assert.equal(changed.title, "Buy tea");
      await assert.rejects(call(`/${id}`, { method: "DELETE", headers }), { status: 412 });
    });
  }
});

describe("without the user in the path", together, () => {
  /** What a request to `/api/tasks…` of this user is answered. */
  async function own({ authorization }, path, method = "GET", value = undefined, headers = {}) {
    const response = await fetch(`${API}/api/tasks${path}`, {
      method,
      headers: { ...authorization, ...JSON_TYPE, ...headers },
      body: JSON.stringify(value),
    });
    return { response, data: await response.json() };
  }

  test("a task goes through its life", async () => {
    const person = signedIn();

    const created = await own(person, "", "POST", { title: "Buy milk" });
    const { id, user_id: userId } = created.data;
    assert.deepEqual([created.response.status, userId], [201, person.user]);
    assert.deepEqual((await own(person, `/${id}`)).data, created.data);
    assert.equal((await own(person, `/${id}`, "PUT", { title: "Buy tea" })).data.title, "Buy tea");
    assert.equal((await own(person, `/${id}/complete`, "PATCH")).data.completed, true);
    assert.equal((await own(person, `/${id}/complete`, "PATCH", { completed: true })).data.completed, true);
    assert.deepEqual((await own(person, "/?completed=true")).data.map((task) => task.id), [id]);
    assert.deepEqual((await own(person, "")).data, await person.call());
    assert.equal((await own(person, `/${id}`, "DELETE")).data.id, id);
    assert.equal((await own(person, `/${id}`)).response.status, 404);
  });

  test("links and locations are of the same form", async () => {
    const person = signedIn();
    await person.create({ title: "First" });
    const created = await own(person, "", "POST", { title: "Second" });

    const { response } = await own(person, "?limit=1");
    const [, link] = /<([^>]*)>; rel="next"/.exec(response.headers.get("Link"));

    for (const [reference, { url }, path] of [
      [link, response, "/api/tasks"],
      [created.response.headers.get("Location"), created.response, `/api/tasks/${created.data.id}`],
    ]) {
      const resolved = new URL(reference, url);
      assert.equal(resolved.pathname, path);
      assert.equal((await fetch(resolved, { headers: person.authorization })).status, 200);
    }
  });

  test("the tag of one form is the tag of the other", async () => {
    const person = signedIn();
    const { id } = await person.create();
    const { response } = await own(person, `/${id}`);

    const headers = { ...JSON_TYPE, "If-Match": response.headers.get("ETag") };
    assert.equal((await person.call(`/${id}`, { method: "DELETE", headers })).id, id);
  });

  test("others see nothing of it, and nobody without a token", async () => {
    const [person, other] = [signedIn(), signedIn()];
    const { id } = await person.create();

    assert.deepEqual((await own(other, "")).data, []);
    assert.equal((await own(other, `/${id}`)).response.status, 404);
    assert.equal((await own({ authorization: {} }, "")).response.status, 401);
  });
});

describe("signing in here", together, () => {
  for (const path of ["sign-in/email", "sign-up/email", "login", "token", "get-session"]) {
    test(`at /api/auth/${path} says where it is to be done`, async () => {
      const request = { method: "POST", headers: JSON_TYPE, body: '{"email": "ada@example.com"}' };
      for (const options of [request, { headers: signedIn().authorization }]) {
        const response = await fetch(`${API}/api/auth/${path}`, options);
        const { detail } = await response.json();

        assert.equal(response.status, 404);
        assert.match(detail, /Better Auth/);
        assert.doesNotMatch(detail, /missing/);
      }
    });
  }
});

describe("with an upgrade on offer", together, () => {
  const offers = {
    "Java's": { Connection: "Upgrade, HTTP2-Settings", Upgrade: "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA" },
    "of web sockets": { Connection: "Upgrade", Upgrade: "websocket" },
  };
  /** A request whose body comes in pieces, chunked or not. */
  async function send({ authorization, tasks }, method, path, pieces, headers) {
    const request = http.request(`${tasks}${path}`, { method, headers: { ...authorization, ...JSON_TYPE, ...headers } });
    request.flushHeaders();
    for (const piece of pieces) {
      await new Promise((resolve) => setImmediate(resolve));
      request.write(piece);
    }
    request.end();
    const [response] = await once(request, "response");
    const parts = await response.toArray();
    return { status: response.statusCode, data: JSON.parse(Buffer.concat(parts)) };
  }

  for (const [name, offer] of Object.entries(offers)) {
    for (const [way, framing] of Object.entries({
      "in one piece": (text) => [[text], { "Content-Length": text.length }],
      "in two": (text) => [[text.slice(0, 5), text.slice(5)], { "Content-Length": text.length }],
      "in chunks": (text) => [[text.slice(0, 5), text.slice(5)], { "Transfer-Encoding": "chunked" }],
    })) {
      test(`${name}, a body ${way} is read`, async () => {
        const person = signedIn();
        const put = (method, path, value) => {
          const [pieces, headers] = framing(JSON.stringify(value));
          return send(person, method, path, pieces, { ...offer, ...headers });
        };

        const created = await put("POST", "", { title: "Buy milk", description: "Two litres" });
        const path = `/${created.data.id}`;
        assert.deepEqual([created.status, created.data.description], [201, "Two litres"]);
        assert.equal((await put("PUT", path, { title: "Buy tea" })).data.title, "Buy tea");
        for (const completed of [true, true, false, false]) {
          assert.equal((await put("PATCH", `${path}/complete`, { completed })).data.completed, completed);
        }
        assert.equal((await put("PATCH", `${path}/complete`, { completed: "yes" })).status, 400);
      });
    }
  }
});

describe("an error", together, () => {
  const requests = {
    400: ({ tasks, authorization }) => [tasks, { method: "POST", headers: { ...authorization, ...JSON_TYPE }, body: '{"title": ""}' }],
    401: ({ tasks }) => [tasks, {}],
    403: ({ authorization }) => [`${API}/api/${newUser()}/tasks`, { headers: authorization }],
    404: ({ tasks, authorization }) => [`${tasks}/0`, { headers: authorization }],
    405: ({ tasks, authorization }) => [tasks, { method: "PATCH", headers: authorization }],
  };
  for (const [status, request] of Object.entries(requests)) {
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

  test("with credentials included, the response may be read, an error too", async () => {
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
