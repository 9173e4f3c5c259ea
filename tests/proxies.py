"""A TCP proxy in front of PostgreSQL that counts round trips and plays the faults of a network."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from tests.harness import PATIENCE_SECONDS

CHUNK = 65536
MAX_HELD = 64
"""Pieces of one direction that wait to be forwarded; beyond them, nothing is read."""

Address = str | tuple[str, int]
"""A Unix socket's path, or host and port."""


class Proxy:
    """Listens on loopback in a thread of its own and forwards to ``target``.

    ``accepted`` counts connections, ``round_trips`` how often an answer began after something was
    asked, ``asked_bytes`` what clients have sent, forwarded or not yet, ``answered_bytes`` what was
    forwarded to them; all only grow.
    """

    def __init__(self, target: Address, *, port: int = 0) -> None:
        self.target = target
        self.port = port
        self.accepted = 0
        self.round_trips = 0
        self.asked_bytes = 0
        self.answered_bytes = 0
        self.delay_seconds = 0.0
        self.rejecting = False
        self._answer_bytes_left: int | None = None
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._server: asyncio.Server | None = None

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self._call(self._listen())

    def stop(self) -> None:
        """Cut everything and stop listening."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    def silence(self) -> None:
        """Accept and keep connections, and forward nothing."""
        self._call(self._set_flowing(False))

    def resume(self) -> None:
        """Forward again, what was held back first."""
        self._call(self._set_flowing(True))

    def lose(self) -> None:
        """Let the present connections stay silent for ever, and forward those that come."""
        self._call(self._lose())

    def cut(self) -> None:
        """Cut all connections now."""
        self._call(self._cut())

    def cut_after(self, answer_bytes: int) -> None:
        """Cut all connections as soon as the server has answered so many bytes more."""
        self._answer_bytes_left = answer_bytes

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._cut()

    async def _set_flowing(self, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _lose(self) -> None:
        for link in self._links:
            link.flowing = asyncio.Event()

    async def _cut(self) -> None:
        links = list(self._links)
        for link in links:
            link.task.cancel()
        await asyncio.gather(*(link.task for link in links), return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.rejecting:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        link = _Link(task, self._flowing)
        self._links.add(link)
        writers = [writer]
        try:
            server_reader, server_writer = await self._connect()
            writers.append(server_writer)
            await _first_done(
                self._pump(link, reader, server_writer, self._note_asked),
                self._pump(link, server_reader, writer, self._note_answered),
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._links.discard(link)
            for end in writers:
                end.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, str):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection(*self.target)

    async def _pump(
        self,
        link: "_Link",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        note: Callable[["_Link", bytes], bytes],
    ) -> None:
        """Forward one direction, each piece ``delay_seconds`` after it came, in order."""
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MAX_HELD)
        asking = note == self._note_asked

        async def forward() -> None:
            while True:
                due, piece = await held.get()
                await asyncio.sleep(due - self._loop.time())
                await link.flowing.wait()
                if not piece:
                    return
                allowed = note(link, piece)
                writer.write(allowed)
                await writer.drain()
                if len(allowed) < len(piece):
                    await asyncio.sleep(0)
                    self._loop.create_task(self._cut())
                    return

        async def receive() -> None:
            piece = b"more"
            while piece:
                piece = await reader.read(CHUNK)
                if asking:
                    self.asked_bytes += len(piece)
                await held.put((self._loop.time() + self.delay_seconds, piece))
            await asyncio.Event().wait()

        await _first_done(receive(), forward())

    def _note_asked(self, link: "_Link", piece: bytes) -> bytes:
        link.asked = True
        return piece

    def _note_answered(self, link: "_Link", piece: bytes) -> bytes:
        self.round_trips += link.asked
        link.asked = False
        self.answered_bytes += len(piece)
        if self._answer_bytes_left is None:
            return piece
        allowed = piece[: self._answer_bytes_left]
        self._answer_bytes_left -= len(allowed)
        if len(allowed) < len(piece):
            self._answer_bytes_left = None
        return allowed


class _Link:
    """One connection through the proxy."""

    def __init__(self, task: asyncio.Task[Any], flowing: asyncio.Event) -> None:
        self.task = task
        self.flowing = flowing
        self.asked = False


async def _first_done(*works: Awaitable[None]) -> None:
    """Run them together until one ends; end the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


def address_of(url: str) -> Address:
    """Where the PostgreSQL of a URL listens: the path of its Unix socket, or its host and port."""
    parts = conninfo_to_dict(url)
    host, port = str(parts["host"]), int(parts.get("port") or 5432)
    return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)


def url_through(port: int, url: str) -> str:
    """The same database, reached over a port of loopback, by the same application name."""
    parts = conninfo_to_dict(url)
    query = f"?application_name={parts['application_name']}" if "application_name" in parts else ""
    return f"postgresql://postgres@127.0.0.1:{port}/{parts['dbname']}{query}"


@contextmanager
def proxying(url: str, *, port: int = 0) -> Iterator[Proxy]:
    """A running proxy in front of the PostgreSQL that ``url`` names."""
    proxy = Proxy(address_of(url), port=port)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
