"""A server of ours inside the process of a test, around any application."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from todo_api.server.connection import HttpProtocol
from todo_api.server.event_loop import EventLoop

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@asynccontextmanager
async def listening(app: Any, *, most_connections: int = 100) -> AsyncIterator[tuple[int, Connect]]:
    """The port of a server in this process, and what opens a connection to it."""
    async with listener(app, most_connections) as door:
        port = door.sockets[0].getsockname()[1]
        clients = []

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            clients.append(await asyncio.open_connection("127.0.0.1", port))
            return clients[-1]

        try:
            yield port, connect
        finally:
            for _, writer in clients:
                writer.transport.abort()


@asynccontextmanager
async def listener(app: Any, most_connections: int = 100) -> AsyncIterator[Any]:
    """A server in this process."""
    config = uvicorn.Config(app, ws="none", access_log=False)
    config.load()
    state = ServerState()

    def connection() -> HttpProtocol:
        return HttpProtocol(
            config=config, server_state=state, app_state={}, client_seconds=60, most_connections=most_connections
        )

    door = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    try:
        yield door
    finally:
        door.close()
        await turns(3)
        for open_connection in list(HttpProtocol.open_connections):
            open_connection.transport.abort()
        await turns(3)


async def turns(count: int) -> None:
    """Let the event loop turn."""
    for _ in range(count):
        await asyncio.sleep(0.001)


def on_our_loop(play: Callable[[], Awaitable[None]]) -> None:
    """Run a scene on the service's event loop."""
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(play())  # type: ignore[arg-type]
