"""How a response is written, whatever an application makes of it."""

import asyncio
import logging
import socket
import struct
from typing import Any

import pytest

from tests.serving import REQUEST, Serving, on_our_loop

HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY = {"type": "http.response.body", "body": b"ok"}
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


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
        async with Serving(application) as server:
            reader, writer = await server.connect()
            writer.write(request)
            got = await reader.read()

    on_our_loop(play)
    return got


def with_headers(*headers: tuple[bytes, bytes]) -> Any:
    """The head with more headers."""
    return {**HEAD, "headers": [*HEAD["headers"], *headers]}  # type: ignore[misc]


def test_whole_response_is_written_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = []

    async def play() -> None:
        async with Serving(sending(HEAD, BODY)) as server:
            reader, writer = await server.connect()
            await server.until(lambda: server.connections)
            write = server.connection.write

            def record(piece: bytes) -> None:
                pieces.append(piece)
                write(piece)

            monkeypatch.setattr(server.connection, "write", record)
            writer.write(REQUEST.replace(b"Host: x", b"Host: x\r\nConnection: close"))
            assert await reader.read() == WHOLE

    on_our_loop(play)
    assert pieces == [WHOLE]


@pytest.mark.parametrize(
    ("messages", "written"),
    [
        pytest.param((HEAD, {**BODY, "body": b"o", "more_body": True}, {**BODY, "body": b"k"}), b"ok", id="pieces"),
        pytest.param(({**HEAD, "headers": []}, BODY), b"ok", id="no length"),
        pytest.param(({"type": "http.response.start", "status": 200}, {"type": "http.response.body"}), b"", id="bare"),
        pytest.param((with_headers((b"connection", b"close")), BODY), b"ok", id="close"),
        pytest.param((with_headers((b"transfer-encoding", b"chunked")), BODY), b"ok", id="framing of its own"),
        pytest.param(({**HEAD, "status": 204, "headers": []}, {**BODY, "body": b""}), b"", id="no body"),
        pytest.param((HEAD, {"type": "http.response.body", "more_body": True}, BODY), b"ok", id="late body"),
        pytest.param(
            ({**HEAD, "headers": []}, {**BODY, "more_body": True}, {**BODY, "body": b"!"}),
            b"2\r\nok\r\n1\r\n!\r\n0\r\n\r\n",
            id="pieces without a length",
        ),
        pytest.param(
            ({**HEAD, "headers": []}, {**BODY, "more_body": True}, {**BODY, "body": b""}),
            b"2\r\nok\r\n0\r\n\r\n",
            id="empty last piece",
        ),
    ],
)
def test_response_is_written_with_its_framing(messages: Any, written: bytes) -> None:
    head, _, body = answer_of(sending(*messages)).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 %d " % messages[0]["status"])
    assert head.count(b"connection: close") == 1
    assert body == written
    assert (b"transfer-encoding: chunked" in head) == (b"\r\n" in written)


def test_status_without_a_name_is_written() -> None:
    assert answer_of(sending({**HEAD, "status": 299}, BODY)).startswith(b"HTTP/1.1 299 \r\n")


def test_pieces_without_a_length_end_with_the_connection_for_http_1_0() -> None:
    messages = ({**HEAD, "headers": []}, {**BODY, "more_body": True}, {**BODY, "body": b"!"})

    answer = answer_of(sending(*messages), REQUEST.replace(b"1.1", b"1.0"), close=False)

    assert answer == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok!"


@pytest.mark.parametrize("body", [b"", b"ok"])
def test_head_is_answered_without_a_body(body: bytes) -> None:
    answer = answer_of(sending(HEAD, {**BODY, "body": body}), REQUEST.replace(b"GET", b"HEAD"))

    assert answer == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n"


def test_head_is_answered_without_a_length_that_the_application_did_not_give() -> None:
    messages = ({**HEAD, "headers": []}, {**BODY, "body": b"", "more_body": True}, {**BODY, "body": b""})

    answer = answer_of(sending(*messages), REQUEST.replace(b"GET", b"HEAD"))

    assert answer == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"a\rb", b"a\x00b", b"\x7f"])
def test_header_that_would_break_the_response_is_not_written(value: bytes) -> None:
    answer = answer_of(sending(with_headers((b"x-value", value)), BODY))

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"x-value" not in answer
    assert b"ok" not in answer


@pytest.mark.parametrize("body", [b"o", b"okay"])
def test_body_of_another_length_than_announced_is_answered_500(body: bytes) -> None:
    answer = answer_of(sending(HEAD, {**BODY, "body": body}))

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b"\r\n\r\nerror 500")


def test_pieces_of_another_length_than_announced_end_the_connection() -> None:
    answer = answer_of(sending(HEAD, {**BODY, "body": b"o", "more_body": True}, {**BODY, "body": b"kay"}), close=False)

    assert answer == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no"


def test_length_of_something_else_is_not_the_length_of_the_body() -> None:
    answer = answer_of(sending({**HEAD, "headers": [(b"x-content-length", b"3")]}, BODY))

    assert b"\r\ncontent-length: 2\r\n" in answer
    assert answer.endswith(b"\r\n\r\nok")


