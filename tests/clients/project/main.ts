// A page of a front end that installed the client: built by Vite, never run.

import { TodoClient, renewing, type Task } from "todo-api-client";

const token = renewing(async () => (await (await fetch("/api/auth/token")).json()).token);
const client = new TodoClient({ baseUrl: "https://api.example.com", userId: "alice", token });

function item({ title }: Task): HTMLLIElement {
  return Object.assign(document.createElement("li"), { textContent: title });
}

for await (const task of client.all({ status: "pending" })) document.querySelector("ul")?.append(item(task));
