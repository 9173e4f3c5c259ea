"use client";

/** Search as one types, from the browser to the Todo API; a request that is out of date is cancelled. */

import { useEffect, useState } from "react";
import type { Task } from "todo-api-client";
import { authClient } from "../lib/auth-client";
import { todoClient } from "../lib/browser-client";

export function Search() {
  const userId = authClient.useSession().data?.user.id;
  const [text, setText] = useState("");
  const [found, setFound] = useState<Task[]>([]);
  const [failure, setFailure] = useState("");

  useEffect(() => {
    setFound([]);
    setFailure("");
    if (userId === undefined || text.trim() === "") return;
    const controller = new AbortController();
    const { signal } = controller;
    todoClient(userId)
      .list({ search: text, limit: 20 }, { signal })
      .then(({ tasks }) => setFound(tasks))
      .catch((error: Error) => signal.aborted || setFailure(error.message));
    return () => controller.abort();
  }, [userId, text]);
  return (
    <section aria-label="Search">
      <input type="search" aria-label="Search" placeholder="Search" value={text} onChange={(event) => setText(event.target.value)} />
      <ul>
        {found.map(({ id, title }) => (
          <li key={id}>{title}</li>
        ))}
      </ul>
      {failure && <p role="alert">{failure}</p>}
    </section>
  );
}
