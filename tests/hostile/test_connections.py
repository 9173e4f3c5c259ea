"""Connections that are held open, cut, crowded or never read.

Others are served, and nothing is left behind.
"""

import json
import resource
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.api.wire import REQUESTS, connect, counted, exchange
from tests.harness import COMMAND, Server, User, running, serving, token

CLIENT_SECONDS = 1.0
PATIENCE_SECONDS = 15.0
MANY_FILES = 4096


@pytest.fixture(scope="module")
def strict(worker_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that gives clients one second, and has one connection to its database."""
    settings = {"CLIENT_SECONDS": str(CLIENT_SECONDS), "DATABASE_CONNECTIONS": "1"}
    with serving(tmp_path_factory.mktemp("strict"), DATABASE_URL=worker_database, **settings) as server:
        yield server


@pytest.fixture
def user(strict: Server) -> User:
    """A user who has a task."""
    user = strict.user()
    user.create()
    return user


@pytest.fixture(scope="module")
def rich(strict: Server) -> User:
    """A user whose list is larger than any socket's buffer."""
    user = strict.user()
    for _ in range(100):
        user.create(description="x" * 900)
    return user


def head(user: User, rest: str = "") -> bytes:
    """A request to create a task, up to its body."""
    lines = f"POST {user.base} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(user.id)}\r\n{rest}"
    return f"{lines}Content-Type: application/json\r\nContent-Length: 13\r\n\r\n".encode()


def open_sockets(server: Server) -> int:
    """How many sockets the service has open."""
    count = 0
    for file in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it has just been closed
            count += str(file.readlink()).startswith("socket:")
    return count


def wait_for_sockets(server: Server, count: int) -> None:
    """Wait until no more than so many sockets are open."""
    until = time.monotonic() + PATIENCE_SECONDS
    while open_sockets(server) > count:
        assert time.monotonic() < until, f"{open_sockets(server)} sockets are open instead of {count}"
        time.sleep(0.05)


UNFINISHED: dict[str, Callable[[User], bytes]] = {
    "nothing": lambda user: b"",
    "part of the request line": lambda user: b"GET /hea",
    "part of a header": lambda user: b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: 1",
    "no end of the headers": lambda user: b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n",
    "no body": head,
    "part of a body": lambda user: head(user) + b'{"title',
    "part of a chunk": lambda user: (
        head(user).replace(b"Content-Length: 13", b"Transfer-Encoding: chunked") + b"f\r\n{"
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _many_files() -> Iterator[None]:
    """Thousands of connections at once are more files than a login's soft limit often allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < MANY_FILES:
        pytest.skip(f"needs {MANY_FILES:,} open files, and this user may open {hard:,}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, MANY_FILES), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestUnfinished:
    def test_two_thousand_disturb_nobody_and_are_closed(self, strict: Server, user: User) -> None:
        assert user.http.get(user.base).status_code == 200
        before = open_sockets(strict)
        slow = strict.user()
        beginnings = [beginning(slow) for beginning in UNFINISHED.values()]
        with ExitStack() as held:
            for number in range(2000):
                connection = held.enter_context(connect(strict))
                connection.sendall(beginnings[number % len(beginnings)])
                if number % 100 == 0:
                    answer = user.http.get(user.base)
                    assert answer.status_code == 200, answer.text
            wait_for_sockets(strict, before)

        assert slow.http.get(slow.base).json() == []

    @pytest.mark.parametrize("what", UNFINISHED)
    def test_what_has_begun_is_answered_408(self, strict: Server, user: User, what: str) -> None:
        with connect(strict) as connection:
            connection.sendall(UNFINISHED[what](user))
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))

        if what == "nothing":
            assert answer == b""
        else:
            lines, _, body = answer.partition(b"\r\n\r\n")
            assert lines.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            assert json.loads(body)["code"] == "request_timeout"
            assert strict.log(event="request", request_id=json.loads(body)["request_id"])

    def test_one_byte_now_and_then_is_not_enough(self, strict: Server) -> None:
        with connect(strict) as connection:
            began = time.monotonic()
            with suppress(OSError):
                for byte in b"GET /health HTTP/1.1\r\nX-A: " + b"a" * 1000:
                    connection.sendall(bytes([byte]))
                    time.sleep(0.1)

            assert time.monotonic() - began < PATIENCE_SECONDS

    def test_connection_between_two_requests_may_stay(self, strict: Server, user: User) -> None:
        with connect(strict) as connection:
            for _ in range(2):
                connection.sendall(head(user) + b'{"title":"a"}')
                assert connection.recv(10_000).startswith(b"HTTP/1.1 201 Created\r\n")
                time.sleep(2 * CLIENT_SECONDS)

    def test_time_in_which_the_service_did_not_run_does_not_count(self, strict: Server) -> None:
        with connect(strict) as connection:
            strict.process.send_signal(signal.SIGSTOP)
            try:
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                time.sleep(3 * CLIENT_SECONDS)
            finally:
                strict.process.send_signal(signal.SIGCONT)

            assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")

    def test_rejected_client_who_goes_on_is_cut_off(self, strict: Server) -> None:
        before = open_sockets(strict)
        with connect(strict) as connection:
            connection.sendall(b"no request\r\n\r\n")
            assert connection.recv(10_000).startswith(b"HTTP/1.1 400 Bad Request\r\n")
            began = time.monotonic()
            with suppress(OSError):
                while time.monotonic() < began + PATIENCE_SECONDS:
                    connection.sendall(b"more")
                    time.sleep(0.05)

            assert time.monotonic() < began + PATIENCE_SECONDS
        wait_for_sockets(strict, before)


class TestUnread:
    def test_answers_that_nobody_takes_are_given_up(self, strict: Server, rich: User) -> None:
        rich.http.get("/health")
        before = open_sockets(strict)
        request = f"GET {rich.base} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(rich.id)}\r\n\r\n".encode()
        with ExitStack() as held:
            for _ in range(20):
                connection = held.enter_context(socket.socket())
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.connect(("127.0.0.1", int(strict.url.rpartition(":")[2])))
                connection.sendall(request * 200)
            while open_sockets(strict) < before + 20:
                time.sleep(0.01)
            wait_for_sockets(strict, before)

        assert rich.http.get(rich.base).status_code == 200

    def test_slow_but_steady_reader_gets_everything(self, strict: Server, rich: User) -> None:
        length = len(rich.http.get(rich.base).content)
        request = f"GET {rich.base} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(rich.id)}\r\n"
        received = 0
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", int(strict.url.rpartition(":")[2])))
            connection.sendall(f"{request}Connection: close\r\n\r\n".encode())
            while part := connection.recv(4096):
                received += len(part)
                time.sleep(0.05)

        assert received > length


class TestDisconnects:
    @pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
    def test_at_every_byte_leave_nothing_behind(self, strict: Server, user: User, reset: bool) -> None:
        whole = head(user) + b'{"title":"a"}'
        assert user.http.get(user.base).status_code == 200
        before = open_sockets(strict)
        for length in range(0, len(whole) + 1, 3 if len(whole) % 3 else 1):
            with connect(strict) as connection:
                connection.sendall(whole[:length])
                if reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_for_sockets(strict, before)

        assert len(user.http.get(user.base).json()) <= 2  # only the whole request may have done something
        assert strict.logged(event="request.failed") == []

    def test_before_the_answer_leave_nothing_pending(self, strict: Server, user: User) -> None:
        metrics = strict.client()
        done = counted(metrics, REQUESTS, method="POST")
        before = open_sockets(strict)
        for _ in range(200):
            with connect(strict) as connection:
                connection.sendall(head(user) + b'{"title":"a"}')
        until = time.monotonic() + PATIENCE_SECONDS
        while counted(metrics, REQUESTS, method="POST") < done + 200:
            assert time.monotonic() < until
        wait_for_sockets(strict, before)

        assert user.http.get(user.base).status_code == 200


class TestCrowd:
    @pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "part of a head"])
    def test_idle_connections_keep_nobody_out(self, worker_database: str, tmp_path: Path, beginning: bytes) -> None:
        """A process that may open 300 files has room for 44 connections of clients."""
        command: list[str | Path] = ["sh", "-c", 'ulimit -n 300; exec "$0" "$@"', COMMAND, "serve"]
        with running(tmp_path, command, DATABASE_URL=worker_database) as server, ExitStack() as held:
            for _ in range(10):
                for _ in range(100):
                    connection = held.enter_context(connect(server))
                    with suppress(OSError):
                        connection.sendall(beginning)
                user = server.user()
                user.create()
                assert user.http.get(user.base).status_code == 200
            assert open_sockets(server) < 300

    def test_without_a_file_left_those_inside_are_served_and_others_once_there_is_room(
        self, worker_database: str, tmp_path: Path
    ) -> None:
        most = 300
        with serving(tmp_path, DATABASE_URL=worker_database) as server:
            resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (most, most))
            user = server.user()
            user.create()
            with ExitStack() as held:
                for _ in range(most):
                    held.enter_context(connect(server))
                assert server.log(event="cannot accept connections: Too many open files")
                assert user.http.get(user.base).status_code == 200
            assert exchange(server, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").status == 200
