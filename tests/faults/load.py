"""Clients at work while something breaks, and the verdict over what they saw.

One number, the seed, decides what every client asks and when the scenario breaks what. A replay
asks the same; how the threads and processes interleave is the machine's affair.
"""

import http.client
import json
import os
import random
import secrets
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from itertools import takewhile
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.faults.history import Kind, Row, Step, complaints
from tests.harness import token

SECONDS = float(os.environ.get("FAULT_SECONDS", "1"))
"""How long a scenario goes on; each breaks and repairs at least once."""

SEED = int(os.environ.get("FAULT_SEED", secrets.randbelow(10**6)))

CLIENTS = 6
PAUSE_SECONDS = 0.002
PAUSE_AFTER_REJECTION_SECONDS = 0.03
PATIENCE_SECONDS = 30.0
BACK_SECONDS = 1.0
MANY_TASKS = 12
WEIGHTS = {Kind.CREATE: 3, Kind.READ: 4, Kind.LIST: 2, Kind.RENAME: 4, Kind.TOGGLE: 3, Kind.DELETE: 1}


@dataclass
class Client:
    """One user's front end, which sends one request after another."""

    urls: Sequence[str]
    seed: str
    user_id: str = field(default_factory=lambda: f"user{secrets.token_hex(14)}")
    ended: threading.Event = field(default_factory=threading.Event)
    steps: list[Step] = field(default_factory=list)
    pause_seconds: float = PAUSE_SECONDS

    def __post_init__(self) -> None:
        """Begin without a connection and without tasks."""
        self._random = random.Random(self.seed)
        self._token = token(self.user_id, exp=int(time.time()) + 86_400)
        self._connection: http.client.HTTPConnection | None = None
        self._ids: dict[str, int] = {}
        self._serial = 0

    def work(self) -> None:
        """Send requests until told to end."""
        while not self.ended.wait(self.pause_seconds):
            step = self.ask(self._choose())
            if step is None or step.status not in {200, 201}:
                self.ended.wait(PAUSE_AFTER_REJECTION_SECONDS)
        self.close()

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(self, kind: Kind) -> Step | None:
        """Ask one thing, and again with the same key where a creation is in doubt.

        None when nobody accepted the connection, so that nothing was asked.
        """
        self._serial += 1
        mark = f"task {self._serial} of {self.user_id}"
        if kind not in {Kind.CREATE, Kind.LIST}:
            mark = self._random.choice(list(self._ids))
        title = f"{kind.name} {self._serial}"
        step = self._send(kind, mark, title)
        until = time.monotonic() + PATIENCE_SECONDS
        while kind is Kind.CREATE and (step is None or step.status in {None, 503}):
            if self.ended.wait(PAUSE_AFTER_REJECTION_SECONDS) or time.monotonic() > until:
                break
            step = self._send(kind, mark, title)
        return step

    def _choose(self) -> Kind:
        if not self._ids:
            return Kind.CREATE
        kinds = [kind for kind in WEIGHTS if kind is not Kind.CREATE or len(self._ids) < MANY_TASKS]
        return self._random.choices(kinds, [WEIGHTS[kind] for kind in kinds])[0]

    def _send(self, kind: Kind, mark: str, title: str) -> Step | None:
        connection = self._connected()
        if connection is None:
            return None
        sent_at = time.monotonic()
        status, answer, retry_after = None, None, None
        try:
            method, path, body = self._request(kind, mark, title)
            connection.request(method, path, body, self._headers(kind, mark))
            response = connection.getresponse()
            content = response.read()
            status, answer, retry_after = response.status, json.loads(content), response.headers["Retry-After"]
        except (http.client.HTTPException, OSError):
            self.close()
        step = Step(kind, mark, title, sent_at, time.monotonic(), status, answer, retry_after)
        self.steps.append(step)
        self._remember(step)
        return step

    def _connected(self) -> http.client.HTTPConnection | None:
        """A connection that is open as far as one can see, or None."""
        if self._connection is not None and self._connection.sock is not None:
            readable, _, _ = select.select([self._connection.sock], [], [], 0)
            if readable:  # nothing was asked, so it can only be the end
                self.close()
        if self._connection is None or self._connection.sock is None:
            target = urlsplit(self._random.choice(self.urls))
            self._connection = http.client.HTTPConnection(target.netloc, timeout=PATIENCE_SECONDS)
            try:
                self._connection.connect()
            except OSError:
                self._connection = None
        return self._connection

    def _request(self, kind: Kind, mark: str, title: str) -> tuple[str, str, str | None]:
        base = f"/api/{self.user_id}/tasks"
        task = f"{base}/{self._ids.get(mark)}"
        return {
            Kind.CREATE: ("POST", base, json.dumps({"title": title, "description": mark})),
            Kind.READ: ("GET", task, None),
            Kind.LIST: ("GET", base, None),
            Kind.RENAME: ("PUT", task, json.dumps({"title": title})),
            Kind.TOGGLE: ("PATCH", f"{task}/complete", None),
            Kind.DELETE: ("DELETE", task, None),
        }[kind]

    def _headers(self, kind: Kind, mark: str) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        if kind is Kind.CREATE:
            headers["Idempotency-Key"] = mark.replace(" ", "-")
        return headers

    def _remember(self, step: Step) -> None:
        if step.kind is Kind.CREATE and step.status == 201:
            self._ids[step.mark] = step.answer["id"]
        elif step.kind is Kind.DELETE or step.status == 404:
            self._ids.pop(step.mark, None)


