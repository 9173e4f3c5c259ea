"""What is no request, what is too much of one, and what pretends to be another.

One exact answer for each.
"""

import json
import socket
from typing import BinaryIO

import pytest

from tests.api.wire import Answer, connect, exchange
from tests.harness import Server, User, token

HOST = b"Host: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LONG = b"a" * 200_000


def head(user: User, method: str = "POST", version: str = "1.1") -> bytes:
    """The head of a request of this user, without its end."""
    lines = [
        f"{method} {user.base} HTTP/{version}",
        "Host: x",
        f"Authorization: Bearer {token(user.id)}",
        "Content-Type: application/json",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


def rejection(answer: Answer) -> tuple[int, str]:
    """What a rejected client is told: status and code.

    It is a problem, and the last of its connection.
    """
    problem = json.loads(answer.body)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert problem["status"] == answer.status
    assert problem["request_id"] == answer.headers["x-request-id"]
    return answer.status, problem["code"]


FRAMINGS = {
    "Content-Length and Transfer-Encoding": b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "Transfer-Encoding and Content-Length": CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "two Content-Lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "two equal Content-Lengths": b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "list of Content-Lengths": b"Content-Length: 2, 2\r\n\r\n{}",
    "signed Content-Length": b"Content-Length: +2\r\n\r\n{}",
    "two Transfer-Encodings": CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "unknown Transfer-Encoding": b"Transfer-Encoding: xchunked\r\n\r\n{}",
    "Transfer-Encoding after chunked": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "gzip before chunked": b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "negative chunk": CHUNKED + b"\r\n-1\r\na\r\n",
    "chunk of 2 to the 72": CHUNKED + b"\r\nffffffffffffffffff\r\na\r\n",
    "obsolete folding": b"X-A: 1\r\n  2\r\n\r\n",
    "NUL in a value": b"X-A: a\x00b\r\n\r\n",
    "NUL in a name": b"X\x00A: b\r\n\r\n",
    "line end in a value": b"X-A: a\rb\r\n\r\n",
    "space before the colon": b"X-A : b\r\n\r\n",
    "second Host": b"Host: y\r\n\r\n",
}


@pytest.mark.parametrize("rest", [pytest.param(rest, id=name) for name, rest in FRAMINGS.items()])
def test_ambiguous_framing_is_rejected_and_nothing_after_it_is_read(server: Server, alice: User, rest: bytes) -> None:
    smuggled = head(alice) + b'Content-Length: 15\r\n\r\n{"title":"two"}'

    assert rejection(exchange(server, head(alice) + rest + smuggled)) == (400, "invalid_request")
    assert alice.http.get(alice.base).json() == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(bytes.fromhex("16030100c8010000c40303") + b"\x01" * 190, id="TLS hello"),
        pytest.param(b"\x00\xff" * 500 + b"\r\n\r\n", id="garbage"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2 preface"),
        pytest.param(b"GET /health HTTP/1.2\r\n" + HOST + b"\r\n", id="HTTP/1.2"),
        pytest.param(b"GET /health HTTP/1.1\n" + HOST + b"\r\n", id="bare line feed"),
        pytest.param(b"GET /health HTTP/1.1\nHost: x\n\n", id="bare line feeds alone"),
        pytest.param(b"GET /health HTTP/1.1\r\n Host: x\r\n\r\n", id="folding of the first line"),
        pytest.param(b"GET /health HTTP/1.1\r\n\r\n", id="no Host"),
        pytest.param(b"CONNECT x:80 HTTP/1.1\r\n" + HOST + b"\r\n", id="CONNECT"),
        pytest.param(b"CONNECT /health HTTP/1.1\r\n" + HOST + b"\r\n", id="CONNECT of a path"),
        pytest.param(b"GET /health RTSP/1.0\r\n" + HOST + b"\r\n", id="RTSP"),
        pytest.param(b"GET /health http/1.1\r\n" + HOST + b"\r\n", id="http in lower case"),
        pytest.param(b"GET  /health HTTP/1.1\r\n" + HOST + b"\r\n", id="two spaces before the target"),
        pytest.param(b"GET /health  HTTP/1.1\r\n" + HOST + b"\r\n", id="two spaces behind the target"),
        pytest.param(b"GET /health HTTP/1.1 \r\n" + HOST + b"\r\n", id="space at the end of the first line"),
        pytest.param(b"GET\t/health HTTP/1.1\r\n" + HOST + b"\r\n", id="tab"),
        pytest.param(b"GET /hea\tlth HTTP/1.1\r\n" + HOST + b"\r\n", id="tab in the target"),
        pytest.param(b"GET /hea\xc3\xa4lth HTTP/1.1\r\n" + HOST + b"\r\n", id="target that is not ASCII"),
        pytest.param(b"GET health HTTP/1.1\r\n" + HOST + b"\r\n", id="target without a path"),
        pytest.param(b"GET /health\r\n\r\n", id="HTTP/0.9"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="SSH"),
    ],
)
def test_what_is_no_request_is_rejected(server: Server, request_bytes: bytes) -> None:
    assert rejection(exchange(server, request_bytes)) == (400, "invalid_request")


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/3.0", b"HTTP/0.9"])
def test_other_version_is_not_supported(server: Server, version: bytes) -> None:
    answer = exchange(server, b"GET /health " + version + b"\r\n" + HOST + b"\r\n")

    assert rejection(answer) == (505, "http_version_not_supported")


