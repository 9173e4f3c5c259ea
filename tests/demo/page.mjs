// All tests of the page, in one process and one browser: both cost as much to start as some tests.

import { readdir } from "node:fs/promises";

const names = await readdir(new URL(".", import.meta.url));
await Promise.all(names.filter((name) => name.endsWith(".test.mjs")).map((name) => import(`./${name}`)));
