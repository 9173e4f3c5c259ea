"""What all connections of one worker process share.

Limits, the memory they may use, what is to be written.

uvicorn calls the worker for every new connection, and ``close_overdue`` once a second.
"""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from heapq import nsmallest
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from todo_api.server.connection import Connection
from todo_api.server.memory import give_back_memory, resident_bytes
from todo_api.server.parking import KeyOf, Parking
from todo_api.server.response_cycle import Headers, ResponseCycle

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

CHECK_SECONDS: Final = 1.0

GIVE_BACK_SECONDS: Final = 10.0
GIVE_BACK_FACTOR: Final = 1.15
"""How often memory is given back at most (it takes milliseconds), and beyond which growth of the
process."""

ErrorResponse = Callable[[int, dict[str, Any]], tuple[Headers, bytes]]
"""Answers what the application does not: status and ASGI scope in (empty where no request could be
read), headers and body out. Where there is no scope nobody else logs the request. It must not
raise."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What clients may take up.

    Args:
        client_seconds: how long a client may take to send a request, and to begin to take a
            response.
        keep_alive_seconds: how long a connection may stay open between two requests.
        max_connections: how many may be open in a process.
        max_buffered_bytes: what may wait in a process to be parsed, or to be taken by clients.
    """

    client_seconds: float
    keep_alive_seconds: float
    max_connections: int
    max_buffered_bytes: int


class Worker:
    """Makes connections, and holds all of them to the limits.

    Args:
        limits: what clients may take up.
        error_response: makes the responses that are not the application's.
        before_write: called before the responses of an event-loop iteration are written.
        key_of: makes, for an application, what tells which requests wait for each other.
    """

    parking: Parking

    def __init__(
        self,
        limits: Limits,
        error_response: ErrorResponse,
        before_write: Callable[[], None],
        key_of: Callable[[Any], KeyOf],
    ) -> None:
        self.limits = limits
        self._key_of = key_of
        self.error_response = error_response
        self._before_write = before_write
        self._responses: list[ResponseCycle] = []
        self._connections: set[Connection] = set()  # uvicorn's, once there is one
        self._is_serving = False
        self._buffered_bytes = 0  # at least what is buffered
        self._checked_at = 0.0
        self._given_back_at = 0.0
        self._least_bytes = 0  # the least that the process has taken after memory was given back

    def __call__(
        self, config: "Config", server_state: "ServerState", app_state: dict[str, Any], _loop: Any = None
    ) -> Connection:
        """A connection, for uvicorn."""
        if not self._is_serving:
            self._is_serving = True
            self.parking = Parking(self._key_of(config.loaded_app))
            self._connections = server_state.connections  # type: ignore[assignment] # uvicorn names its own protocols
        return Connection(self, config.loaded_app, server_state, app_state)

    def has_room(self) -> bool:
        """Whether another connection may be opened; the longest idle ones are closed for it.

        So clients that open connections and ask for nothing do not keep others out. A sixteenth of
        the limit is made free, so that not each new connection has all others looked at.
        """
        limit = self.limits.max_connections
        if len(self._connections) < limit:
            return True
        idle = [(since, one) for one in self._connections if (since := one.idle_since) is not None]
        for _, connection in nsmallest(max(1, limit // 16), idle, key=itemgetter(0)):
            self._connections.discard(connection)
            connection.transport.abort()
        return bool(idle)

    def write_soon(self, cycle: ResponseCycle) -> None:
        """Write a response when the event-loop iteration is over, together with all others."""
        self._responses.append(cycle)
        if len(self._responses) == 1:
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        responses, self._responses = self._responses, []
        self._before_write()
        for cycle in responses:
            cycle.write()

    def count_buffered(self, size: int) -> None:
        """Account for bytes that were written or put aside.

        Disconnect the slowest clients when it is too much.

        Whether a client has taken them is not tracked: only when the sum is beyond the limit is it
        taken anew.
        """
        self._buffered_bytes += size
        if self._buffered_bytes > self.limits.max_buffered_bytes:
            self._disconnect_the_slowest()

    def _disconnect_the_slowest(self) -> None:
        """Abort the connections with the largest buffers, those behind at the last check first.

        A quarter of the limit is made free, so that this does not happen with every response again.
        """
        buffered = {connection: connection.buffered_bytes for connection in self._connections}
        self._buffered_bytes = sum(buffered.values())
        if self._buffered_bytes <= self.limits.max_buffered_bytes:
            return
        slowest_last = sorted(buffered, key=lambda one: (one.is_behind, buffered[one]))
        while self._buffered_bytes > 0.75 * self.limits.max_buffered_bytes:
            connection = slowest_last.pop()
            self._connections.discard(connection)
            connection.transport.abort()
            self._buffered_bytes -= buffered[connection]

    async def close_overdue(self) -> None:
        """Disconnect every client that takes too long; give back what large responses took."""
        now = asyncio.get_running_loop().time()
        lost = now - self._checked_at - CHECK_SECONDS
        self._checked_at = now
        for connection in list(self._connections):
            if lost > CHECK_SECONDS:
                connection.add_lost_time(lost)
            connection.close_if_overdue(now)
        if now > self._given_back_at + GIVE_BACK_SECONDS and resident_bytes() > GIVE_BACK_FACTOR * self._least_bytes:
            give_back_memory()
            self._given_back_at = now
            self._least_bytes = min(resident_bytes(), self._least_bytes or sys.maxsize)