@pytest.mark.parametrize(
    "host",
    [
        b"a b",
        b"a/b",
        b"a@b",
        b"a,b c",
        b'"a"',
        b"<a>",
        b"a\\b",
        b"a:b",
        b"a:80:80",
        b"[::1",
        b"::1",
        b"[x]",
        b"\xc3\xa4",
    ],
)
def test_host_that_is_none_is_rejected(server: Server, host: bytes) -> None:
    assert rejection(exchange(server, b"GET /health HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")) == (
        400,
        "invalid_request",
    )


@pytest.mark.parametrize("host", [b"x:", b"127.0.0.1:80", b"[::1]", b"[::1]:8000", b"a-b.example", b"a_b", b"x \t"])
def test_host_is_a_name_or_an_address_with_or_without_a_port(server: Server, host: bytes) -> None:
    assert exchange(server, b"GET /health HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").status == 200


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        pytest.param(b"GET /" + LONG + b" HTTP/1.1\r\n" + HOST + b"\r\n", (414, "uri_too_long"), id="path"),
        pytest.param(b"GET /health?" + LONG + b" HTTP/1.1\r\n" + HOST + b"\r\n", (414, "uri_too_long"), id="query"),
        pytest.param(
            b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\n" + HOST + b"\r\n", (414, "uri_too_long"), id="8 KiB path"
        ),
        pytest.param(
            b"GET /health HTTP/1.1\r\n" + HOST + b"X-A: " + LONG + b"\r\n\r\n", (431, "headers_too_large"), id="header"
        ),
        pytest.param(
            b"GET /health HTTP/1.1\r\n" + HOST + b"Authorization: Bearer " + LONG * 5 + b"\r\n\r\n",
            (431, "headers_too_large"),
            id="token of 1 MB",
        ),
        pytest.param(
            b"GET /health HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: a\r\n" % n for n in range(5000)) + b"\r\n",
            (431, "headers_too_large"),
            id="5,000 headers",
        ),
        pytest.param(
            b"GET /health HTTP/1.1\r\n" + HOST + b"a:\r\n" * 100 + b"\r\n", (431, "headers_too_large"), id="101 headers"
        ),
        pytest.param(b"GET /health HTTP/1.1\r\nX-A: " + b"a" * 10_000_000, (431, "headers_too_large"), id="10 MB"),
    ],
)
def test_head_that_is_too_large_is_rejected(server: Server, request_bytes: bytes, expected: tuple[int, str]) -> None:
    assert rejection(exchange(server, request_bytes)) == expected


@pytest.mark.parametrize("lines", [b"X-A: " + b"a" * 20_000 + b"\r\n", b"a:\r\n" * 98], ids=["20 KB", "99 headers"])
def test_head_that_is_large_is_served(server: Server, lines: bytes) -> None:
    assert exchange(server, b"GET /health HTTP/1.1\r\n" + HOST + lines + b"\r\n").status == 200


def test_head_may_come_byte_by_byte(server: Server) -> None:
    with connect(server) as connection:
        for byte in b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n":
            connection.sendall(bytes([byte]))

        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_endless_body_is_rejected_and_its_rest_is_dropped(server: Server, alice: User) -> None:
    answer = exchange(server, head(alice) + CHUNKED + b"\r\n" + b"1\r\na\r\n" * 200_000)

    assert (answer.status, json.loads(answer.body)["code"]) == (413, "content_too_large")


