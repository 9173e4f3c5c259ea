"""Opens connections when requests need them, and replaces those that are lost.

Nothing here runs on its own, neither a ping nor a reconnect, so a database that went to sleep stays
asleep until a request needs it.
"""

import asyncio
import logging
import random
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from todo_api.db.connection import Connection
from todo_api.db.errors import Unavailable
from todo_api.db.statements import Statement

BUSY = 2
"""Pending transactions on the least loaded connection from which one more connection is worth
opening."""

IDLE_SECONDS = 240.0
"""A connection unused for so long is replaced before use: serverless databases drop them after 300
s."""

STUCK_SECONDS = 0.7
"""An attempt to connect that takes so long may be stuck: another one is made beside it."""

EXCLUSIVE_LOAD = 1_000_000
"""A connection that one user has exclusively is used only when there is no other."""

MAX_SECONDS_PER_HOST = 2
"""How long an attempt waits for each of several hosts: they are tried one after another, and the
first may be a primary that has frozen, while a server that sleeps and takes longer to wake has one
address."""

MIN_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.05, 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much, and how long. Seconds unless the name says otherwise."""

    connections: int = 4
    connect_timeout_seconds: int = 15
    wait_seconds: float = 4.5
    statement_timeout_milliseconds: int = 3000
    shared_timeout_milliseconds: int = 25
    pending: int = 4096


class Connector:
    """The open connections of one pool, and the attempts to open more.

    Args:
        url: what libpq understands; libpq opens the connection, TLS and channel binding included.
        preamble: begins every transaction.
        transaction_block: send each transaction as a block of its own, between BEGIN and COMMIT.
        application_name: what PostgreSQL shows, unless the URL says otherwise.
        pooled: a transaction pooler is in between, so nothing is prepared on the server.
        limits: how many connections, and the times.
    """

    def __init__(
        self,
        url: str,
        *,
        preamble: Statement,
        transaction_block: bool,
        application_name: str,
        pooled: bool,
        limits: Limits,
    ) -> None:
        self._conninfo = _with_defaults(url, application_name, limits)
        self.login = str(conninfo_to_dict(self._conninfo).get("user") or "")
        self._preamble = preamble
        self._transaction_block = transaction_block
        self._pooled = pooled
        self._limits = limits
        # With room for one attempt only, a new one ends the one before, so that gets as long as a
        # request waits.
        self._stuck_seconds = STUCK_SECONDS if limits.connections > 1 else limits.wait_seconds
        self._loop = asyncio.get_running_loop()
        self.connections: list[Connection] = []
        self._attempts: list[asyncio.Task[Connection]] = []
        self._newest_attempt_at = 0.0
        self._backoff_seconds = 0.0
        self._closed = False

    async def close(self) -> None:
        """Close every connection; what is pending fails."""
        self._closed = True
        for attempt in self._attempts:
            attempt.cancel()
        if self._attempts:
            await asyncio.wait(self._attempts)
        for connection in list(self.connections):
            connection.close()

    def sharing(self) -> Connection | None:
        """The connection on which reads wait for a Sync, or None."""
        for connection in self.connections:
            if connection.is_sharing:
                return connection
        return None

    def least_loaded(self) -> Connection | None:
        """The connection with the fewest pending, or None.

        Starts opening one more when all are busy.
        """
        if not self.connections:
            return None
        connection = min(self.connections, key=_load)
        load = _load(connection)
        if not load and self._loop.time() - connection.last_progress > IDLE_SECONDS:
            connection.close()
            return self.least_loaded()
        if load >= BUSY and self._room > len(self._attempts):
            self._open_one()
        return connection

    async def spare(self, deadline: float) -> Connection:
        """A connection that others can do without.

        There is another one for them, unless that cannot be had.

        Raises:
            Unavailable: there is none at all by ``deadline``, a time of the event loop.
        """
        while True:
            free = [connection for connection in self.connections if not connection.exclusive]
            if len(free) > 1 or (free and not self._room):
                return min(free, key=_load)
            try:
                await self.opened(deadline)
            except Unavailable:
                if not self.connections:
                    raise
                return min(self.connections, key=_load)

    async def opened(self, deadline: float) -> Connection:
        """Wait for a connection that is being opened, together with all others that wait for it.

        Raises:
            Unavailable: no attempt has succeeded by ``deadline``, or the last one has failed.
        """
        if not self._attempts:
            self._open_one()
        while waiting := [attempt for attempt in self._attempts if not attempt.done()]:
            now = self._loop.time()
            stuck_at = self._newest_attempt_at + self._stuck_seconds
            if now >= deadline:
                raise Unavailable("no connection in time")
            if now >= stuck_at:
                self._open_beside()
                continue
            left = min(deadline, stuck_at) - now
            done, _ = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                if not attempt.cancelled() and attempt.exception() is None:
                    return attempt.result()
        raise Unavailable("no attempt to connect succeeded")

    @property
    def _room(self) -> int:
        """How many more connections there may be, attempts not counted."""
        return self._limits.connections - len(self.connections)

    def _open_beside(self) -> None:
        """Try once more while others try.

        The first may be waking the database, so it is never given up.
        """
        room = max(1, self._room)
        if len(self._attempts) >= room:
            self._attempts[min(1, room - 1)].cancel()
        self._open_one()

    def _open_one(self) -> None:
        if self._closed:
            raise Unavailable("shutting down")
        self._newest_attempt_at = self._loop.time()
        attempt = asyncio.create_task(self._connect())
        self._attempts.append(attempt)
        attempt.add_done_callback(self._after_attempt)

    def _after_attempt(self, attempt: asyncio.Task[Connection]) -> None:
        self._attempts.remove(attempt)
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            longer = min(self._backoff_seconds * 2, MAX_BACKOFF_SECONDS) or MIN_BACKOFF_SECONDS
            self._backoff_seconds = longer
            log.warning("database connection failed", extra={"reason": str(error)})

    async def _connect(self) -> Connection:
        await asyncio.sleep(self._backoff_seconds * random.uniform(0.5, 1))  # noqa: S311 - jitter is no secret
        try:
            opened = await psycopg.AsyncConnection.connect(self._conninfo)
        except (psycopg.Error, OSError, UnicodeError) as error:
            raise Unavailable(str(error).partition("\n")[0]) from None
        self._backoff_seconds = 0.0
        connection = Connection(
            opened,
            preamble=self._preamble,
            transaction_block=self._transaction_block,
            prepare=not self._pooled,
            on_lost=self._forget,
        )
        self.connections.append(connection)
        return connection

    def _forget(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)


def _load(connection: Connection) -> int:
    return EXCLUSIVE_LOAD if connection.exclusive else len(connection.pending)


def _with_defaults(url: str, application_name: str, limits: Limits) -> str:
    """The URL, with parameters it does not name.

    Above all, a peer that vanished is noticed in seconds.
    """
    given = conninfo_to_dict(url)
    one_host = "," not in str(given.get("hostaddr") or given.get("host") or "")
    patience = limits.connect_timeout_seconds
    defaults: dict[str, str | int] = {
        "application_name": application_name,
        "client_encoding": "UTF8",
        "connect_timeout": patience if one_host else min(patience, MAX_SECONDS_PER_HOST),
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 5000,
    }
    return make_conninfo("", **{**defaults, **given})
