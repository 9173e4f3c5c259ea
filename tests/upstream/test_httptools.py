"""What the request parser relies on in httptools, which leaves it open what it calls when."""

from typing import Any

import pytest
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


class Calls:
    """Notes what a parser calls."""

    def __init__(self) -> None:
        self.parser = HttpRequestParser(self)
        self.calls: list[Any] = []

    def on_message_begin(self) -> None:
        self.calls.append("begin")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.calls.append((name, value))

    def on_body(self, piece: bytes) -> None:
        self.calls.append(piece)

    def on_message_complete(self) -> None:
        self.calls.append("complete")


def calls(*pieces: bytes) -> list[Any]:
    """What is called for these pieces; the name of an error at the end."""
    noted = Calls()
    try:
        for piece in pieces:
            noted.parser.feed_data(piece)
    except (HttpParserError, HttpParserUpgrade) as error:
        noted.calls.append(type(error).__name__)
    return noted.calls


def test_request_without_a_body_is_complete_with_its_head() -> None:
    assert calls(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == ["begin", (b"Host", b"x"), "complete"]


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\n", b"\n\r\n", b"\r\r", b"\r\n\r"])
def test_head_ends_with_an_empty_line_and_nothing_else(end: bytes) -> None:
    """Otherwise a second request could begin within what is taken for one head."""
    assert "complete" not in calls(b"GET / HTTP/1.1\r\nHost: x" + end)
    assert "complete" not in calls(b"GET / HTTP/1.1\r\nHost: x\r\nA:" + end)


@pytest.mark.parametrize(
    "length", [b"+2", b"2, 2", b"0x2", b"2\r\nContent-Length: 2", b"2\r\nTransfer-Encoding: chunked"]
)
def test_length_that_is_not_one_number_is_an_error(length: bytes) -> None:
    assert calls(b"GET / HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\n")[-1] == "HttpParserError"


def test_last_trailer_is_told_before_the_end_and_not_with_the_next_request() -> None:
    noted = calls(CHUNKED, b"0\r\nTrailer: 1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: y\r\n\r\n")

    assert noted[3:] == [(b"Trailer", b"1"), "complete", "begin", (b"Host", b"y"), "complete"]


def test_body_of_a_request_that_offers_an_upgrade_is_not_parsed() -> None:
    """Its issue 124. When this fails, ``RequestParser`` need not parse a head twice any more."""
    head = b"POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n"

    assert calls(head + b"ab")[-2:] == ["complete", "HttpParserUpgrade"]
    assert b"ab" not in calls(head + b"ab")


@pytest.mark.parametrize("line", [b"GET  / HTTP/1.1", b"GET / RTSP/1.0", b"GET / HTTP/2.0", b"GET /"])
def test_request_lines_are_accepted_that_rfc_9112_does_not_know(line: bytes) -> None:
    """When this fails, ``RequestParser`` need not check them itself any more."""
    assert calls(line + b"\r\nHost: x\r\n\r\n")[-1] == "complete"


def test_white_space_behind_a_value_is_left_to_the_callee() -> None:
    assert calls(b"GET / HTTP/1.1\r\nHost:  x \t\r\n\r\n")[1] == (b"Host", b"x \t")
