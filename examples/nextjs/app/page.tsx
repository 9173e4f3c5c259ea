/** The tasks, rendered on the server. What is written goes through the server actions. */

import { redirect } from "next/navigation";
import { todoClient } from "../lib/server-client";
import { Account } from "./account";
import { NewTask } from "./new-task";
import { Search } from "./search";
import { TaskRow } from "./task-row";

export default async function Home() {
  const client = await todoClient();
  if (client === null) redirect("/sign-in");
  const { tasks, next } = await client.list({ limit: 50 });
  return (
    <>
      <Account />
      <h1>Tasks</h1>
      <NewTask />
      <ul>
        {tasks.map((task) => (
          <TaskRow key={task.id} task={task} />
        ))}
      </ul>
      {tasks.length === 0 && <p>Nothing to do yet.</p>}
      {next !== null && <p>These are the newest 50.</p>}
      <Search />
    </>
  );
}
