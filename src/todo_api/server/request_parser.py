"""Parses requests, one at a time: bytes come in, ASGI scopes and parts of bodies go out.

httptools knows the grammar of headers and chunks, but has no limits, and goes on to the next
request by itself. So it is fed exactly one head, then exactly that request's body: a head ends with
an empty line, a body after Content-Length bytes or, when it is chunked, with an empty line again.
The request line is checked here, because httptools accepts more than RFC 9112 §3 does.
"""

import re
from collections import deque
from typing import Any, Final
from urllib.parse import unquote

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url

# uvicorn has no limits to heads that httptools parses: its PRs 1684, 1686 and 2019 were closed.
MAX_HEAD_BYTES: Final = 32 * 1024
MAX_TARGET_BYTES: Final = 8 * 1024
MAX_HEADERS: Final = 100

MAX_TRAILER_BYTES: Final = 512 * 1024
"""What may come of a chunked body without a byte of the body itself."""

_MAX_LINE_BYTES: Final = MAX_TARGET_BYTES + 64
_LINE_END: Final = b"\r\n"
_END: Final = b"\r\n\r\n"
_END_WITHOUT_CR: Final = b"\n\n"
_VERSIONS: Final = {b"HTTP/1.1": "1.1", b"HTTP/1.0": "1.0"}
_OTHER_VERSION: Final = re.compile(rb"HTTP/[02-9]\.[0-9]")
_HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]*)?")  # RFC 3986 §3.2
_NO_TRAILERS: Final[deque[Any]] = deque(maxlen=0)  # trailers are no headers (RFC 9110 §6.5.1)
_WATCHED: Final = frozenset({b"connection", b"content-length", b"expect", b"host", b"transfer-encoding"})


