// A program that installed the client, run by Node: nothing listens where it asks.

import { NetworkError, Problem, TodoClient } from "todo-api-client";

const client = new TodoClient({ baseUrl: "http://127.0.0.1:9", userId: "alice", token: async () => "token", retries: 0 });
try {
  await client.list();
} catch (error) {
  console.log(error instanceof NetworkError ? error.reason : error instanceof Problem);
}
