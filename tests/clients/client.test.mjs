// The TypeScript client against the running service, over a network that fails.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { NetworkError, Problem, TodoClient, renewing } from "../../clients/typescript/dist/index.js";
import { API, brokenOff, cut, gateway, lost, newUser, sign, silent, unreliable, weakened } from "./service.mjs";

const together = { concurrency: true, timeout: 60_000 };

/** A client of a user; of a new one unless told. */
function clientOf({ user = newUser(), baseUrl = API, ...options } = {}) {
  return new TodoClient({ baseUrl, userId: user, token: async () => sign(user), ...options });
}

/** Two clients of one new user: one over a network with these faults, and one beside it. */
async function overFaults(t, faults, options = {}) {
  const user = newUser();
  const network = await unreliable();
  t.after(network.stop);
  const client = clientOf({ user, baseUrl: network.url, ...options });
  network.faults.push(...faults);
  return { client, direct: clientOf({ user }), network };
}

async function titles(client, query) {
  const found = [];
  for await (const task of client.all(query)) found.push(task.title);
  return found;
}

describe("a task", together, () => {
  test("is created, read, changed, completed, reopened and removed", async () => {
    const client = clientOf();

    const { value: task, etag } = await client.create({ title: "Buy milk", description: "Two litres" });
    assert.deepEqual(await client.get(task.id), { value: task, etag });
    const renamed = await client.update(task.id, { title: "Buy oat milk" });
    assert.equal(renamed.value.description, "Two litres");
    assert.equal((await client.complete(task.id)).value.completed, true);
    assert.equal((await client.complete(task.id, true)).value.completed, true);
    assert.equal((await client.complete(task.id, false)).value.completed, false);
    const removed = await client.remove(task.id);

    assert.equal(removed.title, "Buy oat milk");
    await assert.rejects(client.get(task.id), { status: 404, code: "not_found" });
  });

  test("belongs to a user whose id is no plain word", async () => {
    const client = clientOf({ user: `${newUser()}/ü %2F?#` });

    const { value: task } = await client.create({ title: "Buy milk" });

    assert.deepEqual((await client.list()).tasks, [task]);
  });

  test("is not overwritten by somebody who read an older version", async () => {
    const client = clientOf();
    const { value: task, etag } = await client.create({ title: "Buy milk" });
    const newer = await client.update(task.id, { title: "Buy bread" }, { etag });

    for (const write of [
      () => client.update(task.id, { title: "Buy butter" }, { etag }),
      () => client.complete(task.id, true, { etag }),
      () => client.complete(task.id, undefined, { etag }),
      () => client.remove(task.id, { etag }),
    ]) {
      await assert.rejects(write, { name: "Problem", status: 412, code: "precondition_failed" });
    }
    assert.deepEqual(await client.get(task.id), newer);
  });

  test("is created once by one key", async () => {
    const client = clientOf();

    const first = await client.create({ title: "Buy milk" }, { idempotencyKey: "breakfast" });
    const second = await client.create({ title: "Buy milk" }, { idempotencyKey: "breakfast" });

    assert.deepEqual(second, first);
    await assert.rejects(client.create({ title: "Buy tea" }, { idempotencyKey: "breakfast" }), { status: 422 });
  });
});

describe("an error response", together, () => {
  test("says what to show, which fields and which request", async () => {
    const problem = await clientOf()
      .create({ title: " ", description: "x".repeat(1001) })
      .then(assert.fail, (error) => error);

    assert(problem instanceof Problem && problem instanceof Error);
    assert.equal(problem.status, 400);
    assert.equal(problem.code, "invalid_request");
    assert.equal(problem.message, problem.detail);
    assert.match(problem.detail, /^title: must not be blank/);
    assert.deepEqual(problem.errors.map(({ field }) => field), ["title", "description"]);
    assert.match(problem.requestId, /^[0-9a-f]{16}$/);
    assert.equal(problem.retryAfter, null);
  });

  test("of a gateway is a problem too", async (t) => {
    const { client } = await overFaults(t, [gateway(418)]);

    await assert.rejects(client.list(), {
      name: "Problem",
      status: 418,
      code: "unknown",
      detail: "The service answered with status 418.",
      requestId: "",
    });
  });
});

