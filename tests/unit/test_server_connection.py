"""Who comes in, and who is hung up on, where one process cannot show it from outside."""

import asyncio
import resource
import socket
import struct
from contextlib import suppress
from typing import Any

import pytest

from tests.serving import REQUEST, listener, listening, on_our_loop, turns
from todo_api.server import connection as connections
from todo_api.server import run as server
from todo_api.server.connection import HttpProtocol, close_overdue


async def answer_much(scope: Any, receive: Any, send: Any) -> None:
    """An application whose answers fill every buffer."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x" * 30_000_000})


def answer_after(seconds: float) -> Any:
    """An application that takes its time."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(seconds)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    return answer


def test_everybody_who_waits_comes_in_within_a_few_turns() -> None:
    """libuv alone would take one turn for each."""

    async def play() -> None:
        async with listening(answer_much, most_connections=200) as (port, _):
            clients = [socket.socket() for _ in range(90)]
            for client in clients:
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", port))
            for _ in range(30):
                await asyncio.sleep(0)
            came_in = len(HttpProtocol.open_connections)
            for client in clients:
                client.close()

            assert came_in == 90

    on_our_loop(play)


def test_whoever_comes_beyond_the_limit_is_hung_up_on() -> None:
    async def play() -> None:
        async with listening(answer_much, most_connections=2) as (_, connect):
            streams = [await connect() for _ in range(3)]
            with suppress(ConnectionResetError):
                assert await streams[2][0].read() == b""
            assert len(HttpProtocol.open_connections) == 2

            streams[0][1].close()
            await turns(3)
            reader, writer = await connect()
            writer.write(REQUEST)
            assert await reader.read(15) == b"HTTP/1.1 200 OK"

    on_our_loop(play)


def test_where_too_much_waits_to_be_taken_whoever_leaves_most_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_UNSENT_BYTES", 40_000_000)

    async def play() -> None:
        async with listening(answer_much) as (_, connect):
            streams = [await connect() for _ in range(2)]
            for _, writer in streams:
                writer.write(REQUEST)
            await turns(20)
            await close_overdue()
            await turns(3)
            assert len(HttpProtocol.open_connections) == 1

            await close_overdue()
            await turns(3)
            assert len(HttpProtocol.open_connections) == 1

    on_our_loop(play)


@pytest.mark.parametrize(("lost_seconds", "open_connections"), [(0, 0), (100, 1)])
def test_time_in_which_the_process_did_not_run_does_not_count_against_a_reader(
    lost_seconds: int, open_connections: int
) -> None:
    async def play() -> None:
        async with listening(answer_much) as (_, connect):
            _, writer = await connect()
            writer.write(REQUEST)
            await turns(20)
            await close_overdue()
            now = asyncio.get_running_loop().time()
            (connection,) = HttpProtocol.open_connections
            connection._take_until = now - 50
            HttpProtocol.checked_at = now - connections.CHECK_SECONDS - lost_seconds
            await close_overdue()
            await turns(3)

            assert len(HttpProtocol.open_connections) == open_connections

    on_our_loop(play)


def test_garbage_behind_an_answer_that_has_begun_ends_the_connection() -> None:
    async def play() -> None:
        async with listening(answer_much) as (_, connect):
            _, writer = await connect()
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            await turns(20)
            writer.write(b"no chunk" * 10_000)
            (connection,) = HttpProtocol.open_connections
            while not connection.transport.is_closing():
                await turns(1)

    on_our_loop(play)


def test_expectation_that_nobody_knows_is_ignored() -> None:
    async def play() -> None:
        async with listening(answer_after(0)) as (_, connect):
            reader, writer = await connect()
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n")
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"

    on_our_loop(play)


def test_request_that_comes_as_the_server_stops_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "DRAIN_SECONDS", 0.05)

    async def play() -> None:
        async with listening(answer_after(0.2)) as (_, connect):
            reader, writer = await connect()
            await turns(3)
            (connection,) = HttpProtocol.open_connections
            connection.shutdown()
            writer.write(REQUEST)
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 200 OK")
            assert answer.endswith(b"ok")

    on_our_loop(play)


def test_whoever_waits_at_the_door_as_it_closes_is_served_once() -> None:
    """The operating system has told them that they are connected, and they may have asked already."""

    async def play() -> None:
        async with listener(answer_after(0.01)) as door:
            address = door.sockets[0].getsockname()
            waiting = [socket.create_connection(address) for _ in range(3)]
            waiting[0].sendall(REQUEST)
            door.close()
            waiting[1].sendall(REQUEST)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)

            answers = []
            for client in waiting:
                reader, writer = await asyncio.open_connection(sock=client)
                answers.append((await reader.read())[:15])
                writer.close()
            assert answers == [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK", b""]

    on_our_loop(play)


def test_whoever_is_coming_in_as_the_door_closes_is_told_to_stop() -> None:
    async def play() -> None:
        async with listener(answer_after(0)) as door:
            client = socket.create_connection(door.sockets[0].getsockname())
            door._accept(door._listeners[0])
            door.close()
            reader, writer = await asyncio.open_connection(sock=client)
            assert await reader.read() == b""
            writer.close()

    on_our_loop(play)


def test_door_that_was_closed_meanwhile_is_not_opened_again() -> None:
    async def play() -> None:
        async with listener(answer_after(0)) as door:
            waiting = door._listeners[0]
            door.close()
            door._listen_again(waiting)

    on_our_loop(play)


def test_whoever_has_left_before_coming_in_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        async with listening(answer_after(0)) as (port, connect):
            for _ in range(50):
                client = socket.create_connection(("127.0.0.1", port))
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
                client.close()
            reader, writer = await connect()
            writer.write(REQUEST)
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            assert len(HttpProtocol.open_connections) == 1

    on_our_loop(play)
    assert caplog.records == []


def test_server_stops_listening_when_closed() -> None:
    async def play() -> None:
        async with listening(answer_much) as (port, _):
            pass
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    on_our_loop(play)


@pytest.mark.parametrize(
    ("limits", "room", "raised_to"),
    [
        ((1024, 4096), 4096 - 256, 4096),
        ((1024, resource.RLIM_INFINITY), 16_384, 16_384 + 256),
        ((65_536, 65_536), 16_384, None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 16_384, None),
        ((200, 200), 1, None),
    ],
)
def test_process_asks_for_the_files_it_may_have(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], room: int, raised_to: int | None
) -> None:
    asked = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: asked.append(new))

    assert server._room_for_connections() == room
    assert asked == ([] if raised_to is None else [(raised_to, limits[1])])
