// The accounts: Better Auth with its JWT plugin, in the database that holds the tasks as well.
//
// Its tables (user, session, account, verification, jwks) stand beside those of the Todo API, whose migrations
// leave them alone, and whose role has no access to them.

import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { jwt } from "better-auth/plugins";
import pg from "pg";

/**
 * Better Auth, with its tables up to date.
 *
 * @param origin where browsers see the page; tokens name it as issuer and audience
 * @param databaseUrl a PostgreSQL URL as the Todo API takes it
 * @param secret signs cookies and encrypts the private key of the JWKS, so it has to stay the same
 */
export async function openAccounts({ origin, databaseUrl, secret }) {
  const database = new pg.Pool({ connectionString: databaseUrl, max: 5 });
  // A connection that breaks while nobody uses it: the pool opens another. Unheard, it would end the process.
  database.on("error", (error) => console.error(`A connection to the database broke: ${error.message}`));
  const options = {
    baseURL: origin,
    secret,
    database,
    telemetry: { enabled: false },
    emailAndPassword: { enabled: true },
    plugins: [jwt()],
  };
  const { runMigrations } = await getMigrations(options);
  await runMigrations();
  return betterAuth(options);
}
