"""One user's tasks in the Todo API, from Python: sync and async, on httpx alone.

Copy this file into your project. Every request here may be repeated without harm, so each is, where
repeating can help. Tokens live for minutes: ``token`` is a function, called for each request and
once more after a 401.
"""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any, NotRequired, Self, TypedDict
from urllib.parse import quote

import httpx

MAX_RETRIES = 5
MAX_CONNECT_RETRIES = 2  # a wrong address is not cured by waiting
MAX_PAUSE_SECONDS = 30.0
UNAVAILABLE = {502, 503, 504}
NOT_OURS = "The response is not one of the Todo API."


class Task(TypedDict):
    """A task, as the service answers it."""

    id: int
    user_id: str
    title: str
    description: str | None
    completed: bool
    created_at: str
    updated_at: str


class TaskChange(TypedDict):
    """What to change; what is absent keeps its value."""

    title: NotRequired[str]
    description: NotRequired[str | None]
    completed: NotRequired[bool]


class Problem(Exception):
    """An error response. Its text is for people; ``status`` and ``code`` are for programs."""

    def __init__(self, response: httpx.Response) -> None:
        """Read the response, which a gateway may have sent instead of the service."""
        given = _json(response)
        body = given if isinstance(given, dict) else {}
        answered = f"The service answered with status {response.status_code}."
        super().__init__(body.get("detail") or (NOT_OURS if response.is_success else answered))
        self.status = response.status_code
        self.code: str = body.get("code", "unknown")
        self.request_id = response.headers.get("X-Request-ID", "")


class _TokenAuth(httpx.Auth):
    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        request.headers["Authorization"] = f"Bearer {self._token()}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            request.headers["Authorization"] = f"Bearer {self._token()}"
            yield request


class _Tasks:
    """What both clients have in common: which request is sent, and what its response means."""

    def __init__(self, user_id: str) -> None:
        self._path = f"/api/{quote(user_id, safe='')}/tasks"

    def _create(self, title: str, description: str | None, key: str | None) -> dict[str, Any]:
        headers, fields = {"Idempotency-Key": key or str(uuid.uuid4())}, {"title": title, "description": description}
        return {"method": "POST", "url": self._path, "headers": headers, "json": fields}

    def _list(self, query: dict[str, Any], cursor: str | None) -> dict[str, Any]:
        return {"method": "GET", "url": self._path, "params": query | ({"cursor": cursor} if cursor else {})}

    def _update(self, task_id: int, change: TaskChange) -> dict[str, Any]:
        return {"method": "PUT", "url": f"{self._path}/{task_id}", "json": change}

    def _complete(self, task_id: int, *, completed: bool) -> dict[str, Any]:
        return {"method": "PATCH", "url": f"{self._path}/{task_id}/complete", "json": {"completed": completed}}

    def _delete(self, task_id: int) -> dict[str, Any]:
        return {"method": "DELETE", "url": f"{self._path}/{task_id}", "headers": {"Prefer": "return=minimal"}}


class TodoClient(_Tasks):
    """The tasks of a user, as a context manager.

    Methods raise ``Problem``, or ``httpx.TransportError``.
    """

    def __init__(self, base_url: str, user_id: str, token: Callable[[], str]) -> None:
        """Connect to nothing yet."""
        super().__init__(user_id)
        self._http = httpx.Client(base_url=base_url, auth=_TokenAuth(token), timeout=15)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def list(self, **query: Any) -> Iterator[Task]:
        """Every task, page by page.

        ``status``, ``search``, ``sort``, ``order`` and ``limit`` (of a page) may be given.
        """
        cursor: str | None = ""
        while cursor is not None:
            page = self._send(**self._list(query, cursor))
            yield from _tasks(page)
            cursor = _cursor(page)

    def create(self, title: str, description: str | None = None, *, key: str | None = None) -> Task:
        """Create a task; one, however often it is sent. ``key`` repeats an earlier call."""
        return _task(self._send(**self._create(title, description, key)))

    def update(self, task_id: int, change: TaskChange) -> Task:
        """Change some fields of a task."""
        return _task(self._send(**self._update(task_id, change)))

    def complete(self, task_id: int, *, completed: bool = True) -> Task:
        """Complete a task, or reopen it."""
        return _task(self._send(**self._complete(task_id, completed=completed)))

    def delete(self, task_id: int) -> None:
        """Delete a task."""
        self._send(**self._delete(task_id))

    def _send(self, **request: Any) -> httpx.Response:
        for attempt in range(MAX_RETRIES + 1):
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = self._http.request(**request)
            except httpx.TransportError as error:
                outcome = error
            pause = _pause(outcome, attempt)
            if pause is None:
                break
            time.sleep(pause)
        return _result(outcome, repeated=attempt > 0)


