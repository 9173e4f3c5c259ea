"""uvloop, except that pending connections are accepted at once."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, Final

import uvloop
from typing_extensions import override

from todo_api.server.connection import Connection
from todo_api.server.listening import BACKLOG

MAX_ACCEPTED_AT_ONCE: Final = 64
ACCEPT_AGAIN_SECONDS: Final = 0.5

log = logging.getLogger(__name__)


class EventLoop(uvloop.Loop):
    """uvloop, except that pending connections are accepted at once.

    libuv accepts one connection in an event-loop iteration (its PR 3696). Under load an iteration
    takes long, and new clients would wait for seconds behind those that are being served.
    """

    @override
    async def create_server(  # type: ignore[override] # as uvicorn calls it, with a socket that listens
        self, protocol_factory: Callable[[], Connection], *, sock: socket.socket, **_: Any
    ) -> "Listener":
        """Accept connections from a socket that listens."""
        return Listener(self, sock, protocol_factory)


class Listener:
    """What accepts connections: as much of an asyncio.Server as uvicorn needs."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, factory: Callable[[], Connection]) -> None:
        self._loop = loop
        self._socket = sock
        self._factory = factory
        self._is_open = True
        sock.setblocking(False)
        loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Stop listening.

        Open connections stay, and pending ones are accepted: closing would reset them.
        """
        if not self._is_open:
            return
        self._is_open = False
        self._loop.remove_reader(self._socket)
        self._accept(BACKLOG)
        self._socket.close()

    def _accept(self, count: int = MAX_ACCEPTED_AT_ONCE) -> None:
        for _ in range(count):
            try:
                connection, _address = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # most likely no file is left to open
                log.error("cannot accept connections: %s", error.strerror)  # noqa: TRY400 - no traceback
                self._loop.remove_reader(self._socket)
                self._loop.call_later(ACCEPT_AGAIN_SECONDS, self._accept_again)
                return
            connection.setblocking(False)
            self._loop.create_task(self._serve(connection))

    async def _serve(self, connection: socket.socket) -> None:
        _, protocol = await self._loop.connect_accepted_socket(self._factory, connection)
        if not self._is_open:
            protocol.shutdown()  # as uvicorn told those that were open before

    def _accept_again(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._socket, self._accept)

    async def wait_closed(self) -> None:
        """Return: nothing is left to wait for."""
