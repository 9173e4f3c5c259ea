"""One client's connection: HTTP/1.1 (RFC 9112), with the limits that a public port needs.

A connection passes through phases; ``close_if_overdue`` ends those that stay in one too long::

    WAITING ─ first byte ─> HEAD ─ empty line ─> BODY ─ last byte ─> ANSWERING ─ response ─> WAITING

Requests are parsed one at a time. What a client sends ahead stays as it came, unparsed, until the
request before it is answered, and so does a request that is PARKED because too many came at once;
meanwhile nothing more is read from its socket.
"""

import asyncio
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from todo_api.server.lingering import Lingering
from todo_api.server.request_parser import MAX_HEAD_BYTES, Rejected, RequestParser
from todo_api.server.response_cycle import ResponseCycle

if TYPE_CHECKING:
    from uvicorn.server import ServerState

    from todo_api.server.worker import Worker

DRAIN_SECONDS: Final = 0.5
"""How long an idle connection stays open once the server stops: a request may be on its way."""

MIN_BYTES_PER_SECOND: Final = 16 * 1024
"""A client that takes a response more slowly than this is disconnected."""

MAX_BODY_AHEAD_BYTES: Final = 64 * 1024
"""How much of a body may wait for the application before nothing more is read."""

_WAITING, _HEAD, _PARKED, _BODY, _ANSWERING, _CLOSING = range(6)


