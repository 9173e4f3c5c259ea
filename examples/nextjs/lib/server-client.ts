/** The typed client on the server: one for each request, so that nothing is shared between users. */

import { headers } from "next/headers";
import { TodoClient } from "todo-api-client";
import { auth } from "./auth";

/** The tasks of the signed-in user; null where nobody is. */
export async function todoClient(): Promise<TodoClient | null> {
  const request = { headers: await headers() };
  const session = await auth.api.getSession(request);
  if (session === null) return null;
  const token = async () => (await auth.api.getToken(request)).token;
  return new TodoClient({ baseUrl: process.env.TODO_API ?? "http://127.0.0.1:8000", userId: session.user.id, token });
}
