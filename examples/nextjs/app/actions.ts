"use server";

/** What people do with their tasks. Each action runs on the server, with a token of the user who called it. */

import { revalidatePath } from "next/cache";
import { redirect } from "next/navigation";
import { NetworkError, Problem, type TodoClient } from "todo-api-client";
import { todoClient } from "../lib/server-client";

/** What to show people; empty when it worked. */
export type Failure = string;

export async function createTask(title: string, idempotencyKey: string): Promise<Failure> {
  return carryOut((client) => client.create({ title }, { idempotencyKey }));
}

export async function completeTask(id: number, completed: boolean): Promise<Failure> {
  return carryOut((client) => client.complete(id, completed));
}

export async function removeTask(id: number): Promise<Failure> {
  return carryOut((client) => client.remove(id));
}

async function carryOut(write: (client: TodoClient) => Promise<unknown>): Promise<Failure> {
  const client = await todoClient();
  if (client === null) redirect("/sign-in");
  try {
    await write(client);
  } catch (error) {
    if (error instanceof Problem) return error.detail;
    if (!(error instanceof NetworkError)) throw error;
    console.error(error.message);
    return "The tasks cannot be reached at the moment.";
  }
  revalidatePath("/");
  return "";
}