class AsyncTodoClient(_Tasks):
    """The same for asyncio; safe to use from many asyncio tasks at once."""

    def __init__(self, base_url: str, user_id: str, token: Callable[[], str]) -> None:
        """Connect to nothing yet."""
        super().__init__(user_id)
        self._http = httpx.AsyncClient(base_url=base_url, auth=_TokenAuth(token), timeout=15)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def list(self, **query: Any) -> AsyncIterator[Task]:
        """Every task, page by page.

        ``status``, ``search``, ``sort``, ``order`` and ``limit`` (of a page) may be given.
        """
        cursor: str | None = ""
        while cursor is not None:
            page = await self._send(**self._list(query, cursor))
            for task in _tasks(page):
                yield task
            cursor = _cursor(page)

    async def create(self, title: str, description: str | None = None, *, key: str | None = None) -> Task:
        """Create a task; one, however often it is sent. ``key`` repeats an earlier call."""
        return _task(await self._send(**self._create(title, description, key)))

    async def update(self, task_id: int, change: TaskChange) -> Task:
        """Change some fields of a task."""
        return _task(await self._send(**self._update(task_id, change)))

    async def complete(self, task_id: int, *, completed: bool = True) -> Task:
        """Complete a task, or reopen it."""
        return _task(await self._send(**self._complete(task_id, completed=completed)))

    async def delete(self, task_id: int) -> None:
        """Delete a task."""
        await self._send(**self._delete(task_id))

    async def _send(self, **request: Any) -> httpx.Response:
        for attempt in range(MAX_RETRIES + 1):
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = await self._http.request(**request)
            except httpx.TransportError as error:
                outcome = error
            pause = _pause(outcome, attempt)
            if pause is None:
                break
            await asyncio.sleep(pause)
        return _result(outcome, repeated=attempt > 0)


def _pause(outcome: httpx.Response | httpx.TransportError, retries: int) -> float | None:
    """Seconds until the request is sent again; None when it is not."""
    retry_after = 0.0
    if isinstance(outcome, httpx.ConnectError) and retries >= MAX_CONNECT_RETRIES:
        return None
    if isinstance(outcome, httpx.Response):
        if outcome.status_code not in UNAVAILABLE:
            return None
        given = outcome.headers.get("Retry-After", "")
        retry_after = float(given) if given.isdecimal() else 0.0
    if retries >= MAX_RETRIES or retry_after > MAX_PAUSE_SECONDS:
        return None
    return retry_after + 0.25 * 2.0**retries * random.uniform(0.5, 1)  # noqa: S311  # so that clients do not return together


def _result(outcome: httpx.Response | httpx.TransportError, *, repeated: bool) -> httpx.Response:
    if isinstance(outcome, httpx.TransportError):
        raise outcome
    gone = outcome.status_code == httpx.codes.NOT_FOUND and outcome.request.method == "DELETE" and repeated
    if not outcome.is_success and not gone:
        raise Problem(outcome)
    return outcome


def _cursor(page: httpx.Response) -> str | None:
    """The cursor in the ``Link`` to the next page (RFC 8288).

    Only the cursor is taken from it, so a link can take the token to no other address.
    """
    link = page.links.get("next", {}).get("url")
    return httpx.URL(link).params.get("cursor") if link else None


def _task(response: httpx.Response) -> Task:
    task: Task = _json(response)
    if not isinstance(task, dict):
        raise Problem(response)
    return task


def _tasks(response: httpx.Response) -> list[Task]:
    tasks: list[Task] = _json(response)
    if not isinstance(tasks, list):
        raise Problem(response)
    return tasks


def _json(response: httpx.Response) -> Any:
    """What the body holds; None for a page, with which many a web server answers every path."""
    try:
        return response.json()
    except ValueError:
        return None
