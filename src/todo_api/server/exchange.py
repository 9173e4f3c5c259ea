"""One request and its answer: uvicorn's cycle, except that an answer which is there as a whole leaves in one piece."""

import asyncio
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

from httptools import parse_url
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

_CONTROLS: Final = bytes({*range(0x20), 0x7F} - {ord("\t")})
"""What no header may contain (RFC 9110 §5.5)."""


class Exchange(RequestResponseCycle):
    """ASGI's ``receive`` and ``send`` for the request whose head a connection has just read.

    The head of the answer waits for the first piece of its body, as ASGI has it. If that piece is the
    whole body, both leave in one write, after one check of all headers; what is not so plain is uvicorn's.
    The write is made when the turn of the event loop is over: what the log was told before is out by then.

    Raises:
        HttpParserInvalidURLError: the request's target is no URL.
    """

    def __init__(self, connection: HttpToolsProtocol) -> None:
        parser, scope = connection.parser, connection.scope
        version, target = parser.get_http_version(), parse_url(connection.url)
        path = target.path.decode("ascii")
        scope["http_version"] = version
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = target.path
        scope["query_string"] = target.query or b""
        super().__init__(
            scope=scope,
            transport=connection.transport,
            flow=connection.flow,
            logger=connection.logger,
            access_logger=connection.access_logger,
            access_log=False,
            default_headers=connection.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=connection.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive() and not parser.should_upgrade(),
            on_response=connection.on_response_complete,
        )
        self._head: Any = None
        self.unwritten = b""

    @property
    def over(self) -> bool:
        """Whether the answer is complete, and written."""
        return self.response_complete and not self.unwritten

    async def send(self, message: Any) -> None:
        """Take a part of the answer.

        Raises:
            RuntimeError: the parts make no valid answer.
        """
        if message["type"] == "http.response.start" and not self.response_started:
            self._head = message
            return
        if self._head is not None:
            head, self._head = self._head, None
            if self._send_at_once(head, message):
                return
            await super().send(head)
        await super().send(message)

    def _send_at_once(self, head: Any, message: Any) -> bool:
        """Write the answer if this is all of it, and nothing about it is unusual; whether that is so."""
        if self.disconnected or self.flow.write_paused or message.get("more_body") or self.scope["method"] == "HEAD":
            return False
        headers, body = [*self.default_headers, *head.get("headers", ())], message.get("body", b"")
        lines = [b"%b: %b\r\n" % (name, value) for name, value in headers]
        text = b"".join(lines)
        if (
            (b"content-length", b"%d" % len(body)) not in headers
            or b"connection: " in text
            or len(text.translate(None, _CONTROLS)) != len(text) - 2 * len(lines)
        ):
            return False
        self.unwritten = STATUS_LINE[head["status"]] + text
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.message_event.set()
        asyncio.get_running_loop().call_soon(self._write, body, self.on_response)
        return True

    def _write(self, body: bytes, on_response: Callable[[], None]) -> None:
        head, self.unwritten = self.unwritten, b""
        if not self.transport.is_closing():
            end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"  # the server may be stopping by now
            self.transport.write(b"".join((head, end, body)))
            if not self.keep_alive:
                self.transport.close()
        on_response()  # as it was: uvicorn forgets it once the application is through
