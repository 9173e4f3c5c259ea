// Lists as front ends ask for them: other names, other forms, and pages that are counted.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { signedIn } from "./service.mjs";

const together = { concurrency: true, timeout: 60_000 };

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
    "?limit=100&offset=0": ["c", "a", "B"],
    "?limit=100&page=1": ["c", "a", "B"],
    "?completed=true": ["a"],
    "?completed=false": ["c", "B"],
    "?completed=false&status=pending": ["c", "B"],
    "?completed=": ["c", "a", "B"],
    "?status=&search=&sort=&order=&limit=&offset=": ["c", "a", "B"],
    "?STATUS=pending": ["c", "B"],
    "?sort=due_date": ["c", "a", "B"],
    "?sort=priority&order=desc": ["c", "a", "B"],
    "?sort=createdAt&order=asc": ["B", "a", "c"],
    "?sortBy=updatedAt&sortOrder=desc": ["a", "c", "B"],
    "?sort=title:desc": ["c", "B", "a"],
    "?sort=created_at:asc": ["B", "a", "c"],
    "?sort=-title": ["c", "B", "a"],
    "?sort=-created_at": ["c", "a", "B"],
    "?skip=1": ["a", "B"],
    "?skip=1&limit=1": ["a"],
    "?offset=2&limit=10": ["B"],
    "?offset=3": [],
    "?page=1&limit=2": ["c", "a"],
    "?page=2&limit=2": ["B"],
    "?page=2&page_size=2": ["B"],
    "?page=3&per_page=1": ["B"],
    "?page=4&pageSize=1": [],
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

describe("a list parameter that cannot be meant", together, () => {
  const queries = ["sort=foo", "page=0", "limit=0", "offset=-1", "status=done", "completed=maybe", "cursor=nonsense"];
  const contradictions = ["status=pending&completed=true", "offset=1&page=2", "skip=1&cursor=x"];
  for (const query of [...queries, ...contradictions]) {
    test(`${query} is an error with a sentence, not the wrong tasks`, async () => {
      await assert.rejects(signedIn().call(`?${query}`), { status: 400, message: /^\w+: .{5,}/ });
    });
  }
});

describe("a page of a list", together, () => {
  test("has a link to the next one that is resolved against its own address", async () => {
    const { tasks, authorization, create } = signedIn();
    for (const title of ["a & b", "a & c", "d"]) await create({ title });

    const first = await fetch(`${tasks}?limit=1&search=${encodeURIComponent("a & ")}`, { headers: authorization });
    const [, link] = /^<([^>]*)>; rel="next"$/.exec(first.headers.get("Link"));
    const second = await fetch(new URL(link, first.url), { headers: authorization });

    assert.doesNotMatch(link, /^(\w+:|\/)/);
    assert.deepEqual((await second.json()).map(({ title }) => title), ["a & b"]);
    assert.equal(second.headers.get("Link"), null);
  });
});
