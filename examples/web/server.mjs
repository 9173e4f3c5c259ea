// The demo's front: Better Auth under /api/auth, the page, and the client that the page imports.
//
// DEMO_PORT says where to listen on localhost (or on DEMO_HOST, in a container), DEMO_API where the Todo API
// is, DATABASE_URL where the accounts are, BETTER_AUTH_SECRET what protects them.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { toNodeHandler } from "better-auth/node";
import { openAccounts } from "./accounts.mjs";

const port = Number(process.env.DEMO_PORT ?? 3000);
const api = process.env.DEMO_API ?? "http://127.0.0.1:8000";
const host = `localhost:${port}`;
const origin = `http://${host}`;

/** Other names of this machine, which people type: cookies and the service's CORS know only `localhost`. */
const LOOPBACK = new Set([`127.0.0.1:${port}`, `[::1]:${port}`]);
/** What each address prefix shows; the first that fits is taken. */
const DIRECTORIES = [
  ["/client/", new URL("../../clients/typescript/dist/", import.meta.url)],
  ["/", new URL("page/", import.meta.url)],
];
const TYPES = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".svg": "image/svg+xml",
  ".webmanifest": "application/manifest+json",
};

const { DATABASE_URL: databaseUrl, BETTER_AUTH_SECRET: secret } = process.env;
const authenticate = toNodeHandler(await openAccounts({ origin, databaseUrl, secret }));
const policy = contentPolicy(await readFile(new URL("page/index.html", import.meta.url), "utf8"));

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    if (response.headersSent) response.destroy();
    else send(response, 500, "text/plain", "Something went wrong here. The server's output says what.");
  });
});
server.on("error", (error) => {
  console.error(error.code === "EADDRINUSE" ? `Port ${port} is in use. DEMO_PORT names another one.` : error);
  process.exit(1);
});
server.listen(port, process.env.DEMO_HOST ?? "localhost");

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));

/** Whatever this throws is answered with 500: one bad request must not end the process. */
async function answer(request, response) {
  const { method, url } = request;
  const name = (request.headers.host ?? "").toLowerCase();
  const reads = method === "GET" || method === "HEAD";
  if (!URL.canParse(`http://${name}`)) return send(response, 400, "text/plain", "Host is not a name.");
  if (!reads && method !== "POST") return send(response, 405, "text/plain", "This cannot be done here.");
  const [pathname] = url.split("?");
  // Under any name: the Todo API fetches the JWKS from here as well. Better Auth checks where writes come from.
  if (pathname.startsWith("/api/auth/")) return authenticate(request, response);
  if (!reads) return send(response, 405, "text/plain", "This page can only be read.");
  if (LOOPBACK.has(name)) response.setHeader("Location", `${origin}/`);
  if (name !== host) return send(response, LOOPBACK.has(name) ? 307 : 421, "text/plain", `This page is at ${origin}.`);
  if (pathname === "/config.json") return send(response, 200, "application/json", JSON.stringify({ api }));
  return sendFile(pathname, response);
}

async function sendFile(pathname, response) {
  try {
    const [prefix, directory] = DIRECTORIES.find(([start]) => pathname.startsWith(start));
    const file = new URL(pathname.slice(prefix.length) || "index.html", directory);
    const type = TYPES[extname(file.pathname)];
    if (type === undefined || !file.href.startsWith(directory.href)) throw new Error("outside of the directory");
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
    "worker-src 'self'",
    `connect-src 'self' ${api}`,
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}
