"""A database that is far away.

Relays a Unix socket and holds every byte back for some milliseconds.

Run as ``python -m bench.delay LISTEN TARGET MILLISECONDS``. Nothing is read twice or parsed: each
direction of a connection is a queue of what was read and when it is due, with one timer for its
head.
"""

import asyncio
import sys
import time
from collections import deque
from typing import cast

import uvloop
from typing_extensions import override

# The event loop's timers are exact to a millisecond; what is due so soon leaves with the head.
SLACK_SECONDS = 0.0005


class Direction:
    """Bytes on their way to one side."""

    __slots__ = ("_delay", "_ended", "_loop", "_queue", "_sink")

    def __init__(self, loop: asyncio.AbstractEventLoop, delay: float) -> None:
        self._loop = loop
        self._delay = delay
        self._queue: deque[tuple[float, bytes]] = deque()
        self._sink: asyncio.Transport | None = None
        self._ended = False

    def connect(self, sink: asyncio.Transport) -> None:
        """Know where the bytes go; those that came before have waited."""
        self._sink = sink
        if self._queue:
            self._release()

    def put(self, data: bytes) -> None:
        """Take bytes; none means that the sender has closed."""
        if self._ended:
            return
        self._queue.append((time.monotonic() + self._delay, data))
        if len(self._queue) == 1 and self._sink is not None:
            self._loop.call_later(self._delay, self._release)

    def end(self) -> None:
        """Drop what is on its way and what may come: nobody is there to take it."""
        self._ended = True
        self._queue.clear()

    def _release(self) -> None:
        assert self._sink is not None
        queue, horizon = self._queue, time.monotonic() + SLACK_SECONDS
        ready = []
        while queue and queue[0][0] <= horizon:
            ready.append(queue.popleft()[1])
        if ready:
            self._sink.write(b"".join(ready))
            if not ready[-1]:
                self._sink.close()
                return
        if queue:
            self._loop.call_later(max(0.0, queue[0][0] - time.monotonic()), self._release)


class Side(asyncio.Protocol):
    """One end of a connection.

    What it reads goes to ``outgoing``, what it writes comes from ``incoming``.
    """

    def __init__(self, outgoing: Direction, incoming: Direction) -> None:
        self._outgoing = outgoing
        self._incoming = incoming

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the way for what comes from the other side."""
        self._incoming.connect(cast("asyncio.Transport", transport))  # uvloop's inherits nothing

    @override
    def data_received(self, data: bytes) -> None:
        """Hold bytes back."""
        self._outgoing.put(data)

    @override
    def connection_lost(self, _: Exception | None) -> None:
        """Close the other side, in its turn."""
        self._incoming.end()
        self._outgoing.put(b"")


async def relay(listen: str, target: str, delay: float) -> None:
    """Serve until cancelled."""
    loop = asyncio.get_running_loop()
    dialling: set[asyncio.Task[object]] = set()

    def accept() -> Side:
        up, down = Direction(loop, delay), Direction(loop, delay)
        dial = loop.create_task(loop.create_unix_connection(lambda: Side(down, up), target))
        dialling.add(dial)
        dial.add_done_callback(dialling.discard)
        return Side(up, down)

    server = await loop.create_unix_server(accept, listen)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(relay(sys.argv[1], sys.argv[2], float(sys.argv[3]) / 1000))
