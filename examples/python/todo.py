"""Tasks from Python: ``todo.py`` lists them, ``todo.py add TITLE`` and ``todo.py done ID`` write.

TODO_USER and TODO_TOKEN say who; TODO_API says where, the local service unless set.
"""

import os
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import httpx

Task = dict[str, Any]
ATTEMPTS = 5


def send(http: httpx.Client, method: str, path: str, **options: Any) -> httpx.Response:
    """The answer to a request that does no harm when it is repeated."""
    for attempt in range(ATTEMPTS):
        try:
            response = http.request(method, path, **options)
            if response.status_code != 503:
                break
        except httpx.TransportError:
            if attempt == ATTEMPTS - 1:
                raise
        time.sleep(0.25 * 2**attempt)
    if response.is_error:
        sys.exit(response.json()["detail"])
    return response


def every_task(http: httpx.Client, path: str) -> Iterator[Task]:
    """The tasks of a list, newest first, fetched page by page."""
    while path:
        page = send(http, "GET", path)
        yield from page.json()
        path = page.links.get("next", {}).get("url", "")


def main(arguments: list[str]) -> None:
    """Do one thing and print the tasks that it is about."""
    user, headers = os.environ["TODO_USER"], {"Authorization": f"Bearer {os.environ['TODO_TOKEN']}"}
    path = f"/api/{quote(user, safe='')}/tasks"
    with httpx.Client(base_url=os.environ.get("TODO_API", "http://127.0.0.1:8000"), headers=headers) as http:
        found: Iterable[Task] = every_task(http, f"{path}?limit=50")
        if arguments[:1] == ["add"]:
            once = {"Idempotency-Key": str(uuid.uuid4())}
            found = [send(http, "POST", path, headers=once, json={"title": arguments[1]}).json()]
        elif arguments[:1] == ["done"]:
            found = [send(http, "PATCH", f"{path}/{arguments[1]}/complete", json={"completed": True}).json()]
        for task in found:
            print(f"{task['id']:>6} [{'x' if task['completed'] else ' '}] {task['title']}")


if __name__ == "__main__":
    main(sys.argv[1:])
