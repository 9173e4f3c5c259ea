// What a front end writes with orval's client: compiled, never run.
import { completeTask, createTask, deleteTask, listTasks, updateTask } from "./generated/orval";

export async function everyOperation(user: string): Promise<number> {
  const listed = await listTasks(user, { status: "pending", sort: "title", limit: 10 });
  const all = await listTasks(user);
  const created = await createTask(user, { title: "Buy milk" });
  if (listed.status !== 200 || all.status !== 200 || created.status !== 201) {
    return 0;
  }
  const { id, description } = created.data;
  await updateTask(user, id, { description: description ?? "" });
  await completeTask(user, id, { completed: true });
  await deleteTask(user, id);
  // @ts-expect-error A task needs a title.
  await createTask(user, { description: "no title" });
  return id;
}