describe("a list", together, () => {
  test("is filtered and sorted", async () => {
    const client = clientOf();
    for (const title of ["Bread", "apples & pears", "Butter"]) await client.create({ title });
    const { value: done } = await client.create({ title: "Beer", completed: true });

    assert.deepEqual((await client.list({ status: "completed" })).tasks, [done]);
    assert.deepEqual(await titles(client, { search: "S & p" }), ["apples & pears"]);
    assert.deepEqual(await titles(client, { sort: "title" }), ["apples & pears", "Beer", "Bread", "Butter"]);
    assert.deepEqual(await titles(client, { order: "asc", status: "pending" }), ["Bread", "apples & pears", "Butter"]);
  });

  test("is walked page by page to its end", async () => {
    const client = clientOf();
    for (let number = 1; number <= 5; number++) await client.create({ title: `no & ${number}` });
    const query = { limit: 2, order: "asc", search: "o & " };

    const first = await client.list(query);
    const second = await first.next();
    const third = await second.next();

    assert.deepEqual([first, second, third].map(({ tasks }) => tasks.length), [2, 2, 1]);
    assert.equal(third.next, null);
    assert.equal(new Set([first, second, third].map(({ etag }) => etag)).size, 3);
    assert.deepEqual(await titles(client, query), [1, 2, 3, 4, 5].map((number) => `no & ${number}`));
  });

  test("is fetched with the fetch that was given", async () => {
    const requests = [];
    const client = clientOf({ fetch: (url, init) => requests.push(url) && fetch(url, init) });

    await client.list({ limit: 3 });

    assert.deepEqual(requests.map((url) => new URL(url).search), ["?limit=3"]);
  });

  test("is fetched no further than the loop goes", async (t) => {
    const { client, direct, network } = await overFaults(t, []);
    for (let number = 0; number < 4; number++) await direct.create({ title: "Buy milk" });

    for await (const _ of client.all({ limit: 2 })) break;

    assert.equal(network.requests.length, 1);
  });
});

describe("over a network that fails", together, () => {
  for (const [name, fault] of Object.entries({ "is cut": cut, "loses the answer": lost(), "breaks off": brokenOff })) {
    test(`that ${name}, a create makes one task`, async (t) => {
      const { client, direct, network } = await overFaults(t, [fault, fault]);

      const { value: task } = await client.create({ title: "Buy milk" });

      assert.deepEqual((await direct.list()).tasks, [task]);
      assert.equal(network.requests.length, 3);
      assert.equal(new Set(network.requests.map(({ headers }) => headers["idempotency-key"])).size, 1);
    });

    test(`that ${name}, a list and a task are read`, async (t) => {
      const { client, direct } = await overFaults(t, [fault]);
      const created = await direct.create({ title: "Buy milk" });

      assert.deepEqual((await client.list()).tasks, [created.value]);
      assert.deepEqual(await client.get(created.value.id), created);
    });

    test(`that ${name}, a change to a version is made once and answered`, async (t) => {
      const { client, direct, network } = await overFaults(t, [fault]);
      const { value: task, etag } = await direct.create({ title: "Buy milk" });

      const changed = await client.update(task.id, { title: " Buy tea ", description: "Green" }, { etag });
      network.faults.push(fault);
      const completed = await client.complete(task.id, true, { etag: changed.etag });

      assert.deepEqual(await direct.get(task.id), completed);
      assert.equal(changed.value.title, "Buy tea");
      assert.equal(completed.value.completed, true);
    });

    test(`that ${name}, a task is removed`, async (t) => {
      const { client, direct } = await overFaults(t, [fault]);
      const { value: task } = await direct.create({ title: "Buy milk" });

      const removed = await client.remove(task.id);

      assert.deepEqual(removed, fault === cut ? task : null);
      assert.deepEqual((await direct.list()).tasks, []);
    });

    test(`that ${name}, a toggle is sent once`, async (t) => {
      const { client, direct, network } = await overFaults(t, [fault]);
      const { value: task } = await direct.create({ title: "Buy milk" });

      await assert.rejects(client.complete(task.id), { name: "NetworkError", reason: "unreachable" });

      assert.equal(network.requests.length, 1);
      assert.equal((await direct.get(task.id)).value.completed, fault !== cut);
    });
  }

  test("a change loses to another one that came in between", async (t) => {
    const { client, direct } = await overFaults(t, [lost(() => direct.update(task.id, { title: "Buy tea" }))]);
    const { value: task, etag } = await direct.create({ title: "Buy milk" });

    await assert.rejects(client.update(task.id, { title: "Buy bread" }, { etag }), { status: 412 });

    assert.equal((await direct.get(task.id)).value.title, "Buy tea");
  });

  test("a task that never was is not called removed", async (t) => {
    const { client } = await overFaults(t, []);

    await assert.rejects(client.remove(1), { status: 404 });
  });

  test("a failure for good has the one of fetch as its cause", async (t) => {
    const { client, network } = await overFaults(t, [cut, cut, cut, cut]);

    const error = await client.list().then(assert.fail, (reason) => reason);

    assert(error instanceof NetworkError && error.cause instanceof TypeError);
    assert.equal(network.requests.length, 3);
  });

  test("a failed connection is tried three times in a row, whatever was before", async (t) => {
    const { client, network } = await overFaults(t, [gateway(503), cut, cut, gateway(503), cut]);

    await client.list();

    assert.equal(network.requests.length, 6);
  });
});

