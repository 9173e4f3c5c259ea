"""How connections come in: uvloop, except that whoever waits at the door comes in at once."""

import logging
import os
import socket
from typing import Any, Final

import uvloop

ACCEPTED_AT_ONCE: Final = 64
ACCEPT_AGAIN_SECONDS: Final = 0.5

LAST_ACCEPTED: Final = 2048
"""As many as wait at the door at most when it closes: uvicorn's backlog."""

log = logging.getLogger(__name__)


class EventLoop(uvloop.Loop):
    """uvloop, except that whoever waits at the door comes in at once.

    libuv accepts one connection in a turn of the loop. Under load a turn takes long, and new clients
    would wait for minutes behind those who are already served.
    """

    async def create_server(  # type: ignore[override] # what uvicorn needs of a server
        self, protocol_factory: Any, *arguments: Any, **options: Any
    ) -> "Listening":
        """Listen; as asyncio's own, apart from how connections are accepted."""
        server = await super().create_server(protocol_factory, *arguments, **{**options, "start_serving": False})
        return Listening(self, server, protocol_factory, options.get("backlog", 100))


class Listening:
    """What listens: a server as far as uvicorn needs it."""

    def __init__(self, loop: EventLoop, server: Any, protocol_factory: Any, backlog: int) -> None:
        self._loop = loop
        self._server = server
        self._protocol_factory = protocol_factory
        self._open = True
        self._listeners = []
        self.sockets = server.sockets
        for bound in server.sockets:
            listener = socket.socket(fileno=os.dup(bound.fileno()))
            listener.setblocking(False)
            listener.listen(backlog)
            loop.add_reader(listener, self._accept, listener)
            self._listeners.append(listener)

    def close(self) -> None:
        """Stop listening. Open connections stay, and whoever waits at the door comes in: closing would cut them."""
        self._open = False
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            self._accept(listener, LAST_ACCEPTED)
            listener.close()
        self._listeners = []
        self._server.close()

    def _accept(self, listener: socket.socket, most: int = ACCEPTED_AT_ONCE) -> None:
        for _ in range(most):
            try:
                connection, _address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # most likely no file is left to open
                log.error("cannot accept connections: %s", error.strerror)  # noqa: TRY400 - no traceback
                self._loop.remove_reader(listener)
                self._loop.call_later(ACCEPT_AGAIN_SECONDS, self._listen_again, listener)
                return
            connection.setblocking(False)
            self._loop.create_task(self._serve(connection))

    async def _serve(self, connection: socket.socket) -> None:
        _, protocol = await self._loop.connect_accepted_socket(self._protocol_factory, connection)
        if not self._open:
            protocol.shutdown()  # as uvicorn told those that were here before

    def _listen_again(self, listener: socket.socket) -> None:
        if self._open:
            self._loop.add_reader(listener, self._accept, listener)

    async def wait_closed(self) -> None:
        """Wait until nothing listens."""
        await self._server.wait_closed()
