"use client";

import { useOptimistic, useState, useTransition } from "react";
import type { Task } from "todo-api-client";
import { completeTask, removeTask } from "./actions";

export function TaskRow({ task }: { task: Task }) {
  const [completed, showCompleted] = useOptimistic(task.completed);
  const [failure, setFailure] = useState("");
  const [, startTransition] = useTransition();

  const complete = (value: boolean) =>
    startTransition(async () => {
      showCompleted(value);
      setFailure(await completeTask(task.id, value));
    });
  const remove = () => startTransition(async () => setFailure(await removeTask(task.id)));
  return (
    <li>
      <label>
        <input type="checkbox" checked={completed} onChange={(event) => complete(event.target.checked)} /> {task.title}
      </label>
      <button aria-label={`Delete ${task.title}`} onClick={remove}>
        ×
      </button>
      {failure && <p role="alert">{failure}</p>}
    </li>
  );
}