describe("while the service is unavailable", together, () => {
  for (const status of [502, 503, 504]) {
    test(`a request is repeated after ${status}`, async (t) => {
      const { client, network } = await overFaults(t, [gateway(status), gateway(status)]);

      assert.deepEqual((await client.list()).tasks, []);

      assert.equal(network.requests.length, 3);
    });
  }

  test("Retry-After is waited for", async (t) => {
    const { client, network } = await overFaults(t, [gateway(503, { "Retry-After": "1" })]);

    await client.create({ title: "Buy milk" });

    const [first, second] = network.requests;
    assert(second.at - first.at >= 1000 && second.at - first.at < 3000);
  });

  test("the pauses grow", async (t) => {
    const { client, network } = await overFaults(t, [gateway(503), gateway(503), gateway(503)]);

    await client.list();

    const [first, second, third, fourth] = network.requests.map(({ at }) => at);
    assert(second - first >= 125 && third - second >= 250 && fourth - third >= 500);
  });

  test("a request gives up in the end and says when to come again", async (t) => {
    const faults = Array.from({ length: 3 }, () => gateway(503, { "Retry-After": "0" }));
    const { client, network } = await overFaults(t, faults, { retries: 2 });

    await assert.rejects(client.list(), { name: "Problem", status: 503, retryAfter: 0 });

    assert.equal(network.requests.length, 3);
  });

  test("a request does not wait for minutes", async (t) => {
    const later = new Date(Date.now() + 120_000).toUTCString();
    const { client, network } = await overFaults(t, [gateway(503, { "Retry-After": later })]);

    const problem = await client.list().then(assert.fail, (error) => error);

    assert(problem.retryAfter > 110 && problem.retryAfter <= 120);
    assert.equal(network.requests.length, 1);
  });

  test("a toggle is not repeated", async (t) => {
    const { client, network } = await overFaults(t, [gateway(503)]);

    await assert.rejects(client.complete(1), { status: 503 });

    assert.equal(network.requests.length, 1);
  });
});

describe("a token", together, () => {
  test("that is rejected is renewed, once for all requests", async () => {
    const user = newUser();
    const tokens = [sign(user, -60), sign(user)]; // the client's clock is two minutes behind
    let fetched = 0;
    const client = clientOf({ user, token: renewing(async () => tokens[fetched++], -120) });

    const pages = await Promise.all(Array.from({ length: 10 }, () => client.list()));

    assert.equal(pages.length, 10);
    assert.equal(fetched, 2);
  });

  test("that is rejected is renewed for a toggle too", async () => {
    const user = newUser();
    const client = clientOf({ user, token: async (rejected) => sign(user, rejected === undefined ? -60 : 900) });
    const { value: task } = await client.create({ title: "Buy milk" });

    assert.equal((await client.complete(task.id)).value.completed, true);
  });

  test("that is rejected twice is a problem", async (t) => {
    const { client, network } = await overFaults(t, [], { token: async () => sign(newUser(), -60) });

    await assert.rejects(client.list(), { status: 401, code: "unauthorized", detail: "The token has expired." });

    assert.equal(network.requests.length, 2);
  });

  test("that is rejected and stays the same is not sent again", async (t) => {
    const expired = sign(newUser(), -60);
    const { client, network } = await overFaults(t, [], { token: async () => expired });

    await assert.rejects(client.list(), { status: 401 });

    assert.equal(network.requests.length, 1);
  });

  test("that cannot be had is said as it is and at once, and nothing is sent", async (t) => {
    let asked = 0;
    const signedOut = async () => assert.fail(`Signed out, said ${++asked} times.`);
    const { client, network } = await overFaults(t, [], { token: signedOut });

    await assert.rejects(client.list(), { message: "Signed out, said 1 times." });

    assert.equal(network.requests.length, 0);
  });

  test("that cannot be fetched for the network is fetched again", async () => {
    const user = newUser();
    const failures = [new TypeError("fetch failed")];
    const fetchToken = async () => {
      for (const failure of failures.splice(0)) throw failure;
      return sign(user);
    };
    const client = clientOf({ user, token: fetchToken });

    assert.deepEqual((await client.list()).tasks, []);
  });

  test("is used until shortly before it expires", async () => {
    const user = newUser();
    const tokens = [sign(user, 60), sign(user, 600)];
    const renewingAt = (marginSeconds) => {
      let fetched = 0;
      return renewing(async () => tokens[fetched++], marginSeconds);
    };
    const [early, late] = [renewingAt(90), renewingAt(30)];

    assert.deepEqual([await late(), await late()], [tokens[0], tokens[0]]);
    assert.deepEqual([await early(), await early(), await early()], [tokens[0], tokens[1], tokens[1]]);
  });

  test("is fetched once for all requests that wait for it", async () => {
    let fetched = 0;
    const token = renewing(async () => `token ${++fetched}`);

    const first = await Promise.all([token(), token(), token()]);
    const second = await Promise.all([token("token 1"), token("token 1"), token()]);

    assert.deepEqual(first, Array(3).fill("token 1"));
    assert.deepEqual(second, Array(3).fill("token 2"));
    assert.equal(await token("token 1"), "token 2");
  });

  test("serves on while no new one can be had, until it expires or is rejected", async () => {
    const old = sign(newUser(), 60);
    const answers = [old];
    const token = renewing(async () => answers.pop() ?? assert.fail("The identity server is away."), 90);

    assert.deepEqual([await token(), await token()], [old, old]);
    await assert.rejects(token(old), /away/);
  });

  test("whose lifetime cannot be read is used until it is rejected", async () => {
    let fetched = 0;
    const token = renewing(async () => `opaque${++fetched}`);

    assert.deepEqual([await token(), await token(), await token("opaque1")], ["opaque1", "opaque1", "opaque2"]);
  });
});

