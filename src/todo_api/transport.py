"""Between the event loop and a connection: uvloop's loop and transport, each with one thing changed."""

import asyncio
import logging
import os
import socket
from typing import Any, Final

import uvloop

ACCEPTED_AT_ONCE: Final = 64
ACCEPT_AGAIN_SECONDS: Final = 0.5

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
        backlog = options.get("backlog", 100)
        server = await super().create_server(protocol_factory, *arguments, **{**options, "start_serving": False})
        listeners = []
        for bound in server.sockets:  # type: ignore[attr-defined] # asyncio's Server has them
            listener = socket.socket(fileno=os.dup(bound.fileno()))
            listener.setblocking(False)
            listener.listen(backlog)
            self.add_reader(listener, self._accept, listener, protocol_factory)
            listeners.append(listener)
        return Listening(self, server, listeners)

    def _accept(self, listener: socket.socket, protocol_factory: Any) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, _address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # most likely no file is left to open
                log.error("cannot accept connections: %s", error.strerror)  # noqa: TRY400 - no traceback
                self.remove_reader(listener)
                self.call_later(ACCEPT_AGAIN_SECONDS, self._listen_again, listener, protocol_factory)
                return
            connection.setblocking(False)
            self.create_task(self.connect_accepted_socket(protocol_factory, connection))

    def _listen_again(self, listener: socket.socket, protocol_factory: Any) -> None:
        if listener.fileno() >= 0:
            self.add_reader(listener, self._accept, listener, protocol_factory)


class Listening:
    """What listens: a server as far as uvicorn needs it."""

    def __init__(self, loop: EventLoop, server: Any, listeners: list[socket.socket]) -> None:
        self._loop = loop
        self._server = server
        self._listeners = listeners
        self.sockets = server.sockets

    def close(self) -> None:
        """Stop listening; open connections stay."""
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
        self._listeners = []
        self._server.close()

    async def wait_closed(self) -> None:
        """Wait until nothing listens."""
        await self._server.wait_closed()


class OnePiece:
    """A transport that hands what one turn of the event loop writes to the socket in one piece.

    uvicorn writes the head and the body of an answer by themselves; each write is a system call,
    and often a packet.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._pieces: list[bytes] = []
        self._call_soon = asyncio.get_running_loop().call_soon

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, piece: bytes) -> None:
        """Keep a piece until the turn is over."""
        self._pieces.append(piece)
        if len(self._pieces) == 1:
            self._call_soon(self._flush)

    def write_eof(self) -> None:
        """Write what is kept, then nothing more."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Write what is kept, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            self._transport.write(b"".join(pieces))
