// A real Better Auth server for tests: sign-up by e-mail and password, the JWT plugin, everything in memory.
//
// SIGN_IN_PORT, SIGN_IN_SECRET and SIGN_IN_ORIGIN say how; with SIGN_IN_JWKS_COOKIE=1 the cookie cache is signed
// with the JWKS. Besides /api/auth it has two addresses for tests: POST /test/rotate/ALGORITHM lets the present
// signing key expire, so that the next signing makes another, of that algorithm; GET /test/link answers the token
// of the last e-mail verification link.

import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import { bearer, jwt } from "better-auth/plugins";

const port = Number(process.env.SIGN_IN_PORT);
const keyPairConfig = { alg: "EdDSA" }; // Better Auth's default
const baseURL = process.env.SIGN_IN_ORIGIN ?? `http://127.0.0.1:${port}`;
const memory = { user: [], session: [], account: [], verification: [], jwks: [] };
let link = "";

const auth = betterAuth({
  baseURL,
  secret: process.env.SIGN_IN_SECRET,
  database: memoryAdapter(memory),
  telemetry: { enabled: false },
  rateLimit: { enabled: false },
  emailAndPassword: { enabled: true },
  emailVerification: {
    sendOnSignUp: true,
    sendVerificationEmail: async ({ token }) => {
      link = token;
    },
  },
  session: { cookieCache: { enabled: true, strategy: "jwt", maxAge: 300 } },
  plugins: [bearer(), jwt({ jwks: { keyPairConfig }, sessionCookieCache: !!process.env.SIGN_IN_JWKS_COOKIE })],
});

const handler = toNodeHandler(auth);
const server = createServer((request, response) => {
  if (request.method === "POST" && request.url.startsWith("/test/rotate/")) {
    keyPairConfig.alg = request.url.split("/").pop();
    for (const key of memory.jwks) key.expiresAt ??= new Date(Date.now() - 1000);
    response.writeHead(204).end();
  } else if (request.url === "/test/link") {
    response.end(link);
  } else {
    handler(request, response);
  }
});
server.listen(port, "127.0.0.1", () => console.log(`listening on ${port}`));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