describe("behind a proxy", together, () => {
  test("that makes tags weak, as nginx does where it compresses, writes happen under them", async (t) => {
    const { client, network } = await overFaults(t, []);
    network.faults.push(...Array(5).fill(weakened));

    const { value: task, etag } = await client.create({ title: "Buy milk" });
    assert.match(etag, /^W\//);
    const changed = await client.update(task.id, { title: "Buy tea" }, { etag });
    await assert.rejects(client.update(task.id, { title: "Buy bread" }, { etag }), { status: 412 });
    const completed = await client.complete(task.id, true, { etag: changed.etag });

    assert.equal((await client.remove(task.id, { etag: completed.etag })).title, "Buy tea");
  });

  test("that strips a prefix, pages follow each other", async (t) => {
    const user = newUser();
    const network = await unreliable({ prefix: "/backend" });
    t.after(network.stop);
    const client = clientOf({ user, baseUrl: `${network.url}/backend/` });
    for (const title of ["a", "b", "c"]) await client.create({ title });

    assert.deepEqual(await titles(client, { limit: 1, sort: "title" }), ["a", "b", "c"]);

    assert.equal(network.requests.length, 6);
  });
});

describe("what cannot be cured by repeating", together, () => {
  test("is an address where nothing listens: it is given up soon, and the message says what to look at", async () => {
    const network = await unreliable();
    network.stop();
    const retries = [];
    const client = clientOf({ baseUrl: network.url, onRetry: (retry) => retries.push(retry) });

    await assert.rejects(client.list(), {
      name: "NetworkError",
      reason: "unreachable",
      message: new RegExp(`^No connection to ${network.url} \\(ECONNREFUSED\\)\\. Is the address right`),
    });

    assert.equal(retries.length, 2);
    assert(retries.reduce((sum, { delayMilliseconds }) => sum + delayMilliseconds, 0) <= 1000);
  });

  for (const status of [301, 302, 303, 307, 308]) {
    test(`is a redirect with ${status}: neither the token nor the task goes there`, async (t) => {
      const elsewhere = await unreliable();
      t.after(elsewhere.stop);
      const { client, network } = await overFaults(t, [gateway(status, { Location: `${elsewhere.url}/api` })]);

      await assert.rejects(client.create({ title: "Buy milk" }), { reason: "redirect", message: /baseUrl/ });

      assert.deepEqual([network.requests.length, elsewhere.requests.length], [1, 0]);
    });
  }

  test("is a web server that answers every path with its page", async (t) => {
    const { client, network } = await overFaults(t, [gateway(200), gateway(200), gateway(200)]);

    for (const method of [() => client.list(), () => client.get(1), () => client.create({ title: "Buy milk" })]) {
      await assert.rejects(method, { name: "Problem", status: 200, code: "unknown", detail: /not one of the Todo API/ });
    }
    assert.equal(network.requests.length, 3);
  });
});

describe("a signal", together, () => {
  const methods = {
    list: (client, options) => client.list({}, options),
    all: (client, options) => client.all({}, options).next(),
    get: (client, options) => client.get(1, options),
    create: (client, options) => client.create({ title: "Buy milk" }, options),
    update: (client, options) => client.update(1, { title: "Buy tea" }, options),
    complete: (client, options) => client.complete(1, true, options),
    toggle: (client, options) => client.complete(1, undefined, options),
    remove: (client, options) => client.remove(1, options),
  };
  for (const [name, method] of Object.entries(methods)) {
    test(`ends ${name} while it waits for a response`, async (t) => {
      const controller = new AbortController();
      const { client, network } = await overFaults(t, [() => controller.abort()]);

      await assert.rejects(method(client, { signal: controller.signal }), { name: "AbortError" });

      assert.equal(network.requests.length, 1);
    });
  }

  test("ends the pause before a retry", { timeout: 15_000 }, async (t) => {
    const controller = new AbortController();
    const onRetry = ({ delayMilliseconds }) => controller.abort(new Error(`not ${delayMilliseconds >= 30_000}`));
    const { client, network } = await overFaults(t, [gateway(503, { "Retry-After": "30" })], { onRetry });

    await assert.rejects(client.list({}, { signal: controller.signal }), { message: "not true" });

    assert.equal(network.requests.length, 1);
  });

  test("ends the wait for a token", async (t) => {
    const controller = new AbortController();
    const token = () => {
      controller.abort();
      return new Promise(() => {});
    };
    const { client, network } = await overFaults(t, [], { token });

    await assert.rejects(client.list({}, { signal: controller.signal }), { name: "AbortError" });

    assert.equal(network.requests.length, 0);
  });

  test("that is aborted already lets nothing be sent", async (t) => {
    const { client, network } = await overFaults(t, []);

    await assert.rejects(client.create({ title: "Buy milk" }, { signal: AbortSignal.abort("why") }), (reason) => reason === "why");

    assert.equal(network.requests.length, 0);
  });

  test("ends the next page, and the loop", async (t) => {
    const { client, direct, network } = await overFaults(t, []);
    for (let number = 0; number < 3; number++) await direct.create({ title: "Buy milk" });
    const controller = new AbortController();
    const { next } = await client.list({ limit: 1 });

    await assert.rejects(next({ signal: AbortSignal.abort() }), { name: "AbortError" });
    await assert.rejects(
      async () => {
        for await (const _ of client.all({ limit: 1 }, { signal: controller.signal })) controller.abort();
      },
      { name: "AbortError" },
    );

    assert.equal(network.requests.length, 2);
  });

  test("that is never aborted changes nothing", async (t) => {
    const { client, network } = await overFaults(t, [cut, gateway(503)]);
    const { signal } = new AbortController();

    assert.deepEqual((await client.list({}, { signal })).tasks, []);

    assert.equal(network.requests.length, 3);
  });
});

describe("a retry", together, () => {
  test("is told before its pause: which request, for which error and how long it waits", async (t) => {
    const retries = [];
    const faults = [cut, gateway(503, { "Retry-After": "0" })];
    const { client, network } = await overFaults(t, faults, { onRetry: (retry) => retries.push(retry) });

    await client.create({ title: "Buy milk" });

    assert.deepEqual(
      retries.map(({ method, attempt, error }) => [method, attempt, error.name, error.reason ?? error.status]),
      [
        ["POST", 1, "NetworkError", "unreachable"],
        ["POST", 2, "Problem", 503],
      ],
    );
    assert(retries.every(({ url }) => url.startsWith(`${network.url}/api/`)));
    assert(retries.every(({ delayMilliseconds }) => delayMilliseconds > 0));
  });
});

describe("over a network that falls silent", together, () => {
  test("a request is sent again", async (t) => {
    const { client, direct, network } = await overFaults(t, [silent], { timeoutSeconds: 1 });

    const { value: task } = await client.create({ title: "Buy milk" });

    assert.deepEqual((await direct.list()).tasks, [task]);
    assert(network.requests.length >= 2);
  });

  test("a request gives up in the end and says so", async (t) => {
    const { client, network } = await overFaults(t, [silent, silent], { timeoutSeconds: 0.2, retries: 1 });

    await assert.rejects(client.list(), { name: "NetworkError", reason: "timeout" });

    assert.equal(network.requests.length, 2);
  });
});