class Rejected(Exception):
    """What was received is no request that can be served.

    Args:
        status: why, as the status of a response.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class RequestParser:
    """Takes heads and bodies, one after another, from the beginning of ``received``."""

    def __init__(self) -> None:
        self.received = b""  # what is not parsed yet
        self.complete = False  # whether the present request is parsed as a whole
        self.keep_alive = self.expects_continue = False
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._in_body = False
        self._headers: Any = []
        self._hosts = 0
        self._left: int | None = None  # bytes of the body that are still to come; None: it is chunked
        self._body: list[bytes] = []
        self._trailer_bytes = 0

    def close(self) -> None:
        """Drop everything, the reference cycle with httptools' parser included."""
        self.received = b""
        self._parser = None

    def begins(self) -> bool:
        """Whether a request has begun. Empty lines before it are skipped (RFC 9112 §2.2)."""
        if self.received[0] in _LINE_END:
            self.received = self.received.lstrip(_LINE_END)
        return bool(self.received)

    @property
    def received_head(self) -> bytes:
        """What is here of the next request's head, unparsed."""
        end = self.received.find(_END, 0, MAX_HEAD_BYTES)
        return self.received[: MAX_HEAD_BYTES if end < 0 else end + len(_LINE_END)]

    def head(self, scope: dict[str, Any]) -> dict[str, Any] | None:
        """The ASGI scope of the next request, or None as long as its head is incomplete.

        Args:
            scope: what is the same for all requests of a connection.

        Raises:
            Rejected: 400, 414, 431 or 505.
        """
        end = self.received.find(_END, 0, MAX_HEAD_BYTES) + len(_END)
        if end < len(_END):
            self._check_incomplete_head()
            return None
        head, self.received = self.received[:end], self.received[end:]
        method, target, version = _split_request_line(head[: head.index(_LINE_END)])
        headers = self._parse_head(head, version)
        raw_path, query = _split_target(target)
        path = raw_path.decode("ascii")
        return {
            **scope,
            "http_version": version,
            "method": method.decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
        }

    def _check_incomplete_head(self) -> None:
        line, line_end, _ = self.received[: _MAX_LINE_BYTES + 1].partition(_LINE_END)
        if line_end:
            _split_request_line(line)
        elif not line[:1].isupper():
            raise Rejected(400)
        elif len(line) > _MAX_LINE_BYTES:
            raise Rejected(414)
        if _END_WITHOUT_CR in self.received:
            raise Rejected(400)  # it ends for its client, who waits for a response
        if len(self.received) >= MAX_HEAD_BYTES:
            raise Rejected(431)

    def _parse_head(self, head: bytes, version: str) -> list[tuple[bytes, bytes]]:
        if head.count(_LINE_END) > MAX_HEADERS + 2:  # the request line and the empty line are none
            raise Rejected(431)
        headers = self._headers = []
        self._hosts, self._left, self._trailer_bytes = 0, None, 0
        self._in_body = self.complete = self.expects_continue = False
        self.keep_alive = version == "1.1"
        try:
            self._feed(head)
        except HttpParserUpgrade:
            headers = self._parse_without_upgrade(head)
        except HttpParserError:
            raise Rejected(400) from None
        if self._hosts != 1 and (self._hosts or version == "1.1"):  # RFC 9112 §3.2
            raise Rejected(400)
        self.expects_continue = self.expects_continue and version == "1.1"  # RFC 9110 §10.1.1
        self._in_body = True
        self._headers = _NO_TRAILERS
        return headers

    def _feed(self, piece: bytes) -> None:
        assert self._parser is not None
        self._parser.feed_data(piece)

    def _parse_without_upgrade(self, head: bytes) -> list[tuple[bytes, bytes]]:
        """Parse a head again as if no other protocol was offered (RFC 9110 §7.8).

        None is spoken here.

        httptools takes no body of a request that offers one (its issue 124, uvicorn's issue 2722).
        """
        lines = [head[: head.index(_LINE_END)]]
        lines += [b"%b: %b" % header for header in self._headers if header[0] != b"upgrade"]
        headers = self._headers = []
        self._hosts, self.complete = 0, False
        self._parser = HttpRequestParser(self)
        self._feed(_LINE_END.join(lines) + _END)
        return headers

    def body(self) -> bytes:
        """What is here of the body, as far as it is not held back to see where it ends.

        Raises:
            Rejected: it is malformed, or trailers are too large.
        """
        while not self.complete and (end := self._end_of_piece()):
            self._trailer_bytes += end
            piece, self.received = self.received[:end], self.received[end:]
            try:
                self._feed(piece)
            except HttpParserError:
                raise Rejected(400) from None
            if self._trailer_bytes > MAX_TRAILER_BYTES:
                raise Rejected(431)
        body, self._body = self._body, []
        return body[0] if len(body) == 1 else b"".join(body)

    def _end_of_piece(self) -> int:
        """How much may be parsed without parsing beyond the end of the body."""
        if self._left is not None:
            end = min(self._left, len(self.received))
            self._left -= end
            return end
        found = self.received.find(_END)
        if found >= 0:
            return found + len(_END)
        # Only what may be the beginning of the end waits, so that a body that is too large is
        # noticed at once.
        begun = next((length for length in (3, 2, 1) if self.received.endswith(_END[:length])), 0)
        return len(self.received) - begun

    # What httptools calls

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        name, value = name.lower(), value.rstrip(b" \t")  # RFC 9110 §5.5
        self._headers.append((name, value))
        if name in _WATCHED:
            self._watch(name, value)

    def _watch(self, name: bytes, value: bytes) -> None:
        if self._in_body:
            return
        if name == b"host":
            if _HOST.fullmatch(value) is None:
                raise ValueError("not a host")
            self._hosts += 1
        elif name == b"content-length":
            self._left = int(value)  # httptools has checked that these are digits, and the only ones
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked":  # gzip before it would be taken for the body's own bytes
                raise ValueError("not a transfer coding of ours")
        elif name == b"connection":
            self.keep_alive = self.keep_alive and b"close" not in value.lower()
        else:
            self.expects_continue = value.lower() == b"100-continue"

    def on_body(self, piece: bytes) -> None:
        """A part of the body."""
        self._trailer_bytes = 0
        self._body.append(piece)

    def on_message_complete(self) -> None:
        """The request is complete, unless it offers an upgrade."""
        self.complete = True


def _split_request_line(line: bytes) -> tuple[bytes, bytes, str]:
    """Method, target and version.

    Raises:
        Rejected: they are not separated by single spaces, or the version is another one (RFC 9112
            §3, §2.3).
    """
    method, _, rest = line.partition(b" ")
    target, _, protocol = rest.partition(b" ")
    version = _VERSIONS.get(protocol)
    if version is None:
        raise Rejected(505 if _OTHER_VERSION.fullmatch(protocol) and method != b"PRI" else 400)
    if len(target) > MAX_TARGET_BYTES:
        raise Rejected(414)
    if method == b"CONNECT":  # for proxies, with a target of its own kind
        raise Rejected(400)
    return method, target, version


def _split_target(target: bytes) -> tuple[bytes, bytes]:
    """Path and query of a target that httptools has accepted.

    Raises:
        Rejected: it has none.
    """
    if not target.isascii() or b"#" in target:  # a fragment is the client's own (RFC 9110 §4.2.5)
        raise Rejected(400)
    if target.startswith(b"/"):
        path, _, query = target.partition(b"?")
        return path, query
    try:
        url = parse_url(target)
    except HttpParserError:
        raise Rejected(400) from None
    return url.path or b"/", url.query or b""
