/** The typed client in the browser, which calls the Todo API directly. */

import { TodoClient, renewing } from "todo-api-client";
import { authClient } from "./auth-client";

const baseUrl = process.env.NEXT_PUBLIC_TODO_API ?? "http://127.0.0.1:8000";

const token = renewing(async () => {
  const { data, error } = await authClient.token();
  if (error) throw new Error("Please sign in again.");
  return data.token;
});

export function todoClient(userId: string): TodoClient {
  return new TodoClient({ baseUrl, userId, token });
}