class TestTrailers:
    """They are no headers (RFC 9110 §6.5.1): what a proxy has not seen must not decide anything."""

    def test_do_not_sign_in(self, server: Server, alice: User) -> None:
        body = b'd\r\n{"title":"a"}\r\n0\r\nAuthorization: Bearer ' + token(alice.id).encode() + b"\r\n\r\n"
        unsigned = f"POST {alice.base} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()

        assert exchange(server, unsigned + CHUNKED + b"\r\n" + body).status == 401

    def test_do_not_change_what_the_head_said(self, server: Server, alice: User) -> None:
        body = b'd\r\n{"title":"a"}\r\n0\r\nAuthorization: Bearer x\r\nContent-Type: text/plain\r\n\r\n'

        assert exchange(server, head(alice) + CHUNKED + b"\r\n" + body).status == 201

    def test_are_not_kept(self, server: Server, alice: User) -> None:
        endless = b"X: yyyyyyyyyyyyyyyyyy\r\n" * 20_000

        answer = exchange(server, head(alice) + CHUNKED + b'\r\nd\r\n{"title":"a"}\r\n0\r\n' + endless + b"\r\n")

        assert answer.status == 201


class TestOldAndOtherProtocols:
    def test_http_1_0_is_answered_and_closed(self, server: Server) -> None:
        with connect(server) as connection:
            connection.sendall(b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")

            assert b"200 OK" in b"".join(iter(lambda: connection.recv(1000), b""))

    def test_expectation_is_met_before_the_body(self, server: Server, alice: User) -> None:
        with connect(server) as connection:
            connection.sendall(head(alice) + b"Content-Length: 13\r\nExpect: 100-continue\r\n\r\n")
            assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b'{"title":"a"}')

            assert connection.recv(1000).startswith(b"HTTP/1.1 201 Created\r\n")

    def test_expectation_of_a_stranger_is_rejected_before_the_body(self, server: Server, alice: User) -> None:
        lines = HOST + b"Content-Length: 13\r\nExpect: 100-continue\r\n\r\n"

        assert exchange(server, f"POST {alice.base} HTTP/1.1\r\n".encode() + lines).status == 401


