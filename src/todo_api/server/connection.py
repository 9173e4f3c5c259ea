"""One client's connection: uvicorn's protocol, which trusts its peer, with the limits that a public port needs.

A request passes through phases; ``close_overdue``, run once a second over all connections, ends those
that stay in one too long. That costs a request two notes of the time, where a timer each would cost more::

    WAITING ── first byte ──> HEAD ── blank line ──> BODY ── last byte ──> ANSWERING ── answer ──> WAITING

What is no request, or too large for one, is refused in the form of every other refusal.
"""

import asyncio
import secrets
from collections import deque
from typing import Any, ClassVar

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from todo_api.observability import REQUEST_ID, RequestServed, observe
from todo_api.problems import respond
from todo_api.server.exchange import Exchange

KEEP_ALIVE_SECONDS = 75.0
"""How long a connection may stay open between two requests."""

DRAIN_SECONDS = 0.5
"""How long an idle connection stays open once the server stops, for a request that is on its way."""

LONGEST_HEAD_BYTES = 32 * 1024
LONGEST_TARGET_BYTES = 8 * 1024
MOST_HEADERS = 100

SLOWEST_BYTES_PER_SECOND = 16 * 1024
"""Whoever takes an answer more slowly than this is cut off."""

CHECK_SECONDS = 1.0

MOST_UNSENT_BYTES = 64 * 1024 * 1024
"""What clients have not taken yet, all together; beyond it, whoever makes most of it wait is cut off."""

LINGER_SECONDS = 2.0
"""How long a client who was refused may go on sending, so that the answer is not lost in a reset (RFC 9112 §9.6)."""

_PIECE_BYTES = 16 * 1024
_WAITING, _HEAD, _BODY, _ANSWERING, _LEAVING = range(5)
_WATCHED = frozenset({b"host", b"expect"})
_NO_TRAILERS: Any = deque(maxlen=0)  # trailers are no headers (RFC 9110 §6.5.1)
_NO_HTTP = ({"field": "request", "message": "is not valid HTTP"},)


