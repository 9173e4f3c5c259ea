"use client";

import { useActionState, useRef, useState } from "react";
import { type Failure, createTask } from "./actions";

export function NewTask() {
  const [title, setTitle] = useState("");
  const key = useRef("");

  const [failure, create, pending] = useActionState(async (): Promise<Failure> => {
    key.current ||= crypto.randomUUID(); // the same until it worked, so that trying again makes no second task
    const failure = await createTask(title, key.current);
    if (failure === "") {
      key.current = "";
      setTitle("");
    }
    return failure;
  }, "");
  return (
    <form action={create}>
      <input aria-label="New task" placeholder="New task" value={title} onChange={(event) => setTitle(event.target.value)} />
      <button disabled={pending}>Add</button>
      {failure && <p role="alert">{failure}</p>}
    </form>
  );
}
