/** Runs once when the server starts: makes Better Auth's tables, and the columns that a newer version of it wants. */

export async function register() {
  if (process.env.NEXT_RUNTIME !== "nodejs" || !process.env.DATABASE_URL) return;
  const { auth } = await import("./lib/auth");
  await (await auth.$context).runMigrations();
}
