"""What connections rely on in uvloop."""

import asyncio
import socket
from typing import Any

from typing_extensions import override

from todo_api.server.event_loop import EventLoop


class Peer(asyncio.Protocol):
    """A protocol that keeps its transport."""

    transport: Any

    def __init__(self) -> None:
        self.got = bytearray()

    @override
    def data_received(self, data: bytes) -> None:
        self.got += data

    @override
    def connection_made(self, transport: Any) -> None:
        self.transport = transport


def on_a_pair(play: Any) -> None:
    """Run a scene with a protocol on one end of a connection, and the socket of the other end."""

    async def scene() -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        with theirs:
            loop = asyncio.get_running_loop()
            _, peer = await loop.connect_accepted_socket(Peer, ours)
            await play(loop, peer.transport, theirs)
            peer.transport.abort()
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(scene())


def test_what_the_client_does_not_take_counts_as_buffered() -> None:
    async def play(loop: Any, transport: Any, theirs: socket.socket) -> None:
        transport.write(b"x" * 10_000_000)
        await asyncio.sleep(0)
        assert 1_000_000 < transport.get_write_buffer_size() < 10_000_000

    on_a_pair(play)


def test_reading_may_be_paused_and_resumed_and_nothing_is_lost() -> None:
    async def play(loop: Any, transport: Any, theirs: socket.socket) -> None:
        got = transport.get_protocol().got
        transport.pause_reading()
        await loop.sock_sendall(theirs, b"abc")
        for _ in range(5):
            await asyncio.sleep(0)
        assert got == b""
        transport.resume_reading()
        async with asyncio.timeout(20):
            while got != b"abc":  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    on_a_pair(play)


def test_callbacks_run_in_the_order_in_which_they_were_scheduled() -> None:
    """Responses are written behind the log's lines because of it."""

    async def play() -> None:
        order: list[int] = []
        loop = asyncio.get_running_loop()
        for number in range(3):
            loop.call_soon(order.append, number)
        await asyncio.sleep(0)
        assert order == [0, 1, 2]

    with asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(play())
