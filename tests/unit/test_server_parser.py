"""Requests out of bytes, one at a time, however the bytes are cut into pieces."""

from typing import Any

import pytest

from todo_api.server import request_parser
from todo_api.server.request_parser import Rejected, RequestParser

CHUNKED = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUESTS = [
    (b"GET /?q=1 HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n\r\n\r\nab", b"\r\n\r\nab"),
    (CHUNKED + b"2\r\n\r\n\r\n8;x=y\r\n\r\n\r\nGET \r\n0\r\n\r\n", b"\r\n\r\n\r\nGET "),
    (CHUNKED + b"1\r\na\r\n0\r\nTrailer: 1\r\nHost: y\r\nExpect: 100-continue\r\n\r\n", b"a"),
    (b"\r\n\r\nDELETE /a HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", b""),
    (CHUNKED.replace(b"Host", b"Upgrade: h2c\r\nConnection: upgrade\r\nHost") + b"2\r\nab\r\n0\r\n\r\n", b"ab"),
    (b"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", b""),
]


def parse(data: bytes, size: int) -> list[tuple[dict[str, Any], bytes]]:
    """All requests in these bytes, which come in pieces of one size."""
    parser, requests = RequestParser(), []
    scope, body = None, b""
    for start in range(0, len(data), size):
        parser.received += data[start : start + size]
        while parser.received:
            if scope is None and parser.begins():
                scope, body = parser.head({}), b""
            if scope is None:
                break
            if not parser.complete:
                body += parser.body()
            if not parser.complete:
                break
            requests.append((scope, body))
            scope = None
    assert not parser.received
    return requests


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 10_000])
def test_requests_are_the_same_in_any_pieces(size: int) -> None:
    requests = parse(b"".join(request for request, _ in REQUESTS) * 3, size)

    assert [body for _, body in requests] == [body for _, body in REQUESTS] * 3
    assert [scope["method"] for scope, _ in requests] == ["GET", "POST", "POST", "POST", "DELETE", "POST", "GET"] * 3
    assert {dict(scope["headers"])[b"host"] for scope, _ in requests} == {b"x"}
    assert not any(b"upgrade" in dict(scope["headers"]) for scope, _ in requests)
    assert requests[0][0]["query_string"] == b"q=1"
    assert requests[6][0]["path"] == "/"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(CHUNKED + b"0\r\nA: " + b"a" * 600_000, 431, id="trailer without an end"),
        pytest.param(CHUNKED + b"1;" + b"a" * 600_000, 431, id="chunk extension without an end"),
        pytest.param(CHUNKED + b"x\r\n\r\n", 400, id="no chunk"),
        pytest.param(b"GET /" + b"a" * 9000, 414, id="target without an end"),
        pytest.param(b"GET / HTTP/1.1\r\nA: " + b"a" * 40_000, 431, id="header without an end"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:\r\n" * 100 + b"\r\n", 431, id="101 headers"),
        pytest.param(b"get / HTTP/1.1", 400, id="method in lower case"),
        pytest.param(b"GET / HTTP/2.0\r\n", 505, id="version of an unfinished head"),
        pytest.param(b"GET ?a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="target that is no URL"),
        pytest.param(b"GET http://x:99999/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="port that is none"),
        pytest.param(b"GET /a HTTP/1.1\r\nHost: a b\r\n\r\n", 400, id="host"),
        pytest.param(b"GET /metrics#b HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="fragment"),
        pytest.param(b"GET http://x/metrics#b HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="fragment of a whole URL"),
    ],
)
def test_what_is_no_request_is_rejected(data: bytes, status: int) -> None:
    with pytest.raises(Rejected) as rejected:
        parse(data, 1000)

    assert rejected.value.status == status


def test_head_that_is_not_complete_is_not_parsed() -> None:
    """Thousands of tiny headers would take thirty times their size."""
    parser = RequestParser()
    parser.received = b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 5000

    assert parser.begins()
    assert parser.head({}) is None
    assert parser._headers == []


def test_connection_is_closed_after_connection_close() -> None:
    for line, version, kept in [
        (b"Connection: Close", b"1.1", False),
        (b"Connection: keep-alive", b"1.1", True),
        (b"Connection: keep-alive", b"1.0", False),
    ]:
        parser = RequestParser()
        parser.received = b"GET / HTTP/%b\r\nHost: x\r\n%b\r\n\r\n" % (version, line)
        assert parser.head({}) is not None
        assert parser.keep_alive is kept


def test_limits_are_those_that_the_documents_name() -> None:
    assert request_parser.MAX_HEAD_BYTES == 32 * 1024
    assert request_parser.MAX_TARGET_BYTES == 8 * 1024
    assert request_parser.MAX_HEADERS == 100
