// One Chromium for all the browser tests, until its standard input ends.

import { createRequire } from "node:module";

const { chromium } = createRequire(new URL("../../examples/web/package.json", import.meta.url))("playwright-core");

const server = await chromium.launchServer({ executablePath: process.env.DEMO_CHROMIUM });
console.log(server.wsEndpoint());
process.stdin.on("end", () => server.close()).resume();
