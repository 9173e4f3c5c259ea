"""A few pipelined connections, opened when requests need them and replaced when they are lost.

No request waits for a free connection: it is sent over the least loaded one. Nothing runs on its own,
neither a ping nor a reconnect, so a database that went to sleep stays asleep until someone asks.
"""

import asyncio
import logging
import random
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from todo_api.db.connection import Connection, Lost, NotSent, Transaction
from todo_api.db.errors import Unavailable
from todo_api.db.statements import Row, Statement, Value

BUSY = 2
"""Pending transactions on the least loaded connection from which one more connection is worth opening."""

IDLE_SECONDS = 240.0
"""A connection unused for so long is replaced before use: serverless databases drop them after 300 s."""

STUCK_SECONDS = 0.7
"""An attempt to connect that takes so long may be stuck: another one is made beside it."""

MIN_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.05, 0.5

PREAMBLE_BINDS = ("owner", "statement_timeout_milliseconds")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much, and how long. Seconds unless the name says otherwise."""

    connections: int = 4
    connect_timeout_seconds: int = 15
    wait_seconds: float = 4.5
    statement_timeout_milliseconds: int = 3000
    pending: int = 4096


class Pool:
    """Runs compiled statements, each in a transaction of its own, as the user it is for.

    To be made inside the event loop that it will run in.

    Args:
        url: what libpq understands; libpq opens the connection, TLS and channel binding included.
        preamble: begins every transaction; binds ``PREAMBLE_BINDS``, in this order.
        application_name: what PostgreSQL shows, unless the URL says otherwise.
        pooled: a transaction pooler is in between, so nothing is prepared on the server.
        limits: connections, times and queue length.
    """

    def __init__(
        self,
        url: str,
        *,
        preamble: Statement,
        application_name: str,
        pooled: bool = False,
        limits: Limits = Limits(),
    ) -> None:
        if preamble.binds != PREAMBLE_BINDS:
            raise ValueError(f"the preamble must bind {PREAMBLE_BINDS}, in this order")
        self._conninfo = _with_defaults(url, application_name, limits)
        self._preamble = preamble
        self._pooled = pooled
        self._limits = limits
        # With room for one attempt only, a new one ends the one before, so that gets as long as a request waits.
        self._stuck_seconds = STUCK_SECONDS if limits.connections > 1 else limits.wait_seconds
        self._timeout = str(limits.statement_timeout_milliseconds).encode()
        self._connections: list[Connection] = []
        self._loop = asyncio.get_running_loop()
        self._attempts: list[asyncio.Task[Connection]] = []
        self._newest_attempt_at = 0.0
        self._backoff_seconds = 0.0
        self._under_way = 0
        self._closed = False

    async def run(self, statement: Statement, owner: str, **values: Value) -> list[Row]:
        """Run one statement in one transaction and one round trip; its rows, as Python values.

        ``owner`` is who the transaction is for: row-level security shows it that user's rows alone,
        and the statement's bind of that name gets it. A statement whose connection is lost is sent again
        on another one if it is repeatable; any other may have been carried out.

        Raises:
            Unavailable: the database cannot be reached, is too slow, too busy, or the queue is full.
            SchemaMissing: the database is not migrated.
            StatementFailed: PostgreSQL refused the statement.
        """
        if self._under_way >= self._limits.pending:
            raise Unavailable("too many statements under way")
        values["owner"] = owner
        parameters = statement.parameters(values)
        preamble_parameters = (owner.encode(), self._timeout)
        deadline = self._loop.time() + self._limits.wait_seconds
        # When the server goes, all connections go: each try meets at most one that has not noticed yet.
        tries = self._limits.connections + 1
        self._under_way += 1
        try:
            while True:
                tries -= 1
                connection = self._least_loaded()
                if connection is None:
                    connection = await self._opened(deadline)
                future: asyncio.Future[list[Row]] = self._loop.create_future()
                connection.submit(Transaction(statement, parameters, preamble_parameters, future, deadline))
                try:
                    return await future
                except NotSent as error:
                    if not tries:  # pragma: no cover - the server would have to hang up on each just before its use
                        raise Unavailable(error.reason) from None
                except Lost:
                    if not (tries and statement.repeatable):
                        raise
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        """Close every connection; what is pending fails."""
        self._closed = True
        for attempt in self._attempts:
            attempt.cancel()
        if self._attempts:
            await asyncio.wait(self._attempts)
        for connection in list(self._connections):
            connection.close()

    def _least_loaded(self) -> Connection | None:
        """The connection with the fewest pending, or None; starts opening one more when all are busy."""
        if not self._connections:
            return None
        connection = min(self._connections, key=_load)
        pending = _load(connection)
        if not pending and self._loop.time() - connection.last_progress > IDLE_SECONDS:
            connection.close()
            return self._least_loaded()
        if pending >= BUSY and len(self._connections) + len(self._attempts) < self._limits.connections:
            self._open_one()
        return connection

    async def _opened(self, deadline: float) -> Connection:
        """Wait for a connection that is being opened, together with all others that wait for it."""
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

    def _open_beside(self) -> None:
        """Try once more while others try; the first may be waking the database, so it is never given up."""
        if len(self._attempts) >= self._limits.connections:
            self._attempts[min(1, self._limits.connections - 1)].cancel()
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
            prepare=not self._pooled,
            stall_seconds=self._limits.statement_timeout_milliseconds / 1000 + 0.5,
            on_lost=self._forget,
        )
        self._connections.append(connection)
        return connection

    def _forget(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)


def _load(connection: Connection) -> int:
    return len(connection.pending)


def _with_defaults(url: str, application_name: str, limits: Limits) -> str:
    """The URL, with parameters it does not name: above all, a peer that vanished is noticed in seconds."""
    defaults: dict[str, str | int] = {
        "application_name": application_name,
        "client_encoding": "UTF8",
        "connect_timeout": limits.connect_timeout_seconds,
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 5000,
    }
    return make_conninfo("", **{**defaults, **conninfo_to_dict(url)})
