// The service under test, users of it, and a network between the two that fails as it is told.

import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import http from "node:http";

/** Where the service listens, and what it verifies tokens with. */
export const API = process.env.TODO_API;
const SECRET = process.env.TODO_SECRET;

/** A user nobody else in the test run is. */
export function newUser() {
  return `user${randomBytes(14).toString("hex")}`;
}

/** A token of this user, signed by Node, not by the code under test; 15 minutes unless told. */
export function sign(user, seconds = 900) {
  const now = Math.floor(Date.now() / 1000);
  const parts = [{ alg: "HS256" }, { sub: user, iat: now, exp: now + seconds, jti: randomBytes(4).toString("hex") }];
  const signed = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

export const JSON_TYPE = { "Content-Type": "application/json" };

/** A new user, and what their front end has at hand. */
export function signedIn() {
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

/**
 * A proxy in front of the service. Each request takes the next of its `faults`, and passes when none is
 * left. `requests` are all that came: method, headers, and when. It listens below a `prefix`, which it strips.
 */
export async function unreliable({ prefix = "" } = {}) {
  const [faults, requests] = [[], []];
  const server = http.createServer(async (request, response) => {
    requests.push({ method: request.method, headers: request.headers, at: performance.now() });
    const body = Buffer.concat(await collected(request));
    assert(request.url.startsWith(prefix));
    request.url = request.url.slice(prefix.length);
    await (faults.shift() ?? passed)({ request, body, response });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, faults, requests, stop };
}

async function answered({ request, body }) {
  const { host, connection, ...headers } = request.headers;
  const sent = http.request(`${API}${request.url}`, { method: request.method, headers: { ...headers, connection: "close" } });
  sent.end(body);
  const [answer] = await once(sent, "response");
  return { status: answer.statusCode, headers: answer.headers, body: Buffer.concat(await collected(answer)) };
}

/** No fault. */
export async function passed(exchange) {
  const { status, headers, body } = await answered(exchange);
  exchange.response.writeHead(status, headers).end(body);
}

/** The proxy compresses, so that tags no longer name the same bytes (RFC 9110 §8.8.1). */
export async function weakened(exchange) {
  const { status, headers, body } = await answered(exchange);
  if (headers.etag !== undefined) headers.etag = `W/${headers.etag}`;
  exchange.response.writeHead(status, headers).end(body);
}

/** The connection is cut before the service hears of the request. */
export function cut({ response }) {
  response.destroy();
}

/** The service answers, and the answer is lost; `meanwhile` happens before the client notices. */
export function lost(meanwhile = () => {}) {
  return async (exchange) => {
    await answered(exchange);
    await meanwhile();
    exchange.response.destroy();
  };
}

/** The service answers, and the answer breaks off in its body. */
export async function brokenOff(exchange) {
  const { status, headers, body } = await answered(exchange);
  exchange.response.writeHead(status, headers).write(body.subarray(0, body.length - 9));
  setTimeout(() => exchange.response.destroy(), 20);
}

/** Nothing comes back, and nothing ends. */
export function silent() {}

/** A gateway answers in the service's place. */
export function gateway(status, headers = {}) {
  return ({ response }) => response.writeHead(status, { "Content-Type": "text/html", ...headers }).end("<h1>Sorry</h1>");
}

async function collected(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return pieces;
}
