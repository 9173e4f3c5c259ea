"""What clients send and do not take costs a worker little memory, and not for long.

A worker has to live in 256 MiB, the limit of our manifests. It is told so by `ulimit -m`, which
takes neither root nor control groups, and what it takes is measured from outside. HOSTILE_SECONDS
repeats each scenario for so long (`make soak`).
"""

import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg
import pytest

from tests.api.wire import connect
from tests.harness import SERVE, Server, User, running, token

MAX_BYTES = 256 * 2**20
SECONDS = float(os.environ.get("HOSTILE_SECONDS", "0"))
LIMITED = ("sh", "-c", f'ulimit -m {MAX_BYTES // 1024}; exec "$@"', "sh", *SERVE)
MIN_ROUNDS = 2
PATIENCE_SECONDS = 60.0
LARGE = "/docs/assets/swagger-ui-bundle.js"
"""A response of more than a megabyte that needs no token."""

TINY = b"GET / HTTP/1.1\r\nHost:x\r\n\r\n"


@pytest.fixture(scope="module")
def running_worker(worker_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Server]]:
    """Gives the service that runs, and starts one where none does."""
    started: list[Server] = []
    with ExitStack() as stack:

        def worker() -> Server:
            if not started or started[-1].process.poll() is not None:
                directory = tmp_path_factory.mktemp("memory")
                started.append(stack.enter_context(running(directory, LIMITED, DATABASE_URL=worker_database)))
                large = started[-1].client().get(LARGE).content
                assert len(large) > 1_000_000
            return started[-1]

        yield worker


@pytest.fixture
def worker(running_worker: Callable[[], Server]) -> Server:
    """A service with one worker process, which has served requests of all kinds once."""
    return running_worker()


@pytest.fixture
def rich(worker: Server, worker_database: str) -> User:
    """A user whose list is as large as one page can be."""
    user = worker.user()
    user.create()
    with psycopg.connect(worker_database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO tasks (user_id, title, description)"
            " SELECT %s, repeat('é', 255), repeat('😀', 1000) FROM generate_series(1, 999)",
            [user.id],
        )
    assert len(user.http.get(user.base).content) > 4_500_000
    return user


def status_bytes(server: Server, name: str) -> int:
    """A line of the process's status: VmRSS is what it takes, VmHWM the most that it took."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(rf"{name}:\s+(\d+) kB", lines)
    assert found is not None
    return int(found[1]) * 1024


def forget_peak(server: Server) -> None:
    """Begin VmHWM anew."""
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")


def wait_for_connections(server: Server, count: int) -> None:
    """Wait until no more client connections are open."""
    port = f":{int(server.url.rpartition(':')[2]):04X}"
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        if sum(line[1].endswith(port) and line[3] == "01" for line in lines) <= count:
            return
        assert time.monotonic() < until
        time.sleep(0.1)


def hold_memory(server: Server, attack: Callable[[ExitStack], None]) -> None:
    """Carry out an attack some times.

    A worker takes less than its limit, and gives back what it took. One that does not is stopped:
    what it has not given back would count against the next attack.
    """
    with ExitStack() as unless_it_holds:
        unless_it_holds.callback(server.stop)
        _hold_memory(server, attack)
        unless_it_holds.pop_all()


def _hold_memory(server: Server, attack: Callable[[ExitStack], None]) -> None:
    for client in server.clients:
        client.get("/health")
    before = status_bytes(server, "VmRSS")
    forget_peak(server)
    ends, rounds = time.monotonic() + SECONDS, 0
    while rounds < MIN_ROUNDS or time.monotonic() < ends:
        rounds += 1
        with ExitStack() as held:
            attack(held)
            assert server.client().get("/health").status_code == 200
    wait_for_connections(server, len(server.clients))
    assert server.process.poll() is None
    assert status_bytes(server, "VmHWM") < MAX_BYTES
    until = time.monotonic() + PATIENCE_SECONDS
    while status_bytes(server, "VmRSS") > 1.2 * before:
        assert time.monotonic() < until, (before, status_bytes(server, "VmRSS"))
        time.sleep(0.2)


def send(connection: socket.socket, data: bytes) -> None:
    """Send as much as the service takes within a moment."""
    connection.settimeout(1)
    with suppress(OSError):
        connection.sendall(data)


def lazy_connection(server: Server, held: ExitStack) -> socket.socket:
    """A connection of a client that takes little of what is sent to it."""
    connection = held.enter_context(socket.socket())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
    return connection


def test_clients_without_a_token_that_pipeline_and_read_nothing(worker: Server) -> None:
    large = f"GET {LARGE} HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    def attack(held: ExitStack) -> None:
        for _ in range(8):
            send(lazy_connection(worker, held), large * 5 + TINY * 9600)

    hold_memory(worker, attack)


def test_lists_that_nobody_reads(worker: Server, rich: User) -> None:
    request = f"GET {rich.base} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(rich.id)}\r\n\r\n".encode()

    def attack(held: ExitStack) -> None:
        for _ in range(40):
            send(lazy_connection(worker, held), request)
        time.sleep(3)

    hold_memory(worker, attack)


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 7500, id="tiny headers"),
        pytest.param(b"GET / HTTP/1.1\r\nA: " + b"a" * 32_000, id="long header"),
        pytest.param(b"POST / HTTP/1.1\r\nHost:x\r\nTransfer-Encoding:chunked\r\n\r\n1\r\na\r\n" * 50, id="bodies"),
        pytest.param(b"POST / HTTP/1.1\r\nHost:x\r\nContent-Length:99999999\r\n\r\n" + b"a" * 300_000, id="body"),
    ],
)
def test_requests_that_do_not_end(worker: Server, beginning: bytes) -> None:
    def attack(held: ExitStack) -> None:
        for _ in range(500):
            send(held.enter_context(connect(worker)), beginning)

    hold_memory(worker, attack)