class HttpProtocol(HttpToolsProtocol):
    """A connection, from its first byte to its last.

    Args:
        client_seconds: how long a client may take to send a request, and to begin to take an answer.
        most_connections: how many may be open; whoever comes beyond is hung up on.
    """

    open_connections: ClassVar[set["HttpProtocol"]] = set()
    checked_at: ClassVar[float] = 0.0
    cycle: Exchange

    def __init__(self, *arguments: Any, client_seconds: float, most_connections: int, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._client_seconds = client_seconds
        self._most_connections = most_connections
        self._phase = _WAITING
        self._since = self.loop.time()
        self._head_bytes = 0
        self._hosts = 0
        self._take_until: float | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin a connection."""
        super().connection_made(transport)
        self.open_connections.add(self)
        if len(self.open_connections) > self._most_connections:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self.open_connections.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what came, in pieces small enough to notice a head that does not end."""
        if len(data) <= _PIECE_BYTES:
            self._feed(data)
            return
        for start in range(0, len(data), _PIECE_BYTES):
            if not self.transport.is_closing():
                self._feed(data[start : start + _PIECE_BYTES])

    def _feed(self, piece: bytes) -> None:
        try:
            self.parser.feed_data(piece)
        except HttpParserUpgrade:
            pass  # no other protocol is spoken here: what follows is not read, and the answer is the last
        except HttpParserError:
            self._refuse(self._too_large() if self._phase == _HEAD else 400)
        else:
            if self._phase == _HEAD:
                self._head_bytes += len(piece)
                if self._head_bytes >= LONGEST_HEAD_BYTES:
                    self._refuse(self._too_large(otherwise=431))

    def _too_large(self, otherwise: int = 400) -> int:
        if len(self.url) > LONGEST_TARGET_BYTES:
            return 414
        return 431 if len(self.headers) > MOST_HEADERS else otherwise

    # What the parser calls

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._phase = _HEAD
        self._since = self.loop.time()
        self._head_bytes = self._hosts = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        name = name.lower()
        if name in _WATCHED:
            if name == b"host":
                self._hosts += 1
            elif value.lower() == b"100-continue":
                self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is there; the application begins.

        Raises:
            ValueError: it is too large, or names no host, or several (RFC 9112 §3.2).
        """
        if len(self.url) > LONGEST_TARGET_BYTES or len(self.headers) > MOST_HEADERS:
            raise ValueError("too large")
        if self._hosts != 1 and (self._hosts or self.parser.get_http_version() == "1.1"):
            raise ValueError("not one host")
        before, self.cycle = self.cycle, Exchange(self)
        if before is None or before.over:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        self._phase = _BODY
        self.headers = _NO_TRAILERS

    def _should_upgrade(self) -> bool:
        return False

    def on_message_complete(self) -> None:
        """The request is there as a whole."""
        super().on_message_complete()
        if self.cycle.response_complete:
            self._wait()
        else:
            self._phase = _ANSWERING

    def on_response_complete(self) -> None:
        """The answer is written; uvicorn's own timer for idle connections is not needed."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self._phase == _ANSWERING:
            self._wait()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def _wait(self) -> None:
        self._phase = _WAITING
        self._since = self.loop.time()

    # Limits

    def excuse(self, seconds: float) -> None:
        """Do not count time in which this process did not run: what the client sent then is yet to be read."""
        self._since += seconds
        if self._take_until is not None:
            self._take_until += seconds

    def close_if_overdue(self, now: float) -> None:
        """Hang up on a client who takes too long to send a request or to take an answer."""
        if unsent := self.transport.get_write_buffer_size():
            if self._take_until is None:
                self._take_until = now + self._client_seconds + unsent / SLOWEST_BYTES_PER_SECOND
            elif now > self._take_until:
                self.transport.abort()
            return
        self._take_until = None
        seconds = now - self._since
        if self._phase == _WAITING:
            if seconds > (self._client_seconds if self.cycle is None else KEEP_ALIVE_SECONDS):
                self.transport.close()
        elif self._phase == _LEAVING:
            if seconds > LINGER_SECONDS:
                self.transport.abort()
        elif self._phase != _ANSWERING and seconds > self._client_seconds:
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        """Answer what will not become a whole request, and hang up. What came before it is answered first."""
        if self._phase == _BODY and not self.cycle.response_started and not self.pipeline:
            self.cycle.disconnected = True  # the application stops reading, and notes the request in the log
            self.cycle.message_event.set()
            self._answer(status, str(self.scope.get("request_id", "")))
        elif self._phase == _BODY and not self.cycle.unwritten:
            self.transport.close()
        elif self._idle():
            request_id = secrets.token_hex(8)
            self._answer(status, request_id)
            context = REQUEST_ID.set(request_id)
            observe(RequestServed("other", "unmatched", status, 0.0))
            REQUEST_ID.reset(context)
        else:
            self.cycle.keep_alive = False

    def _answer(self, status: int, request_id: str) -> None:
        errors, detail = (_NO_HTTP, "request: is not valid HTTP") if status == 400 else ((), None)
        response = respond({"request_id": request_id}, status, detail, errors=errors)
        headers = [*response.raw_headers, (b"x-request-id", request_id.encode()), (b"connection", b"close")]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + bytes(response.body))
        self.transport.write_eof()
        self.parser = _Deaf()  # type: ignore[assignment]
        self._phase = _LEAVING
        self._since = self.loop.time()

    # Stopping

    def shutdown(self) -> None:
        """Stop, without losing a request that was sent before the client could know."""
        if self._idle():
            self.parser = _LastRequest(self.parser)  # type: ignore[assignment]
            # Twice, as a late timer comes before what could be read meanwhile.
            self.loop.call_later(DRAIN_SECONDS, self.loop.call_later, 0.01, self._hang_up_if_idle)
        else:
            self.cycle.keep_alive = False

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.over

    def _hang_up_if_idle(self) -> None:
        if self._idle():
            self.transport.close()


async def close_overdue() -> None:
    """Hang up on every client who takes too long, or who leaves too much waiting. Called once a second."""
    now = asyncio.get_running_loop().time()
    lost = now - HttpProtocol.checked_at - CHECK_SECONDS
    HttpProtocol.checked_at = now
    unsent = {}
    for connection in list(HttpProtocol.open_connections):
        if lost > CHECK_SECONDS:
            connection.excuse(lost)
        connection.close_if_overdue(now)
        if size := connection.transport.get_write_buffer_size():
            unsent[connection] = size
    too_much = sum(unsent.values()) - MOST_UNSENT_BYTES
    while too_much > 0:
        largest = max(unsent, key=unsent.__getitem__)
        too_much -= unsent.pop(largest)
        largest.transport.abort()


class _LastRequest:
    """A parser after whose next request the connection is to close."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def should_keep_alive(self) -> bool:
        """No, whatever the request says."""
        return False


class _Deaf:
    """A parser for the rest of what a refused client sends."""

    def feed_data(self, data: bytes) -> None:
        """Let it pass."""
