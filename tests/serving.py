"""A server of ours inside the process of a test, around any application."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Self

import uvicorn
from uvicorn.server import ServerState

from tests.harness import PATIENCE_SECONDS
from todo_api.server.connection import Connection
from todo_api.server.event_loop import EventLoop, Listener
from todo_api.server.listening import listen
from todo_api.server.worker import Limits, Worker

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

LIMITS = Limits(client_seconds=60, keep_alive_seconds=60, max_connections=100, max_buffered_bytes=2**26)

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
Play = Callable[[], Awaitable[None]]


def error_response(status: int, scope: dict[str, Any]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """What this server answers itself."""
    return [(b"x-path", scope.get("raw_path", b"none"))], b"error %d" % status


class Serving:
    """A server in this process.

    Args:
        app: the ASGI application.
        before_write: called before responses are written.
        limits: what differs from LIMITS.
    """

    def __init__(self, app: Any, before_write: Callable[[], None] = lambda: None, **limits: Any) -> None:
        self.worker = Worker(replace(LIMITS, **limits), error_response, before_write, lambda _: self.key_of)
        self.state = ServerState()
        self.app_state: dict[str, Any] = {}
        self._config = uvicorn.Config(app, ws="none", access_log=False)
        self._config.load()
        self._clients: list[asyncio.StreamWriter] = []
        self.listener: Listener
        self.port = 0

    @property
    def connections(self) -> set[Connection]:
        """The open connections."""
        return self.state.connections  # type: ignore[return-value] # uvicorn names its own protocols

    @property
    def connection(self) -> Connection:
        """The only open connection."""
        (connection,) = self.connections
        return connection

    def key_of(self, head: bytes) -> str | None:
        """Whose request it is: what its ``X-User`` says, the last one of its headers."""
        user = head.rpartition(b"X-User: ")[2].strip().decode()
        return None if user == "nobody" else user

    def protocol(self) -> Connection:
        """A connection's protocol, as uvicorn makes one."""
        return self.worker(self._config, self.state, self.app_state)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client's connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._clients.append(writer)
        return reader, writer

    async def until(self, true: Callable[[], Any]) -> None:
        """Wait for a condition."""
        async with asyncio.timeout(20):
            while not true():  # noqa: ASYNC110 - what is waited for happens between sockets
                await asyncio.sleep(0.001)

    async def __aenter__(self) -> Self:
        (sock,) = listen("127.0.0.1", 0)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, EventLoop)
        self.port = sock.getsockname()[1]
        self.listener = await loop.create_server(self.protocol, sock=sock)
        return self

    async def __aexit__(self, *_: object) -> None:
        for writer in self._clients:
            writer.transport.abort()
        self.listener.close()
        await iterations(3)
        for connection in list(self.connections):
            connection.transport.abort()
        await self.until(lambda: not self.connections)


async def iterations(count: int) -> None:
    """Let the event loop run for a while."""
    for _ in range(count):
        await asyncio.sleep(0.001)


def on_our_loop(play: Play) -> None:
    """Run a scene on the service's event loop; what never comes fails it."""
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(asyncio.wait_for(play(), PATIENCE_SECONDS))
