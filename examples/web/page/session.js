/** Signing in with Better Auth, which answers on this page's own origin: its cookie is the session. */

/** The session is over, or never began. */
export class SignedOut extends Error {}

/** The signed-in user, or null. */
export async function currentUser() {
  const session = await call("get-session");
  return session?.user ?? null;
}

export async function signUp({ name, email, password }) {
  const { user } = await call("sign-up/email", { name, email, password });
  return user;
}

export async function signIn({ email, password }) {
  const { user } = await call("sign-in/email", { email, password });
  return user;
}

export async function signOut() {
  await call("sign-out", {});
}

/** A token for the Todo API, good for 15 minutes. Rejects with `SignedOut` when the session is over. */
export async function fetchToken() {
  const { token } = await call("token");
  return token;
}

async function call(path, body) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(`/api/auth/${path}`, body === undefined ? {} : options);
  if (response.status === 401 && body === undefined) throw new SignedOut("Please sign in again.");
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Error(answer?.message ?? "Signing in does not work at the moment.");
  return answer;
}
