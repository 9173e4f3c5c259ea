"""One request and its response: ASGI's ``receive`` and ``send``.

A whole response (all of its body in one message) leaves in one write when the event-loop iteration
is over, together with those of other connections; a response in pieces is written piece by piece.
What the application makes of it, a valid response or none, is decided here.
"""

import asyncio
import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from todo_api.server.connection import Connection

Headers = Iterable[tuple[bytes, bytes]]

_CONTROLS: Final = bytes({*range(0x20), 0x7F} - {ord("\t")})
"""What no header may contain (RFC 9110 §5.5)."""

_OWN_HEADERS: Final = frozenset({b"connection", b"transfer-encoding"})
"""Headers of the connection and not of the response (RFC 9110 §7.6.1): they are the server's to
write."""

_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}

log = logging.getLogger(__name__)


class ResponseCycle:
    """Carries one request to the application, and its response to the connection.

    Args:
        connection: where the request came from.
        scope: ASGI's description of the request; empty where there is none to describe.
        keep_alive: whether another request may follow on the connection.
        expects_continue: whether the client waits for leave to send the body (RFC 9110 §10.1.1).
    """

    task: asyncio.Task[None] | None = None
    started = complete = written = disconnected = False
    _more_body = True
    _body_taken = False
    _changed: asyncio.Event | None = None  # most requests never wait
    _start: Any = None
    _response = (b"", b"")
    _has_body = True
    _is_chunked = False
    _left: int | None = None  # bytes of the body that are still to be sent; None: until the connection closes

    def __init__(
        self,
        connection: "Connection",
        scope: dict[str, Any],
        *,
        keep_alive: bool = False,
        expects_continue: bool = False,
    ) -> None:
        self.connection = connection
        self.scope = scope
        self.keep_alive = keep_alive
        self.body = bytearray()  # what the application has not taken yet
        self._expects_continue = expects_continue

    async def run(self, app: Any) -> None:
        """Call the application.

        A response that is complete is written whatever happens afterwards.
        """
        status = 500
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            status = 503  # the grace period of a shutdown is over
            raise
        except Exception:
            log.exception("the application failed")
        finally:
            self.connection.server_state.tasks.discard(self.task)
            self.task = None
            if not (self.complete or self.disconnected):
                self._end(status)

    def _end(self, status: int) -> None:
        """End a response that the application has not ended."""
        if self.started:
            self.connection.transport.close()  # the client can tell that the response is not complete
        else:
            self.respond(status)

    # The request

    def add_body(self, piece: bytes) -> None:
        """Take in a part of the body; it is dropped once the response is complete."""
        if not self.complete:
            self.body += piece
            self._notify()

    def end_body(self) -> None:
        """Note that all of the body is here."""
        self._more_body = False
        self._notify()

    def disconnect(self) -> None:
        """Note that the client is gone, or is listened to no longer."""
        self.disconnected = True
        self._notify()

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()

    async def receive(self) -> dict[str, Any]:
        """ASGI's ``receive``.

        The next part of the body, and after the last one the end of the request.
        """
        if self._expects_continue and self._more_body and not (self.body or self.started or self.disconnected):
            self.connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._expects_continue = False
        while not (self.complete or self.disconnected):
            if self.body or not (self._more_body or self._body_taken):
                message = {"type": "http.request", "body": bytes(self.body), "more_body": self._more_body}
                self._body_taken = not self._more_body
                self.body.clear()
                self.connection.body_taken()
                return message
            if self._changed is None:
                self._changed = asyncio.Event()
            self._changed.clear()
            await self._changed.wait()
        return {"type": "http.disconnect"}

    # The response

    async def send(self, message: Any) -> None:
        """ASGI's ``send``. Names of headers are in lower case, as ASGI requires.

        Raises:
            RuntimeError: the messages make no valid response.
        """
        kind = message["type"]
        if kind == "http.response.start" and self._start is None:
            self._start = message
        elif kind != "http.response.body" or self._start is None or self.complete:
            raise RuntimeError(f"{kind} does not belong here")
        elif not self.disconnected:
            body, more_body = message.get("body", b""), message.get("more_body", False)
            if self.started or more_body:
                await self._stream(body, more_body=more_body)
            else:
                self._send_whole(self._start["status"], self._start.get("headers", ()), body)

    def respond(self, status: int) -> None:
        """Send an error response."""
        self._send_whole(status, *self.connection.worker.error_response(status, self.scope))

    def _send_whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Have a whole response written when this event-loop iteration is over."""
        head = self._head(status, headers, len(body))
        self._response = head, self._framed(body, more_body=False)
        self.started = True
        self._complete()
        self.connection.worker.write_soon(self)

    def _complete(self) -> None:
        self.complete = True
        self.body.clear()  # not needed any more
        self._notify()

    def write(self) -> None:
        """Write a whole response, unless the client is gone."""
        (head, body), self._response = self._response, (b"", b"")
        if not self.disconnected:
            self.connection.write(b"".join((head, self._end_of_head(), body)))
            self._written()

    async def _stream(self, body: bytes, *, more_body: bool) -> None:
        """Write a piece at once, and wait while the client has enough to read."""
        head = b""
        if not self.started:
            head = self._head(self._start["status"], self._start.get("headers", ()), None) + self._end_of_head()
        piece = head + self._framed(body, more_body=more_body)
        self.started = True
        self.connection.write(piece)
        if more_body:
            await self.connection.drain()
        else:
            self._complete()
            self._written()

    def _written(self) -> None:
        self.written = True
        self.connection.response_written()

    def _head(self, status: int, headers: Headers, length: int | None) -> bytes:
        """Status line and headers, but for the end, which the connection adds when it writes."""
        fields = [*self.connection.server_state.default_headers, *headers]
        named = dict(fields)
        if b"connection" in named or b"transfer-encoding" in named:
            self.keep_alive = self.keep_alive and b"close" not in named.get(b"connection", b"").lower()
            fields = [field for field in fields if field[0] not in _OWN_HEADERS]
        self._has_body = self.scope.get("method") != "HEAD" and status not in {204, 304}  # RFC 9110 §6.4.1
        self._is_chunked, self._left = False, length
        if b"content-length" in named:
            self._left = int(named[b"content-length"])
        elif not self._has_body:
            pass
        elif length is not None:
            fields.append((b"content-length", b"%d" % length))
        elif self.scope["http_version"] == "1.1":
            self._is_chunked = True
            fields.append((b"transfer-encoding", b"chunked"))
        lines = b"\r\n".join([*map(b": ".join, fields), b""])
        if len(lines.translate(None, _CONTROLS)) != len(lines) - 2 * len(fields):
            raise RuntimeError("a header contains a control character")
        return (_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status) + lines

    def _end_of_head(self) -> bytes:
        return b"\r\n" if self.keep_alive and not self.connection.last else b"connection: close\r\n\r\n"

    def _framed(self, body: bytes, *, more_body: bool) -> bytes:
        """A part of the body as it is written.

        Raises:
            RuntimeError: it is longer or shorter than was announced.
        """
        if not self._has_body:
            return b""
        if self._is_chunked:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk if more_body else chunk + b"0\r\n\r\n"
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more_body):
                raise RuntimeError("the body is not as long as its Content-Length says")
        return body
