/** The Better Auth server. Its JWT plugin makes the tokens that the Todo API accepts. */

import { betterAuth } from "better-auth";
import { memoryAdapter, type MemoryDB } from "better-auth/adapters/memory";
import { nextCookies } from "better-auth/next-js";
import { jwt } from "better-auth/plugins";
import { Pool } from "pg";

/** For a first try: accounts in memory, one store for all bundles that Next.js makes of this module. */
const shared = globalThis as typeof globalThis & { accounts?: MemoryDB };
shared.accounts ??= { user: [], session: [], account: [], verification: [], jwks: [] };

const connectionString = process.env.DATABASE_URL;

export const auth = betterAuth({
  database: connectionString ? new Pool({ connectionString }) : memoryAdapter(shared.accounts),
  emailAndPassword: { enabled: true },
  telemetry: { enabled: false },
  plugins: [jwt(), nextCookies()],
});