class Load:
    """Several clients at once. What they saw is judged when the block of ``under_load`` ends."""

    def __init__(self, urls: Sequence[str], seed: int, clients: int, pause_seconds: float = PAUSE_SECONDS) -> None:
        self.random = random.Random(seed)
        self._ended = threading.Event()
        self.clients = [
            Client(urls, f"{seed}/{number}", ended=self._ended, pause_seconds=pause_seconds)
            for number in range(clients)
        ]
        self._threads = [threading.Thread(target=client.work) for client in self.clients]

    def start(self) -> None:
        """Let them work, and wait until each has done so."""
        for thread in self._threads:
            thread.start()
        self.work_on()

    def stop(self) -> None:
        """Let them finish what they are at."""
        self._ended.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(2 * PATIENCE_SECONDS)

    def steps(self) -> list[Step]:
        """Every request so far."""
        return [step for client in self.clients for step in list(client.steps)]

    def rejections(self) -> list[Step]:
        """What was answered 503 so far."""
        return [step for step in self.steps() if step.rejected]

    def work_on(self, count: int = 3) -> None:
        """Wait until each client has had so many more successes."""
        begun_at = time.monotonic()
        for client in self.clients:
            wait_for(lambda client=client: count <= len(_successes(client.steps, begun_at)))  # type: ignore[misc]

    def wait_for_rejections(self, count: int = 1) -> None:
        """Wait until so many more requests were rejected."""
        before = len(self.rejections())
        wait_for(lambda: len(self.rejections()) >= before + count)

    def assert_back_since(self, moment: float) -> None:
        """Every client succeeds again, and always from then on (a second from now, or later)."""
        for client in self.clients:
            wait_for(lambda client=client: bool(_successes(client.steps, moment)))  # type: ignore[misc]
        wait_for(lambda: time.monotonic() > moment + BACK_SECONDS)
        back_at = time.monotonic()
        self.work_on()
        late = [step for step in self.rejections() if step.sent_at > back_at]
        assert not late, f"rejected {late[-1].sent_at - moment:.2f} s after the database was back: {late[-1]}"


@contextmanager
def under_load(
    *urls: str, database: str, max_seconds: float, clients: int = CLIENTS, may_cut: bool = False
) -> Iterator[Load]:
    """Clients at work for one block; afterwards, nothing they were told may be untrue.

    Args:
        urls: where the service listens.
        database: the PostgreSQL URL under which to look at what was written.
        max_seconds: how long any answer may take.
        may_cut: whether a connection may end before the answer.
    """
    load = Load(urls, SEED, clients)
    try:
        load.start()
        yield load
        load.stop()
        judge(load.clients, database, max_seconds=max_seconds, may_cut=may_cut)
    except (AssertionError, pytest.fail.Exception) as error:
        error.add_note(f"Seed {SEED}: FAULT_SEED={SEED} FAULT_SECONDS={SECONDS:g} .venv/bin/python -m pytest -n 0 …")
        raise
    finally:
        load.stop()


def judge(clients: Sequence[Client], database: str, *, max_seconds: float, may_cut: bool) -> None:
    """Hold every client's history against the rows that are there.

    Raises:
        AssertionError: a promise was broken; the message says which, and to whom.
    """
    found: list[str] = []
    for client in clients:
        found += complaints(client.user_id, client.steps, rows_of(client.user_id, database))
        found += [f"slow: {step}" for step in client.steps if step.answered_at - step.sent_at > max_seconds]
        found += [f"cut: {step}" for step in client.steps if step.status is None and not may_cut]
    assert not found, f"{len(found)} broken promises:\n" + "\n".join(found[:10])


def rows_of(user_id: str, database: str) -> list[Row]:
    """A user's rows, as a superuser finds them, in the form in which the API shows them."""
    query = "SELECT id, user_id, title, description, completed, created_at, updated_at FROM tasks WHERE user_id = %s"
    with psycopg.connect(database) as connection:
        rows = connection.execute(query, [user_id]).fetchall()
    return [_as_shown(row) for row in rows]


def wait_for(true: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for a condition.

    Raises:
        AssertionError: it does not come about.
    """
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def _successes(steps: Sequence[Step], since: float) -> list[Step]:
    late = takewhile(lambda step: step.sent_at >= since, reversed(steps))  # the last ones: they are polled for
    return [step for step in late if step.status == step.kind.value[1]]


def _as_shown(row: tuple[Any, ...]) -> Row:
    times = [moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for moment in row[5:]]
    names = ("id", "user_id", "title", "description", "completed", "created_at", "updated_at")
    return dict(zip(names, [*row[:5], *times], strict=True))
