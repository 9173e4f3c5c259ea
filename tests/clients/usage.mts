// Compiled, never run: what the client's types allow, and what they do not.

import { NetworkError, Problem, TodoClient, renewing } from "../../clients/typescript/dist/index.js";
import type { Page, ProblemCode, Retry, Task, Versioned } from "../../clients/typescript/dist/index.js";

const token = renewing(async () => "token", 60);
const onRetry = ({ attempt, delayMilliseconds, error }: Retry) => console.log(attempt, delayMilliseconds, error.message);
const client = new TodoClient({ baseUrl: "", userId: "alice", token, fetch, retries: 0, timeoutSeconds: 5, onRetry });
new TodoClient({ baseUrl: "", userId: "alice", token: async () => "token" });

export async function right(signal: AbortSignal): Promise<void> {
  const page: Page = await client.list({ status: "pending", search: "milk", sort: "title", order: "asc", limit: 20 });
  const following: Page | undefined = await page.next?.({ signal });
  const { value, etag }: Versioned<Task> = await client.create({ title: "Buy milk" }, { idempotencyKey: "key", signal });
  await client.update(value.id, { description: null }, { etag, signal });
  await client.complete(value.id);
  await client.complete(value.id, true, { etag });
  const removed: Task | null = await client.remove(value.id);
  const description: string | null = value.description;
  for await (const task of client.all()) console.log(task.title.length, new Date(task.created_at), description);
  console.log(following, removed);
}

export function explained(error: unknown): string {
  if (error instanceof NetworkError) return error.reason === "blocked" ? "CORS" : error.message;
  if (!(error instanceof Problem)) return "A bug";
  const code: ProblemCode = error.code;
  switch (code) {
    case "precondition_failed":
      return "Somebody changed this task meanwhile.";
    default:
      return error.detail;
  }
}

export async function wrong(task: Task, problem: Problem): Promise<void> {
  // @ts-expect-error a task needs a title
  await client.create({ description: "Two litres" });
  // @ts-expect-error no such field
  await client.update(task.id, { titel: "Buy milk" });
  // @ts-expect-error a title cannot be cleared
  await client.update(task.id, { title: null });
  // @ts-expect-error not a boolean
  await client.complete(task.id, "true");
  // @ts-expect-error ids of tasks are numbers
  await client.get("1");
  // @ts-expect-error no such order
  await client.list({ order: "newest" });
  // @ts-expect-error pages are followed by `next`
  await client.list({ cursor: "…" });
  // @ts-expect-error no such code
  console.log(problem.code === "conflict");
  // @ts-expect-error the version is one of the options, where it cannot be taken for something else
  await client.update(task.id, { title: "Buy milk" }, "etag");
  // @ts-expect-error a token comes from a function, because tokens expire
  new TodoClient({ baseUrl: "", userId: "alice", token: "token" });
  // @ts-expect-error a description may be null
  console.log(task.description.length);
  // @ts-expect-error nothing may be known of when to try again
  console.log(problem.retryAfter + 1);
}