def test_what_was_logged_before_is_out_before_the_response(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task whose creation the client knows of is in the log, even if the process is killed."""
    happened: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await sending(HEAD, BODY)(scope, receive, send)
        happened.append("sent")

    async def play() -> None:
        async with Serving(application, before_write=lambda: happened.append("logged")) as server:
            _, writer = await server.connect()
            await server.until(lambda: server.connections)
            monkeypatch.setattr(server.connection, "write", lambda piece: happened.append("written"))
            writer.write(REQUEST)
            await server.until(lambda: "written" in happened)

    on_our_loop(play)
    assert happened == ["sent", "logged", "written"]


def test_server_that_stops_before_the_response_is_written_writes_it_and_says_that_it_is_the_last() -> None:
    got = b""

    async def play() -> None:
        nonlocal got

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await sending(HEAD, BODY)(scope, receive, send)
            server.connection.shutdown()

        async with Serving(application) as server:
            reader, writer = await server.connect()
            writer.write(REQUEST)
            got = await reader.read()

    on_our_loop(play)
    assert got == WHOLE


class TestApplicationsThatFail:
    async def before_the_response(scope: Any, receive: Any, send: Any) -> None:  # noqa: N805
        raise LookupError

    async def between_head_and_body(scope: Any, receive: Any, send: Any) -> None:  # noqa: N805
        await send(dict(HEAD))
        raise LookupError

    @pytest.mark.parametrize("application", [before_the_response, between_head_and_body])
    def test_before_anything_is_written_are_answered_500(
        self, application: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = answer_of(application)

        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"\r\nx-path: /\r\n" in answer
        assert answer.endswith(b"\r\n\r\nerror 500")
        assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [LookupError]

    def test_without_a_response_are_answered_500(self) -> None:
        assert answer_of(sending(HEAD)).startswith(b"HTTP/1.1 500 ")

    def test_after_a_whole_response_lose_nothing_of_it(self, caplog: pytest.LogCaptureFixture) -> None:
        async def fail(scope: Any, receive: Any, send: Any) -> None:
            await sending(HEAD, BODY)(scope, receive, send)
            raise LookupError

        answer = answer_of(fail, REQUEST + REQUEST.replace(b"Host: x", b"Host: x\r\nConnection: close"), close=False)

        assert answer == WHOLE.replace(b"connection: close\r\n", b"") + WHOLE
        assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [LookupError] * 2

    def test_in_the_middle_end_the_connection(self) -> None:
        async def fail(scope: Any, receive: Any, send: Any) -> None:
            await sending({**HEAD, "headers": []}, {**BODY, "more_body": True})(scope, receive, send)
            raise LookupError

        assert answer_of(fail, close=False).endswith(b"\r\n\r\n2\r\nok\r\n")

    @pytest.mark.parametrize(
        "messages",
        [
            pytest.param((BODY,), id="no head"),
            pytest.param((HEAD, HEAD), id="two heads"),
            pytest.param(({"type": "http.response.trailers"},), id="something else"),
        ],
    )
    def test_by_invalid_messages_are_answered_500(self, messages: Any) -> None:
        assert answer_of(sending(*messages)).startswith(b"HTTP/1.1 500 ")

    def test_by_a_message_too_many_lose_nothing(self) -> None:
        assert answer_of(sending(HEAD, BODY, BODY)) == WHOLE

    def test_by_being_cancelled_as_the_server_stops_are_answered_503(self) -> None:
        got = b""

        async def wait(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.get_running_loop().create_future()

        async def play() -> None:
            nonlocal got
            async with Serving(wait) as server:
                reader, writer = await server.connect()
                writer.write(REQUEST)
                await server.until(lambda: server.state.tasks)
                server.connection.shutdown()
                for task in server.state.tasks:
                    task.cancel()
                got = await reader.read()

        on_our_loop(play)
        assert got.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nconnection: close\r\n" in got


def test_client_that_leaves_is_not_written_to(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    received = []

    async def play() -> None:
        left = asyncio.Event()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            received.append(await receive())
            left.set()
            received.append(await receive())
            await sending(HEAD, BODY)(scope, receive, send)

        async with Serving(application) as server:
            _, writer = await server.connect()
            writer.write(REQUEST)
            await left.wait()
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # gone, not just silent
            writer.close()
            await server.until(lambda: not server.state.tasks)

    on_our_loop(play)
    assert received == [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]
    assert caplog.records == []


def test_response_to_a_client_that_is_lost_before_it_is_written_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def play() -> None:
        async def application(scope: Any, receive: Any, send: Any) -> None:
            server.connection.transport.abort()
            await sending(HEAD, BODY)(scope, receive, send)

        async with Serving(application) as server:
            reader, writer = await server.connect()
            writer.write(REQUEST)

            assert await reader.read() == b""
            await server.until(lambda: not server.state.tasks)

    on_our_loop(play)
    assert caplog.records == []


def test_application_that_streams_waits_for_the_client() -> None:
    pieces = 0

    async def play() -> None:
        nonlocal pieces

        async def stream(scope: Any, receive: Any, send: Any) -> None:
            nonlocal pieces
            await send({**HEAD, "headers": []})
            for _ in range(200):
                await send({**BODY, "body": b"x" * 100_000, "more_body": True})
                pieces += 1
            await send(BODY)

        async with Serving(stream) as server:
            reader, writer = await server.connect()
            writer.write(REQUEST.replace(b"Host: x", b"Host: x\r\nConnection: close"))
            await server.until(lambda: server.connections and server.connection._writable is not None)
            assert pieces < 200
            assert len(await reader.read()) > 20_000_000
            assert pieces == 200

    on_our_loop(play)
