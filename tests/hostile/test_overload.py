"""More requests than can be served.

Some are served, the others are answered 503, and no user is shut out by another.
"""

import json
import selectors
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.api.wire import connect
from tests.harness import Server, User, serving, token, wait_for
from tests.proxies import proxying, url_through
from todo_api.middleware.fair_queue import OVERLOADED

PLACES = 8
FLOOD = 200
"""Connections of one user, each of which sends its next request as soon as it is answered."""


@pytest.fixture(scope="module")
def busy(worker_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with few places, whose database is far away."""
    with proxying(worker_database) as proxy:
        proxy.delay_seconds = 0.01
        settings = {"DATABASE_URL": url_through(proxy.port, worker_database), "REQUEST_LIMIT": str(PLACES)}
        with serving(tmp_path_factory.mktemp("busy"), **settings) as server:
            yield server


@contextmanager
def flooded(server: Server, user: User) -> Iterator[Counter[int]]:
    """One user's flood for one block; how often which status was answered."""
    request = f"GET {user.base} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(user.id)}\r\n\r\n".encode()
    statuses: Counter[int] = Counter()
    ended = Event()
    with ExitStack() as held, selectors.DefaultSelector() as selector:
        for _ in range(FLOOD):
            connection = held.enter_context(connect(server))
            selector.register(connection, selectors.EVENT_READ)
            connection.sendall(request)

        def ask_again() -> None:
            while not ended.is_set():
                for key, _ in selector.select(0.1):
                    assert isinstance(key.fileobj, socket.socket)
                    statuses[int(key.fileobj.recv(65_536)[9:12])] += 1
                    key.fileobj.sendall(request)

        thread = Thread(target=ask_again)
        thread.start()
        try:
            yield statuses
        finally:
            ended.set()
            thread.join()


def test_flood_of_one_user_is_served_in_part_and_delays_nobody_else(busy: Server) -> None:
    flooder, other = busy.user(), busy.user()
    other.create()
    with flooded(busy, flooder) as statuses:
        while not statuses[503]:
            time.sleep(0.05)
        for _ in range(20):
            assert other.http.get(other.base).status_code == 200
        assert busy.client().get("/health").status_code == 200
        rejected = [
            answer for answer in (flooder.http.get(flooder.base) for _ in range(30)) if answer.status_code != 200
        ]

    assert set(statuses) == {200, 503}
    assert statuses[200] > statuses[503]
    for answer in rejected:
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.json()["detail"] == OVERLOADED
        assert answer.headers["retry-after"] == "1"


def test_after_the_flood_everything_is_as_before(busy: Server) -> None:
    flooder = busy.user()
    with flooded(busy, flooder):
        time.sleep(0.5)
    time.sleep(1.5)

    for _ in range(50):
        assert flooder.http.get(flooder.base).status_code == 200


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("/metrics", 50),
        ("/openapi.json", 50),
        ("/docs/assets/swagger-ui-bundle.js", 50),
        ("/api/tasks", 300),
        ("/favicon.ico", 300),
    ],
)
def test_requests_without_a_token_leave_room_for_others(
    worker_database: str, tmp_path: Path, path: str, count: int
) -> None:
    """The user's request is answered without the database, so that nothing else decides when."""
    name = f"{path.rpartition('/')[2]}-"
    with serving(tmp_path, DATABASE_URL=worker_database) as server, ExitStack() as held:
        user = server.user()
        assert user.http.get(user.base).status_code == 200
        connections = [held.enter_context(connect(server)) for _ in range(count)]
        last = held.enter_context(connect(server))
        assert server.client().get("/health").status_code == 200  # all of them are accepted
        server.process.send_signal(signal.SIGSTOP)
        try:
            for number, connection in enumerate(connections):
                lines = f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Request-ID: {name}{number}\r\n\r\n"
                connection.sendall(lines.encode())
            lines = f"GET {user.base}?limit=0 HTTP/1.1\r\nHost: x\r\nX-Request-ID: {name}user\r\n"
            last.sendall(f"{lines}Authorization: Bearer {token(user.id)}\r\n\r\n".encode())
        finally:
            server.process.send_signal(signal.SIGCONT)
        wait_for(lambda: len(answered(server, name)) > count, "not every request was answered")

        assert answered(server, name).index(f"{name}user") < count / 2


def answered(server: Server, name: str) -> list[str]:
    """The ids of answered requests that begin so, in the order of their answers."""
    lines = server.logged(event="request")
    return [line["request_id"] for line in lines if line["request_id"].startswith(name)]


def test_without_a_limit_nobody_is_rejected(worker_database: str, tmp_path: Path) -> None:
    with serving(tmp_path, DATABASE_URL=worker_database, REQUEST_LIMIT="0") as server:
        with flooded(server, server.user()) as statuses:
            while statuses[200] < 5 * FLOOD:
                time.sleep(0.05)

        assert set(statuses) == {200}


def test_writes_of_a_flood_are_done_once_or_rejected(busy: Server) -> None:
    user = busy.user()
    body = json.dumps({"title": "flood"})
    lines = f"POST {user.base} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(user.id)}\r\nConnection: close\r\n"
    request = f"{lines}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    with ExitStack() as held:
        connections = [held.enter_context(connect(busy)) for _ in range(FLOOD)]
        for connection in connections:
            connection.sendall(request)
        statuses = Counter(connection.recv(65_536)[9:12] for connection in connections)
    time.sleep(1)

    assert statuses[b"201"] + statuses[b"503"] == FLOOD
    assert len(user.http.get(user.base).json()) == statuses[b"201"]
