"""The same with asyncio: creates a task for each line of input, all together, and completes them.

``seq -f "Task %g" 100 | todo_async.py`` with TODO_USER, TODO_TOKEN and TODO_API as for ``todo.py``.
"""

import asyncio
import os
import sys

from todo_client import AsyncTodoClient

MAX_TOGETHER = 10


async def main() -> None:
    """Create, list and complete."""
    address = os.environ.get("TODO_API", "http://127.0.0.1:8000")
    slots = asyncio.Semaphore(MAX_TOGETHER)
    async with AsyncTodoClient(address, os.environ["TODO_USER"], lambda: os.environ["TODO_TOKEN"]) as client:

        async def create(title: str) -> None:
            async with slots:
                await client.create(title)

        async with asyncio.TaskGroup() as group:
            for title in sys.stdin.read().splitlines():
                group.create_task(create(title))
        async for task in client.list(status="pending", limit=50):
            done = await client.complete(task["id"])
            print(f"{done['id']:>6} [x] {done['title']}")


if __name__ == "__main__":
    asyncio.run(main())