class Connection(asyncio.Protocol):
    """A connection, from its first byte to its last.

    Args:
        worker: what all connections of the process share.
        app: the ASGI application.
        server_state: uvicorn's record of connections, tasks and default headers.
        app_state: what the application's lifespan hands to every request.
    """

    transport: asyncio.Transport

    def __init__(self, worker: "Worker", app: Any, server_state: "ServerState", app_state: dict[str, Any]) -> None:
        self.worker = worker
        self.server_state = server_state
        self.last = False  # whether the present response, or the next one, is the last
        self.is_behind = False  # whether the client had not taken a response at the last check
        self._app = app
        self._app_state = app_state
        self._loop = asyncio.get_running_loop()
        self._parser = RequestParser()
        self._cycle: ResponseCycle | None = None
        self._phase, self._since = _WAITING, self._loop.time()
        self._parked_seconds: float | None = None  # of the next request
        self._has_served = self._reading_is_paused = False
        self._writable: asyncio.Event | None = None  # exists while the client has enough to take
        self._take_until = 0.0
        self._lingering: Lingering | None = None

    @override
    def connection_made(self, transport: Any) -> None:  # uvloop's is no asyncio.Transport
        """Begin; where there is no room for another connection, it is closed at once."""
        self.transport = transport
        server, client = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "scheme": "http",
            "root_path": "",
            "server": server and server[:2],
            "client": client and client[:2],
        }
        if self.worker.has_room():
            self.server_state.connections.add(self)  # type: ignore[arg-type] # uvicorn names its own protocols
        else:
            transport.abort()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """End. No reference cycle is left, so that everything is freed at once."""
        self.server_state.connections.discard(self)
        self._phase = _CLOSING
        self._parser.close()
        if self._lingering is not None:
            self._lingering.cancel()
        if self._writable is not None:
            self._writable.set()
        if self._cycle is not None:
            self._cycle.disconnect()
            self._cycle = None

    @property
    def idle_since(self) -> float | None:
        """Since when there is nothing to answer, a time of the event loop; None while there is."""
        has_response = self._phase != _PARKED and (self._cycle is None or self._cycle.written)
        return self._since if has_response and not self.transport.get_write_buffer_size() else None

    @property
    def buffered_bytes(self) -> int:
        """What is not parsed yet, not taken by the application, or not taken by the client."""
        body = 0 if self._cycle is None else len(self._cycle.body)
        return len(self._parser.received) + body + self.transport.get_write_buffer_size()

    @override
    def data_received(self, data: bytes) -> None:
        """Take in what came, and parse it up to the end of the present request."""
        if self._phase == _CLOSING:
            return
        self._parser.received += data
        self._parse()
        if self._parser.received:
            self.worker.count_buffered(len(data))

    @override
    def eof_received(self) -> bool:
        """Stay open for a response under way: the client may have closed its own side alone."""
        self.last = True
        return self._phase in {_PARKED, _ANSWERING}

    def _parse(self) -> None:
        if self.transport.is_closing():
            return
        try:
            while self._parser.received and not self._has_to_wait() and self._parse_next():
                pass
        except Rejected as error:
            self._reject(error.status)
        pause = self._has_to_wait() and len(self._parser.received) > (MAX_HEAD_BYTES if self._phase == _PARKED else 0)
        if pause != self._reading_is_paused:
            self._reading_is_paused = pause
            (self.transport.pause_reading if pause else self.transport.resume_reading)()

    def _has_to_wait(self) -> bool:
        if self._phase == _BODY:
            return self._cycle is not None and len(self._cycle.body) > MAX_BODY_AHEAD_BYTES
        return self._phase in {_PARKED, _ANSWERING} or self._writable is not None

    def _parse_next(self) -> bool:
        """Parse a head, or what is here of a body; whether it is there as a whole."""
        if self._phase == _WAITING and self._parser.begins():
            self._phase, self._since = _HEAD, self._loop.time()
            parking, under_way = self.worker.parking, len(self.server_state.tasks)
            if parking.is_needed(under_way) and parking.park(self._parser.received_head, self._go_on):
                self._phase = _PARKED
                return False
        if self._phase == _HEAD and (scope := self._parser.head(self._scope)) is not None:
            self._begin(scope)
        elif self._phase == _BODY and self._cycle is not None:
            self._cycle.add_body(self._parser.body())
            if not self._parser.complete:
                return False
        else:
            return False
        if self._parser.complete and self._cycle is not None:
            self._phase = _ANSWERING
            self._cycle.end_body()
            if self._cycle.written:
                self._wait_for_next()
        return True

    def _go_on(self) -> bool:
        """Begin the request that is parked; whether it still is."""
        if self._phase != _PARKED:
            return False
        now = self._loop.time()
        self._phase, self._parked_seconds, self._since = _HEAD, now - self._since, now
        self._parse()
        return True

    def _begin(self, scope: dict[str, Any]) -> None:
        """Hand a request to the application."""
        self._phase = _BODY
        self._has_served = True
        parser = self._parser
        if self._parked_seconds is not None:
            scope["parked_seconds"], self._parked_seconds = self._parked_seconds, None
        scope["state"] = self._app_state.copy()
        cycle = ResponseCycle(self, scope, keep_alive=parser.keep_alive, expects_continue=parser.expects_continue)
        self._cycle = cycle
        cycle.task = self._loop.create_task(cycle.run(self._app))
        self.server_state.tasks.add(cycle.task)

    def body_taken(self) -> None:
        """The application has taken what was here of the body."""
        if self._parser.received:
            self._parse()

    def _reject(self, status: int) -> None:
        """Answer what does not become a whole request, and close the connection."""
        self._parser.received = b""
        cycle = self._cycle
        if cycle is None or not cycle.started:
            if cycle is not None:
                cycle.disconnect()  # the application stops reading, and logs the request
            self._phase = _CLOSING
            self._cycle = ResponseCycle(self, {} if cycle is None else cycle.scope)
            self._cycle.respond(status)
        elif cycle.written:
            self._linger()
        elif cycle.complete:
            self.last = True
        else:
            self.transport.close()

    def write(self, data: bytes) -> None:
        """Write to the client."""
        if self.transport.is_closing():
            return
        self.is_behind = False
        self.transport.write(data)
        self.worker.count_buffered(len(data))

    async def drain(self) -> None:
        """Wait while the client has enough to take."""
        if self._writable is not None:
            await self._writable.wait()

    @override
    def pause_writing(self) -> None:
        """The client has enough to take.

        It is neither written to nor served until it has taken most of it.
        """
        self._writable = asyncio.Event()

    @override
    def resume_writing(self) -> None:
        """The client has taken most of it."""
        assert self._writable is not None  # writing was paused before
        self._writable.set()
        self._writable = None
        self._parse()

    def response_written(self) -> None:
        """A response is written as a whole: close, or go on with the next request."""
        if self.transport.is_closing() or self._cycle is None:
            return
        if self.last or not self._cycle.keep_alive:
            if self._phase == _ANSWERING and not self._parser.received:
                self.transport.close()
            else:
                self._linger()
        else:
            if self._phase == _ANSWERING:
                self._wait_for_next()
            if self._parser.received:
                self._parse()

    def _wait_for_next(self) -> None:
        self._cycle = None
        self._phase, self._since = _WAITING, self._loop.time()

    def _linger(self) -> None:
        self._parser.received = b""
        self._phase = _CLOSING
        self._lingering = Lingering(self.transport)

    def add_lost_time(self, seconds: float) -> None:
        """Do not count time in which this process did not run.

        What the client sent then is yet to be read.
        """
        self._since += seconds
        self._take_until += seconds

    def close_if_overdue(self, now: float) -> None:
        """Disconnect a client that takes too long to send a request or to take a response."""
        limits = self.worker.limits
        if unsent := self.transport.get_write_buffer_size():
            if not self.is_behind:
                self.is_behind = True
                self._take_until = now + limits.client_seconds + unsent / MIN_BYTES_PER_SECOND
            elif now > self._take_until:
                self.transport.abort()
            return
        self.is_behind = False
        seconds = now - self._since
        if self._phase == _WAITING:
            if seconds > (limits.keep_alive_seconds if self._has_served else limits.client_seconds):
                self.transport.close()
        elif self._phase in {_HEAD, _BODY} and seconds > limits.client_seconds:
            self._reject(408)

    def shutdown(self) -> None:
        """Stop, without losing a request that is on its way. uvicorn calls this."""
        self.last = True
        # Twice, as a late timer comes before what could be read meanwhile.
        self._loop.call_later(DRAIN_SECONDS, self._loop.call_later, 0.01, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self._phase in {_WAITING, _HEAD}:
            self.transport.close()
