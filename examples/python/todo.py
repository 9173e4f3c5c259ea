"""Tasks from the command line: lists them; ``add TITLE``, ``done ID`` and ``delete ID`` write.

TODO_USER and TODO_TOKEN say who (``todo-api token`` prints one); TODO_API says where, the local
service unless set.
"""

import os
import sys
from collections.abc import Iterable

import httpx
from todo_client import Problem, Task, TodoClient


def run(client: TodoClient, command: str = "list", argument: str = "") -> Iterable[Task]:
    """Do one thing; the tasks that it is about."""
    if command == "add":
        return [client.create(argument)]
    if command == "done":
        return [client.complete(int(argument))]
    if command == "delete":
        client.delete(int(argument))
        return []
    return client.list(limit=50)


def main() -> None:
    """Do what the command line says, and print it."""
    address = os.environ.get("TODO_API", "http://127.0.0.1:8000")
    with TodoClient(address, os.environ["TODO_USER"], lambda: os.environ["TODO_TOKEN"]) as client:
        try:
            for task in run(client, *sys.argv[1:]):
                print(f"{task['id']:>6} [{'x' if task['completed'] else ' '}] {task['title']}")
        except Problem as problem:
            sys.exit(str(problem))
        except httpx.TransportError as error:
            sys.exit(f"No connection to {address}: {error}")


if __name__ == "__main__":
    main()
