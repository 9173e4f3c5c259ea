// The demo's front: Better Auth under /api/auth, the page, and the client that the page imports.
//
// DEMO_PORT says where to listen on localhost (or on DEMO_HOST, in a container), DEMO_API where the Todo API is. Accounts live in memory:
// they are forgotten when the process ends.

import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import { jwt } from "better-auth/plugins";

const port = Number(process.env.DEMO_PORT ?? 3000);
const api = process.env.DEMO_API ?? "http://127.0.0.1:8000";
const origin = `http://localhost:${port}`;

const auth = betterAuth({
  baseURL: origin,
  secret: randomBytes(32).toString("hex"),
  database: memoryAdapter({ user: [], session: [], account: [], verification: [], jwks: [] }),
  telemetry: { enabled: false },
  emailAndPassword: { enabled: true },
  plugins: [jwt()],
});

/** What each address prefix shows; the first that fits is taken. */
const DIRECTORIES = [
  ["/client/", new URL("../../clients/typescript/dist/", import.meta.url)],
  ["/", new URL("page/", import.meta.url)],
];
const TYPES = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".svg": "image/svg+xml",
};

const authenticate = toNodeHandler(auth);
const policy = contentPolicy(await readFile(new URL("page/index.html", import.meta.url), "utf8"));

const server = createServer((request, response) => {
  const [pathname] = request.url.split("?");
  if (pathname.startsWith("/api/auth/")) return authenticate(request, response);
  if (pathname === "/config.json") return send(response, 200, "application/json", JSON.stringify({ api }));
  return sendFile(pathname, response);
});
server.on("error", (error) => {
  console.error(error.code === "EADDRINUSE" ? `Port ${port} is in use. DEMO_PORT names another one.` : error);
  process.exit(1);
});
server.listen(port, process.env.DEMO_HOST ?? "localhost");

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));

async function sendFile(pathname, response) {
  try {
    const [prefix, directory] = DIRECTORIES.find(([start]) => pathname.startsWith(start));
    const file = new URL(pathname.slice(prefix.length) || "index.html", directory);
    const type = TYPES[extname(file.pathname)];
    if (type === undefined || !file.href.startsWith(directory.href)) throw new Error("not ours to show");
    send(response, 200, type, await readFile(fileURLToPath(file)));
  } catch {
    send(response, 404, "text/plain", "There is no such page.");
  }
}

function send(response, status, type, body) {
  response.writeHead(status, {
    "Content-Type": `${type}; charset=utf-8`,
    "Content-Security-Policy": policy,
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
  });
  response.end(body);
}

/** Scripts and styles of ours alone. The import map has to stand in the page, so it is named by its hash. */
function contentPolicy(page) {
  const map = /<script type="importmap">([^]*?)<\/script>/.exec(page)[1];
  const hash = createHash("sha256").update(map).digest("base64");
  return [
    "default-src 'none'",
    `script-src 'self' 'sha256-${hash}'`,
    "style-src 'self'",
    "img-src 'self'",
    `connect-src 'self' ${api}`,
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}
