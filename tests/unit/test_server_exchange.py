"""How an answer is written, whatever an application makes of it."""

import asyncio
from typing import Any

import pytest

from tests.serving import REQUEST, listening, on_our_loop
from todo_api.server.connection import HttpProtocol

HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY = {"type": "http.response.body", "body": b"ok"}


def sending(*messages: Any) -> Any:
    """An application that sends these."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(dict(message))

    return application


def answer_of(application: Any, request: bytes = REQUEST, *, close: bool = True) -> bytes:
    """What a client gets until the connection is closed, which it asks for or not."""
    if close:
        request = request.replace(b"Host: x", b"Host: x\r\nConnection: close")
    got = b""

    async def play() -> None:
        nonlocal got
        async with listening(application) as (_, connect):
            reader, writer = await connect()
            writer.write(request)
            got = await reader.read()

    on_our_loop(play)
    return got


def headed(*headers: tuple[bytes, bytes]) -> Any:
    """The head with more headers."""
    return {**HEAD, "headers": [*HEAD["headers"], *headers]}  # type: ignore[misc]


def test_whole_answer_is_written_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = []

    class Recorded:
        def __init__(self, transport: Any) -> None:
            self._transport = transport

        def __getattr__(self, name: str) -> Any:
            return getattr(self._transport, name)

        def write(self, piece: bytes) -> None:
            pieces.append(piece)
            self._transport.write(piece)

    made = HttpProtocol.connection_made
    monkeypatch.setattr(HttpProtocol, "connection_made", lambda self, transport: made(self, Recorded(transport)))
    answer_of(sending(HEAD, BODY))

    assert pieces == [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"]


@pytest.mark.parametrize(
    ("messages", "written"),
    [
        pytest.param((HEAD, {**BODY, "body": b"o", "more_body": True}, {**BODY, "body": b"k"}), b"ok", id="pieces"),
        pytest.param(({**HEAD, "headers": []}, BODY), b"2\r\nok\r\n0\r\n\r\n", id="no-length"),
        pytest.param((headed((b"connection", b"close")), BODY), b"ok", id="close"),
        pytest.param(({**HEAD, "status": 204, "headers": []}, {**BODY, "body": b""}), b"", id="no-body"),
        pytest.param((HEAD, {"type": "http.response.body", "more_body": True}, BODY), b"ok", id="late-body"),
    ],
)
def test_any_other_answer_is_written_as_uvicorn_writes_it(messages: Any, written: bytes) -> None:
    head, _, body = answer_of(sending(*messages)).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 %d " % messages[0]["status"])
    assert head.count(b"connection: close") == 1
    assert body == written


def test_head_alone_answers_head() -> None:
    answer = answer_of(sending(HEAD, {**BODY, "body": b""}), REQUEST.replace(b"GET", b"HEAD"))

    assert answer == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"a\rb", b"a\x00b", b"\x7f"])
def test_header_that_would_break_the_answer_is_not_written(value: bytes) -> None:
    answer = answer_of(sending(headed((b"x-value", value)), BODY))

    assert b"x-value" not in answer
    assert b"ok" not in answer


@pytest.mark.parametrize("body", [b"o", b"okay"])
def test_body_of_another_length_than_announced_ends_the_connection(body: bytes) -> None:
    answer = answer_of(sending(HEAD, {**BODY, "body": body}), close=False)

    assert answer.partition(b"\r\n\r\n")[2] in {b"", b"o"}


def test_length_of_something_else_announces_no_body() -> None:
    answer = answer_of(sending({**HEAD, "headers": [(b"x-content-length", b"2")]}, BODY))

    assert answer.endswith(b"\r\n2\r\nok\r\n0\r\n\r\n")


def test_head_is_answered_without_the_body_that_an_application_gives_it() -> None:
    assert answer_of(sending(HEAD, BODY), REQUEST.replace(b"GET", b"HEAD")).endswith(b"\r\n\r\n")


def test_what_was_logged_before_is_out_before_the_answer() -> None:
    """A task whose creation the client knows of is in the log, whatever happens to the process then."""
    happened: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        asyncio.get_running_loop().call_soon(happened.append, "logged")
        await send(dict(HEAD))
        await send({**BODY, "body": b"ok"})
        (connection,) = HttpProtocol.open_connections
        happened.append("not written yet" if connection.cycle.unwritten else "written")
        asyncio.get_running_loop().call_soon(
            lambda: happened.append("not written yet" if connection.cycle.unwritten else "written")
        )

    answer_of(application)

    assert happened == ["not written yet", "logged", "written"]


def test_garbage_behind_a_request_does_not_overtake_its_answer() -> None:
    async def play() -> None:
        async with listening(sending(HEAD, BODY)) as (_, connect):
            reader, writer = await connect()
            writer.write(REQUEST + b"no request\r\n\r\n")
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 200 OK")
            assert answer.endswith(b"ok")

    on_our_loop(play)


def test_server_that_stops_before_the_answer_is_written_writes_it_and_says_that_it_is_the_last() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await sending(HEAD, BODY)(scope, receive, send)
        (connection,) = HttpProtocol.open_connections
        connection.shutdown()

    answer = answer_of(application, close=False)
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.endswith(b"ok")


def test_application_that_fails_between_head_and_body_answers_500() -> None:
    async def fail(scope: Any, receive: Any, send: Any) -> None:
        await send(dict(HEAD))
        raise LookupError

    assert answer_of(fail).startswith(b"HTTP/1.1 500 ")
