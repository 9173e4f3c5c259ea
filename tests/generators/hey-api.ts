// What a front end writes with hey-api's client: compiled, never run.
import { completeTask, createTask, deleteTask, listTasks, updateTask } from "./generated/hey-api";

export async function everyOperation(user: string): Promise<number> {
  await listTasks({ path: { user_id: user }, query: { status: "pending", sort: "title", limit: 10 } });
  await listTasks({ path: { user_id: user } });
  const { data, error } = await createTask({ path: { user_id: user }, body: { title: "Buy milk" } });
  if (data === undefined) {
    throw new Error(error.detail);
  }
  const path = { user_id: user, id: data.id };
  await updateTask({ path, body: { description: data.description ?? "" } });
  await completeTask({ path, body: { completed: true } });
  await deleteTask({ path });
  // @ts-expect-error A task needs a title.
  await createTask({ path: { user_id: user }, body: { description: "no title" } });
  return data.id;
}
