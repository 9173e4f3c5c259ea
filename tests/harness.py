"""What tests stand on: a real PostgreSQL, the service as a real process, users with real tokens."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import jwt
import psycopg

from tests.forked import Forked
from tests.postgres.server import running as running_postgres
from todo_api import migrations

POSTGRES = "TODO_TEST_POSTGRES"
"""The environment variable in which a run's processes find its PostgreSQL."""

Seen = TypeVar("Seen")
Process = subprocess.Popen[bytes] | Forked

PATIENCE_SECONDS = 120.0
"""How long something that is sure to happen may take: a busy machine is not a fault."""

SECRET = "3f9a1c5e7b2d4860f1e2d3c4b5a69788"  # pragma: allowlist secret
TEMPLATE = "todo_template"
COMMAND = Path(sys.executable).with_name("todo-api")
SERVE: Sequence[str | Path] = (COMMAND, "serve")


def claims(user_id: str, **more: Any) -> dict[str, Any]:
    """Claims as Better Auth writes them; ``None`` takes one out.

    They are valid for a day: a token may be made long before it is used, when modules are imported.
    """
    now = int(time.time())
    given = {"sub": user_id, "iat": now, "exp": now + 86_400, **more}
    return {name: value for name, value in given.items() if value is not None}


def token(user_id: str, *, secret: str = SECRET, **more: Any) -> str:
    """A token signed by PyJWT, not by the code under test."""
    return jwt.encode(claims(user_id, **more), secret, algorithm="HS256")


@dataclass
class User:
    """A signed-in user and their HTTP client."""

    id: str
    http: httpx.Client
    base: str = ""

    def __post_init__(self) -> None:
        """Know where the user's tasks live."""
        self.base = f"/api/{self.id}/tasks"

    def create(self, title: str = "Buy milk", **fields: Any) -> dict[str, Any]:
        """Create a task; the task as answered."""
        response = self.http.post(self.base, json={"title": title, **fields})
        assert response.status_code == 201, response.text
        task: dict[str, Any] = response.json()
        return task

    def path(self, task: Mapping[str, Any]) -> str:
        """The path of one of the user's tasks."""
        return f"{self.base}/{task['id']}"


@dataclass
class Server:
    """The service, running as a process of its own."""

    url: str
    process: Process
    log_path: Path
    clients: list[httpx.Client] = field(default_factory=list)

    def client(self, **options: Any) -> httpx.Client:
        """A client that is closed with the server."""
        client = httpx.Client(base_url=self.url, timeout=20, verify=False, **options)  # plain HTTP: no TLS to set up
        self.clients.append(client)
        return client

    def user(self, user_id: str | None = None, **more: Any) -> User:
        """A user nobody else in the test run is."""
        name = user_id or f"user{secrets.token_hex(14)}"
        return User(name, self.client(headers={"Authorization": f"Bearer {token(name, **more)}"}))

    def log(self, **wanted: Any) -> list[dict[str, Any]]:
        """The log lines that have these fields; waits for the first.

        Raises:
            TimeoutError: there is none.
        """
        return wait_for(lambda: self.logged(**wanted), f"no line of the log has {wanted}")

    def logged(self, **wanted: Any) -> list[dict[str, Any]]:
        """The log lines that have these fields now."""
        whole, _, _ = self.log_path.read_text().rpartition("\n")  # the last line may be half written
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if wanted.items() <= line.items()]

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit status."""
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.process.send_signal(by)
        return self.process.wait(PATIENCE_SECONDS)


def free_port() -> int:
    """A port that nothing listens on, of those that no system gives to a client by itself."""
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def environment(**settings: str) -> dict[str, str]:
    """The process's environment without this machine's settings, and with these."""
    names = {
        "DATABASE_URL",
        "BETTER_AUTH_SECRET",
        "BETTER_AUTH_URL",
        "BETTER_AUTH_JWKS_URL",
        "CORS_ORIGINS",
        "LOG_LEVEL",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "HOST",
        "PORT",
        "WEB_CONCURRENCY",
    }
    kept = {name: value for name, value in os.environ.items() if name not in names}
    return {**kept, **settings}


@contextmanager
def serving(directory: Path, **settings: str) -> Iterator[Server]:
    """Run ``todo-api serve`` in ``directory`` until the block ends.

    SECRET is its secret unless given. It is a ``Forked`` process: what counts on all that happens
    from the start of Python on, and workers, which are processes of their own, need ``running``.
    """
    with _answering(directory, Forked, SERVE, settings) as server:
        yield server


@contextmanager
def running(directory: Path, command: Sequence[str | Path], **settings: str) -> Iterator[Server]:
    """Run a server, which is told its port by ``--port``, in ``directory`` until the block ends."""
    with _answering(directory, subprocess.Popen, command, settings) as server:
        yield server


@contextmanager
def _answering(
    directory: Path, start: Callable[..., Process], command: Sequence[str | Path], settings: Mapping[str, str]
) -> Iterator[Server]:
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    log_path = directory / "log"
    with log_path.open("wb") as log, (directory / "errors").open("wb") as errors:
        process = start(
            [*command, "--port", str(port)],
            cwd=directory,
            env=environment(**{"BETTER_AUTH_SECRET": SECRET, **settings}),
            stdout=log,
            stderr=errors,
        )
    server = Server(f"http://127.0.0.1:{port}", process, log_path)
    try:
        wait_until_alive(server)
        yield server
    finally:
        server.stop()


def wait_for(look: Callable[[], Seen], otherwise: str) -> Seen:
    """Look until there is something to see, and return it.

    Raises:
        TimeoutError: it took PATIENCE_SECONDS.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    while not (seen := look()):
        if time.monotonic() > until:
            raise TimeoutError(otherwise)
        time.sleep(0.02)
    return seen


def wait_until_alive(server: Server) -> None:
    """Wait for the first answer of /health."""
    with httpx.Client(timeout=5, verify=False) as client:  # each one with TLS to set up costs as much as 20 requests

        def alive() -> bool:
            assert server.process.poll() is None, server.log_path.with_name("errors").read_text()
            try:
                return client.get(f"{server.url}/health").status_code == 200
            except httpx.TransportError:
                return False

        wait_for(alive, "the service does not answer")


@contextmanager
def postgres_with_template() -> Iterator[str]:
    """A PostgreSQL with a migrated template database; the URL of its maintenance database."""
    with running_postgres() as cluster:
        with psycopg.connect(cluster.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET max_connections = 200")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
        migrations.upgrade(database_url(cluster.url, TEMPLATE))
        yield cluster.url


def database_url(server_url: str, name: str) -> str:
    """The URL of another database of the same server."""
    head, _, query = server_url.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}?{query}"


@contextmanager
def cloned_database(server_url: str, *, template: str = TEMPLATE) -> Iterator[str]:
    """A database of one's own, a copy of the migrated template; dropped at the end."""
    name = f"todo_{secrets.token_hex(8)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield database_url(server_url, name)
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
