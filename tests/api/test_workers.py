"""Two worker processes behind one port answer as one service."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.api.wire import REQUESTS, counted
from tests.harness import SERVE, Server, User, running, token, wait_for


@pytest.fixture(scope="module")
def pair(worker_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of two workers."""
    directory = tmp_path_factory.mktemp("pair")
    with running(directory, [*SERVE, "--workers", "2"], DATABASE_URL=worker_database) as server:
        assert len(workers(server)) == 2
        yield server


def workers(server: Server) -> list[int]:
    """The ids of the worker processes, once both are there."""
    path = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")

    def started() -> list[int]:
        begun = {
            int(line["event"].partition("[")[2].rstrip("]"))
            for line in server.logged()
            if line["event"].startswith("Started server process")
        }
        found = [int(child) for child in path.read_text().split() if int(child) in begun]
        complete = len(server.logged(event="Application startup complete.")) == len(found) == 2
        return found if complete else []

    return wait_for(started, "the service has not two workers")


@contextmanager
def only(server: Server, worker: int) -> Iterator[User]:
    """While the other worker is held: a user on a new connection, whom this worker serves."""
    others = [process for process in workers(server) if process != worker]
    for process in others:
        os.kill(process, signal.SIGSTOP)
    try:
        with httpx.Client(base_url=server.url, timeout=20, headers=AUTHORIZED, verify=False) as client:
            yield User(NAME, client)
    finally:
        for process in others:
            os.kill(process, signal.SIGCONT)


NAME = f"pair{os.getpid()}"
AUTHORIZED = {"Authorization": f"Bearer {token(NAME)}"}
# Counted by tests of what no other test here does: a worker may not have told of that yet.
UNUSUAL = {"method": "DELETE", "route": "/api/{user_id}/tasks/{id}", "status": "404"}


def wait_until_counted(server: Server, worker: int, name: str, expected: float, **labels: str) -> None:
    """Wait until this worker knows of so many.

    Others tell theirs once a second, and not while they are held.
    """

    def known() -> bool:
        with only(server, worker) as user:
            return counted(user.http, name, **labels) == expected

    wait_for(known, f"not {expected} of {name}")


def test_metrics_count_what_all_workers_did(pair: Server) -> None:
    one, other = workers(pair)
    with only(pair, one) as user:
        for _ in range(3):
            assert user.http.delete(f"{user.base}/999999999").status_code == 404
        assert counted(user.http, REQUESTS, **UNUSUAL) == 3  # its own, at once
    with only(pair, other) as user:
        for _ in range(4):
            assert user.http.delete(f"{user.base}/999999999").status_code == 404

    for worker in (one, other):
        wait_until_counted(pair, worker, REQUESTS, 7, **UNUSUAL)


def test_metrics_count_what_happened_to_tasks_in_all_workers(pair: Server) -> None:
    one, other = workers(pair)
    for worker in (one, other, one):
        with only(pair, worker) as user:
            assert user.http.delete(user.path(user.create())).status_code == 200

    wait_until_counted(pair, one, "todo_task_events_total", 3, event="task.deleted")


def test_answers_are_byte_identical_whichever_worker_gives_them(pair: Server) -> None:
    one, other = workers(pair)
    with only(pair, one) as user:
        task = user.create('"é" \u2028 😀', description="\n")
        paths = (user.path(task), user.base, f"{user.base}?status=pending", "/openapi.json", "/docs")
        first = [user.http.get(path).content for path in paths]

    with only(pair, other) as user:
        assert [user.http.get(path).content for path in paths] == first


def test_writes_of_one_worker_are_read_by_the_other(pair: Server) -> None:
    one, other = workers(pair)
    with only(pair, one) as user:
        task = user.create()
    with only(pair, other) as user:
        updated = user.http.put(user.path(task), json={"title": "New"}).json()
    with only(pair, one) as user:
        assert user.http.get(user.path(task)).json() == updated
        assert updated["updated_at"] > task["updated_at"]


def test_repeated_requests_over_many_connections_are_byte_identical(pair: Server) -> None:
    with httpx.Client(base_url=pair.url, headers=AUTHORIZED) as client:
        created = client.post(f"/api/{NAME}/tasks", json={"title": "x"})
        path = created.url.join(created.headers["location"])
        answers = {client.get(path, headers={"Connection": "close"}).content for _ in range(40)}

    assert len(answers) == 1
