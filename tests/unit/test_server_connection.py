"""Connections: what a running service cannot show of accepting, disconnecting and parsing."""

import asyncio
import gc
import socket
import struct
import weakref
from contextlib import suppress
from typing import Any

import pytest

from tests.serving import REQUEST, Serving, iterations, on_our_loop
from todo_api.server import connection as connections
from todo_api.server.connection import Connection

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers at once."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def answer_much(scope: Any, receive: Any, send: Any) -> None:
    """An application whose answers fill every buffer."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x" * 30_000_000})


async def never_read(scope: Any, receive: Any, send: Any) -> None:
    """An application that waits for ever."""
    await asyncio.Event().wait()


class Application:
    """An application that answers when told to, with the target and the body of the request."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.go_on = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        self.targets.append(scope["path"])
        body, more_body = b"", True
        while more_body:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more_body = body + message["body"], message["more_body"]
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode() + b" " + body})


class TestAccepting:
    def test_all_pending_connections_are_accepted_within_a_few_iterations(self) -> None:
        """libuv alone would take one iteration for each."""

        async def play() -> None:
            async with Serving(answer) as server:
                clients = [socket.socket() for _ in range(90)]
                for client in clients:
                    client.setblocking(False)
                    client.connect_ex(("127.0.0.1", server.port))
                for _ in range(30):
                    await asyncio.sleep(0)
                accepted = len(server.connections)
                for client in clients:
                    client.close()

                assert accepted == 90

        on_our_loop(play)

    def test_connection_beyond_the_limit_is_closed_while_all_others_are_busy(self) -> None:
        async def play() -> None:
            application = Application()
            async with Serving(application, max_connections=2) as server:
                streams = [await server.connect() for _ in range(2)]
                for _, writer in streams:
                    writer.write(REQUEST)
                await server.until(lambda: len(application.targets) == 2)
                reader, _ = await server.connect()
                with suppress(ConnectionResetError):
                    assert await reader.read() == b""

                application.go_on.set()
                for reader, _ in streams:
                    assert (await reader.readuntil(b"/ ")).startswith(b"HTTP/1.1 200 OK\r\n")
                reader, writer = await server.connect()
                writer.write(REQUEST)
                assert (await reader.readuntil(b"/ ")).startswith(b"HTTP/1.1 200 OK\r\n")

        on_our_loop(play)

    def test_connection_beyond_the_limit_takes_the_place_of_the_one_that_is_idle_longest(self) -> None:
        async def play() -> None:
            async with Serving(answer, max_connections=3) as server:
                streams = []
                for number in range(3):
                    streams.append(await server.connect())
                    await server.until(lambda: len(server.connections) == number + 1)  # noqa: B023 - called here
                    await iterations(3)  # the loop's clock counts milliseconds
                for number, sent in ((2, POST + b"Content-Length: 9\r\n\r\n"), (0, REQUEST)):
                    streams[number][1].write(sent)
                    assert await streams[number][0].readexactly(len(OK)) == OK
                    await iterations(3)
                for number in (1, 2, 0):
                    newcomer = await server.connect()
                    with suppress(ConnectionResetError):
                        assert await streams[number][0].read() == b""
                    streams.append(newcomer)
                assert len(server.connections) == 3
                for reader, writer in streams[3:]:
                    writer.write(REQUEST)
                    assert await reader.readexactly(len(OK)) == OK

        on_our_loop(play)

    def test_connections_pending_as_the_server_stops_are_served_once(self) -> None:
        """The operating system has accepted these clients, and may hold their requests."""

        async def play() -> None:
            async with Serving(answer) as server:
                address = ("127.0.0.1", server.port)
                pending = [socket.create_connection(address) for _ in range(3)]
                pending[0].sendall(REQUEST)
                server.listener.close()
                pending[1].sendall(REQUEST)
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(address)

                answers = []
                for client in pending:
                    reader, writer = await asyncio.open_connection(sock=client)
                    answers.append((await reader.read())[:15])
                    writer.close()
                assert answers == [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK", b""]

        on_our_loop(play)

    def test_connection_being_accepted_as_the_server_stops_is_told_to_stop(self) -> None:
        async def play() -> None:
            async with Serving(answer) as server:
                client = socket.create_connection(("127.0.0.1", server.port))
                server.listener._accept()
                server.listener.close()
                reader, writer = await asyncio.open_connection(sock=client)
                assert await reader.read() == b""
                writer.close()

        on_our_loop(play)

    def test_listener_that_was_closed_meanwhile_accepts_nothing_again(self) -> None:
        async def play() -> None:
            async with Serving(answer) as server:
                server.listener.close()
                server.listener._accept_again()

        on_our_loop(play)

    def test_clients_that_left_before_they_were_accepted_leave_nothing_behind(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def play() -> None:
            async with Serving(answer) as server:
                for _ in range(50):
                    client = socket.create_connection(("127.0.0.1", server.port))
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
                    client.close()
                reader, writer = await server.connect()
                writer.write(REQUEST)
                assert await reader.readexactly(len(OK)) == OK
                await server.until(lambda: len(server.connections) == 1)

        on_our_loop(play)
        assert caplog.records == []


class TestParsing:
    """One request at a time."""

    def test_pipelined_requests_begin_when_the_one_before_is_answered(self) -> None:
        async def play() -> None:
            application = Application()
            async with Serving(application) as server:
                reader, writer = await server.connect()
                for number in range(3):
                    writer.write(POST.replace(b"/ ", b"/%d " % number) + b"Content-Length: 2\r\n\r\n<>")
                await server.until(lambda: application.targets)
                await iterations(5)
                assert application.targets == ["/0"]

                application.go_on.set()
                got = b""
                while got.count(b"<>") < 3:
                    got += await reader.read(1000)
                assert [got.count(b"/%d <>" % number) for number in range(3)] == [1, 1, 1]

        on_our_loop(play)

    def test_what_is_sent_ahead_stays_unparsed_and_then_in_the_clients_socket(self) -> None:
        async def play() -> None:
            application = Application()
            async with Serving(application) as server:
                _, writer = await server.connect()
                writer.write(REQUEST * 500_000)
                await server.until(lambda: server.connections and server.connection._reading_is_paused)
                await iterations(20)

                assert application.targets == ["/"]
                assert server.connection.buffered_bytes < 600_000
                assert writer.transport.get_write_buffer_size() > 1_000_000

        on_our_loop(play)

    def test_request_waits_until_the_client_has_taken_the_responses_before(self) -> None:
        begun = 0

        async def count(scope: Any, receive: Any, send: Any) -> None:
            nonlocal begun
            begun += 1
            await answer_much(scope, receive, send)

        async def play() -> None:
            async with Serving(count) as server:
                reader, writer = await server.connect()
                writer.write(REQUEST * 3)
                await server.until(lambda: server.connections and server.connection._writable is not None)
                await iterations(20)
                assert begun == 1

                await reader.readexactly(2 * 30_000_000)
                assert begun == 3

        on_our_loop(play)

    def test_responses_reach_a_client_that_closed_its_side_after_its_last_request(self) -> None:
        async def play() -> None:
            application = Application()
            async with Serving(application) as server:
                for count in (1, 5):
                    application.targets.clear()
                    application.go_on.clear()
                    reader, writer = await server.connect()
                    writer.write(REQUEST * count)
                    writer.write_eof()
                    await server.until(lambda: application.targets)
                    await iterations(5)
                    application.go_on.set()
                    got = await reader.read()

                    assert got.count(b"HTTP/1.1 200 OK\r\n") == count
                    assert got.count(b"connection: close\r\n") == 1
                await server.until(lambda: not server.connections)

        on_our_loop(play)

    @pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n", POST + b"Content-Length: 9\r\n\r\n1234"])
    def test_connection_is_closed_with_the_client_who_leaves_before_the_end_of_a_request(self, sent: bytes) -> None:
        async def play() -> None:
            async with Serving(Application()) as server:
                reader, writer = await server.connect()
                writer.write(sent)
                await server.until(lambda: server.connections)
                writer.write_eof()
                assert await reader.read() == b""
                await server.until(lambda: not server.connections and not server.state.tasks)

        on_our_loop(play)

    def test_body_waits_until_the_application_takes_it(self) -> None:
        async def play() -> None:
            take = asyncio.Event()
            received = bytearray()

            async def slow(scope: Any, receive: Any, send: Any) -> None:
                await take.wait()
                while (message := await receive())["more_body"]:
                    received.extend(message["body"])
                received.extend(message["body"])
                await answer(scope, receive, send)

            async with Serving(slow) as server:
                reader, writer = await server.connect()
                body = bytes(range(256)) * 40_000
                writer.write(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                await server.until(lambda: server.connections and server.connection._reading_is_paused)
                assert server.connection.buffered_bytes < 1_000_000

                take.set()
                assert await reader.readexactly(len(OK)) == OK
                assert received == body

        on_our_loop(play)

    def test_aborted_connection_is_neither_parsed_nor_written_to(self) -> None:
        async def play() -> None:
            async with Serving(never_read) as server:
                _, writer = await server.connect()
                writer.write(POST + b"Content-Length: 5000000\r\n\r\n" + bytes(5_000_000))
                await server.until(lambda: server.connections and server.connection._reading_is_paused)
                connection = server.connection
                unparsed = len(connection._parser.received)
                connection.transport.abort()
                connection.body_taken()
                connection.write(b"late")

                assert len(connection._parser.received) == unparsed > 0
                assert connection.transport.get_write_buffer_size() == 0

        on_our_loop(play)

    def test_closed_connection_is_freed_at_once(self) -> None:
        async def play() -> None:
            application = Application()
            async with Serving(application) as server:
                readers = []
                for sent in (b"", b"GET", REQUEST, POST + b"Content-Length: 9\r\n\r\n1234", REQUEST * 1000):
                    reader, writer = await server.connect()
                    writer.write(sent)
                    readers.append((reader, writer))
                await server.until(lambda: len(application.targets) == 3)
                references = [weakref.ref(connection) for connection in server.connections]
                application.go_on.set()
                await iterations(3)
                for _, writer in readers:
                    writer.close()
                await server.until(lambda: not server.connections and not server.state.tasks)
                await iterations(3)

                assert len(references) == 5
                assert [reference() for reference in references] == [None] * 5

        gc.collect()
        gc.disable()
        try:
            on_our_loop(play)
        finally:
            gc.enable()

    def test_body_after_an_early_response_is_dropped_and_the_connection_goes_on(self) -> None:
        async def play() -> None:
            async with Serving(answer) as server:
                reader, writer = await server.connect()
                writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
                assert await reader.readexactly(len(OK)) == OK
                writer.write(b"6\r\nsecond\r\n0\r\n\r\n" + REQUEST)
                assert await reader.readexactly(len(OK)) == OK

        on_our_loop(play)

    def test_last_response_before_the_end_of_the_body_is_not_lost_in_a_reset(self) -> None:
        async def play() -> None:
            async with Serving(answer) as server:
                reader, writer = await server.connect()
                writer.write(POST + b"Connection: close\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 5_000_000)
                await iterations(50)
                assert await reader.read() == OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")

        on_our_loop(play)

    @pytest.mark.parametrize("version", [b"1.1", b"1.0"])
    def test_expectation_is_met_when_the_application_wants_the_body(self, version: bytes) -> None:
        """HTTP/1.0 knows none (RFC 9110 §10.1.1)."""

        async def play() -> None:
            application = Application()
            application.go_on.set()
            async with Serving(application) as server:
                reader, writer = await server.connect()
                head = POST + b"Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n"
                writer.write(head.replace(b"1.1", version))
                await server.until(lambda: application.targets)
                if version == b"1.1":
                    assert await reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
                writer.write(b"<>")
                assert (await reader.readuntil(b"<>")).startswith(b"HTTP/1.1 200 OK\r\n")

        on_our_loop(play)

    def test_unknown_expectation_is_ignored(self) -> None:
        async def play() -> None:
            async with Serving(answer) as server:
                reader, writer = await server.connect()
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n")
                assert await reader.readexactly(len(OK)) == OK

        on_our_loop(play)


class TestMalformed:
    def test_body_of_a_response_that_has_begun_ends_the_connection(self) -> None:
        async def play() -> None:
            async def begin(scope: Any, receive: Any, send: Any) -> None:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"begun", "more_body": True})
                await receive()

            async with Serving(begin) as server:
                reader, writer = await server.connect()
                writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n")
                await reader.readuntil(b"begun\r\n")
                writer.write(b"no chunk" * 10_000)
                with suppress(ConnectionResetError):
                    assert await reader.read() == b""
                await server.until(lambda: not server.state.tasks)

        on_our_loop(play)

    def test_body_after_an_early_response_ends_the_connection(self) -> None:
        async def play() -> None:
            async with Serving(answer) as server:
                reader, writer = await server.connect()
                writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n")
                assert await reader.readexactly(len(OK)) == OK
                writer.write(b"no chunk" * 10_000)
                assert await reader.read() == b""

        on_our_loop(play)

    def test_body_does_not_overtake_a_response_that_is_being_written(self) -> None:
        async def play() -> None:
            async with Serving(answer) as server:
                reader, _ = await server.connect()
                await server.until(lambda: server.connections)
                connection = server.connection
                connection.data_received(POST + b"Transfer-Encoding: chunked\r\n\r\n")
                while not (connection._cycle and connection._cycle.complete):  # noqa: ASYNC110 - in this iteration
                    await asyncio.sleep(0)
                connection.data_received(b"no chunk" * 10)
                assert await reader.read() == OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")

        on_our_loop(play)

    def test_request_behind_another_does_not_overtake_its_response(self) -> None:
        async def play() -> None:
            async with Serving(answer) as server:
                reader, writer = await server.connect()
                writer.write(REQUEST + b"no request\r\n\r\n")
                got = await reader.read()
                assert got.startswith(OK + b"HTTP/1.1 400 ")
                assert got.endswith(b"\r\n\r\nerror 400")

        on_our_loop(play)

    def test_body_ends_the_request_of_an_application_that_reads_it(self) -> None:
        async def play() -> None:
            application = Application()
            async with Serving(application) as server:
                reader, writer = await server.connect()
                writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n")
                await server.until(lambda: application.targets)
                writer.write(b"no chunk\r\n\r\n")
                got = await reader.read()
                assert got.startswith(b"HTTP/1.1 400 ")
                assert b"\r\nx-path: /\r\n" in got
                await server.until(lambda: not server.state.tasks)

        on_our_loop(play)


class TestLimits:
    def test_where_too_much_is_buffered_clients_that_were_behind_are_disconnected_first(self) -> None:
        async def play() -> None:
            async with Serving(answer_much, max_buffered_bytes=70_000_000) as server:
                streams = [await server.connect() for _ in range(4)]
                await server.until(lambda: len(server.connections) == 4)
                for _, writer in streams[:2]:
                    writer.write(REQUEST)
                await server.until(lambda: sum(one.buffered_bytes for one in server.connections) > 50_000_000)
                await server.worker.close_overdue()
                behind = {one for one in server.connections if one.is_behind}
                assert len(behind) == 2

                streams[2][1].write(REQUEST)
                await server.until(lambda: len(server.connections) == 2)
                assert not behind & server.connections
                assert sum(one.buffered_bytes for one in server.connections) < 52_500_000

        on_our_loop(play)

    def test_clients_that_take_their_responses_are_not_disconnected_for_what_was_written(self) -> None:
        async def play() -> None:
            async with Serving(answer_much, max_buffered_bytes=40_000_000) as server:
                reader, writer = await server.connect()
                for _ in range(3):
                    writer.write(REQUEST)
                    await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(30_000_000)
                assert len(server.connections) == 1

        on_our_loop(play)

    @pytest.mark.parametrize(("lost_seconds", "open_connections"), [(0, 0), (100, 1)])
    def test_time_in_which_the_process_did_not_run_does_not_count_against_a_client(
        self, lost_seconds: int, open_connections: int
    ) -> None:
        async def play() -> None:
            async with Serving(answer_much) as server:
                _, writer = await server.connect()
                writer.write(REQUEST)
                await server.until(lambda: server.connections and server.connection._writable is not None)
                await server.worker.close_overdue()
                now = asyncio.get_running_loop().time()
                server.connection._take_until = now - 50
                server.worker._checked_at = now - 1 - lost_seconds
                await server.worker.close_overdue()
                await iterations(3)

                assert len(server.connections) == open_connections

        on_our_loop(play)

    @pytest.mark.parametrize("served", [False, True])
    def test_idle_connection_is_closed_after_its_time(self, served: bool) -> None:
        async def play() -> None:
            async with Serving(answer, client_seconds=10, keep_alive_seconds=20) as server:
                reader, writer = await server.connect()
                await server.until(lambda: server.connections)
                if served:
                    writer.write(REQUEST)
                    await reader.readexactly(len(OK))
                connection, seconds = server.connection, 20 if served else 10
                connection.close_if_overdue(connection._since + seconds - 1)
                assert not connection.transport.is_closing()
                connection.close_if_overdue(connection._since + seconds + 1)
                assert await reader.read() == b""

        on_our_loop(play)

    def test_request_that_is_being_answered_is_never_overdue(self) -> None:
        async def play() -> None:
            application = Application()
            async with Serving(application) as server:
                reader, writer = await server.connect()
                writer.write(REQUEST)
                await server.until(lambda: application.targets)
                server.connection.close_if_overdue(server.connection._since + 10_000)
                application.go_on.set()
                assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"

        on_our_loop(play)

    def test_rejected_client_that_goes_on_is_disconnected_once_it_has_the_response(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("todo_api.server.lingering.LINGER_SECONDS", 0.02)

        async def play() -> None:
            async with Serving(answer_much) as server:
                reader, writer = await server.connect()
                writer.write(POST + b"Connection: close\r\nContent-Length: 9\r\n\r\n")
                await server.until(lambda: server.connections and server.connection._lingering is not None)
                writer.write(b"x")
                await iterations(60)
                assert len(server.connections) == 1
                assert len(await reader.readexactly(30_000_000)) == 30_000_000
                await server.until(lambda: not server.connections)

        on_our_loop(play)


class TestStopping:
    def test_request_that_comes_as_the_server_stops_is_answered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connections, "DRAIN_SECONDS", 0.05)

        async def play() -> None:
            application = Application()
            async with Serving(application) as server:
                reader, writer = await server.connect()
                await server.until(lambda: server.connections)
                server.connection.shutdown()
                writer.write(REQUEST)
                await asyncio.sleep(0.1)
                application.go_on.set()
                got = await reader.read()
                assert b"\r\nconnection: close\r\n" in got
                assert got.endswith(b"/ ")

        on_our_loop(play)

    def test_idle_connection_is_closed_in_a_moment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connections, "DRAIN_SECONDS", 0.01)

        async def play() -> None:
            async with Serving(answer) as server:
                reader, _ = await server.connect()
                await server.until(lambda: server.connections)
                server.connection.shutdown()
                assert await reader.read() == b""

        on_our_loop(play)


def test_scope_holds_what_asgi_requires() -> None:
    scopes: list[Any] = []

    async def note(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await answer(scope, receive, send)

    async def play() -> None:
        async with Serving(note) as server:
            server.app_state["one"] = 1
            reader, writer = await server.connect()
            writer.write(b"PATCH /a%20b/?c=d%20e HTTP/1.1\r\nHOST: x\r\nX-A:  1 \r\n\r\n")
            await reader.readexactly(len(OK))
            scope = scopes[0]
            assert scope.pop("client") == writer.get_extra_info("sockname")
            assert scope.pop("server") == ("127.0.0.1", server.port)
            assert scope.pop("state") is not server.app_state

    on_our_loop(play)
    assert scopes == [
        {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "scheme": "http",
            "method": "PATCH",
            "root_path": "",
            "path": "/a b/",
            "raw_path": b"/a%20b/",
            "query_string": b"c=d%20e",
            "headers": [(b"host", b"x"), (b"x-a", b"1")],
        }
    ]


def test_connection_is_what_uvicorn_may_be_given_as_a_protocol() -> None:
    assert issubclass(Connection, asyncio.Protocol)