class TestUpgradeOffers:
    """None is taken up: the request is served as if it was not made (RFC 9110 §7.8)."""

    BODY = b'{"title":"a"}'
    FRAMINGS = {
        "length": b"Content-Length: 13\r\n\r\n" + BODY,
        "chunked": CHUNKED + b"\r\n6\r\n" + BODY[:6] + b"\r\n7\r\n" + BODY[6:] + b"\r\n0\r\n\r\n",
    }
    OFFERS = {
        "Java": b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\nUpgrade: h2c\r\n",
        "websocket": b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n",
        "anything": b"upgrade: x/1, y\r\nconnection: upgrade\r\n",
    }

    @pytest.mark.parametrize("pieces", ["one piece", "head and body", "bytes"])
    @pytest.mark.parametrize("framing", FRAMINGS)
    @pytest.mark.parametrize("offer", OFFERS)
    def test_body_is_read_and_the_connection_goes_on(
        self, server: Server, alice: User, offer: str, framing: str, pieces: str
    ) -> None:
        request = head(alice) + self.OFFERS[offer] + self.FRAMINGS[framing]
        cut = {"one piece": len(request), "head and body": request.index(b"\r\n\r\n") + 4, "bytes": 1}[pieces]
        with connect(server) as connection, connection.makefile("rb") as answers:
            for _ in range(2):
                for start in range(0, len(request), cut):
                    connection.sendall(request[start : start + cut])
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                assert read_answer(answers)[0] == 201

        assert [task["title"] for task in alice.http.get(alice.base).json()] == ["a", "a"]

    def test_pipelined_requests_are_answered_in_order(self, server: Server, alice: User) -> None:
        framings = list(self.FRAMINGS.values())
        requests = [head(alice) + self.OFFERS["Java"] + framings[number % 2] for number in range(4)]
        with connect(server) as connection, connection.makefile("rb") as answers:
            connection.sendall(b"".join(requests) + b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n")
            statuses = [read_answer(answers)[0] for _ in range(5)]

        assert statuses == [201] * 4 + [200]

    def test_request_with_connection_close_is_the_last(self, server: Server) -> None:
        lines = HOST + b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n"
        answer = exchange(server, b"GET /health HTTP/1.1\r\n" + lines)

        assert (answer.status, answer.headers["connection"]) == (200, "close")

    def test_malformed_body_is_not_taken_for_an_empty_one(self, server: Server, alice: User) -> None:
        task = alice.create()
        start = head(alice).replace(b"POST " + alice.base.encode(), f"PATCH {alice.path(task)}/complete".encode())

        assert rejection(exchange(server, start + self.OFFERS["Java"] + CHUNKED + b"\r\nno chunk\r\n")) == (
            400,
            "invalid_request",
        )
        assert alice.http.get(alice.path(task)).json()["completed"] is False


def read_answer(answers: BinaryIO) -> tuple[int, bytes]:
    """The next answer on a connection: status and body."""
    lines = list(iter(answers.readline, b"\r\n"))
    length = next(int(line.partition(b":")[2]) for line in lines if line.lower().startswith(b"content-length:"))
    return int(lines[0].split()[1]), answers.read(length)


class TestPipelining:
    def test_answers_come_in_order(self, server: Server, alice: User) -> None:
        count = 50
        bodies = [json.dumps({"title": str(number)}).encode() for number in range(count)]
        with connect(server) as connection:
            connection.sendall(
                b"".join(head(alice) + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in bodies[:-1])
                + head(alice)
                + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(bodies[-1])
                + bodies[-1]
            )
            answers = b"".join(iter(lambda: connection.recv(65_536), b""))

        assert answers.count(b"HTTP/1.1 201 Created") == count
        titles = [task["title"] for task in reversed(alice.http.get(alice.base).json())]
        assert titles == [str(number) for number in range(count)]

    def test_request_before_a_malformed_one_is_answered(self, server: Server, alice: User) -> None:
        with connect(server) as connection:
            connection.sendall(head(alice, "GET") + b"\r\n" + b"\x00 no request\r\n\r\n")
            answers = b"".join(iter(lambda: connection.recv(65_536), b""))

        assert answers.count(b"HTTP/1.1 ") == 2
        assert answers.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"HTTP/1.1 400 Bad Request\r\n" in answers

    def test_are_all_answered_when_the_client_sends_nothing_more(self, server: Server, alice: User) -> None:
        """As ``nc -N`` does, and many a script."""
        body = b'{"title":"a"}'
        create = head(alice) + b"Content-Length: %d\r\n\r\n" % len(body) + body
        for requests in ([create], [create, head(alice, "GET") + b"\r\n"] * 20):
            with connect(server) as connection:
                connection.sendall(b"".join(requests))
                connection.shutdown(socket.SHUT_WR)
                answers = b"".join(iter(lambda: connection.recv(65_536), b""))

            assert answers.count(b"HTTP/1.1 20") == len(requests)


class TestPathsThatPretend:
    @pytest.mark.parametrize(
        ("spelling", "status"),
        [
            ("{alice}/../{bob}", 404),
            ("{alice}%2F..%2F{bob}", 403),
            ("{bob}%2F..%2F{alice}", 403),
            ("%2e%2e/{alice}", 404),
            ("./{alice}", 404),
            ("{bob}\\..\\{alice}", 403),
            ("{alice}%00", 404),
            ("{alice};{bob}", 403),
            ("{alice}%2500", 403),
            ("", 404),
        ],
    )
    def test_none_leads_to_another_user(
        self, server: Server, alice: User, bob: User, spelling: str, status: int
    ) -> None:
        alice.create()
        bob.create()
        path = "/api/" + spelling.format(alice=alice.id, bob=bob.id) + "/tasks"
        lines = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(alice.id)}\r\n\r\n"

        assert exchange(server, lines.encode()).status == status

    @pytest.mark.parametrize("rest", ["?user_id={bob}", "?limit=1&owner={bob}"])
    def test_query_names_nobody(self, server: Server, alice: User, bob: User, rest: str) -> None:
        bob.create()
        lines = f"GET {alice.base}{rest} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(alice.id)}\r\n\r\n"
        answer = exchange(server, lines.format(bob=bob.id).encode())

        assert (answer.status, json.loads(answer.body)) == (200, [])
