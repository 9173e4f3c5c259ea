"""Runs statements over a few shared connections; no user's delay those of others for long.

No request waits for a free connection: its statement is sent over the least loaded one, where
PostgreSQL runs it after those that were sent before. Therefore a shared connection gives each
statement little time: ``shared_timeout_milliseconds`` of PostgreSQL's own statement timeout. A
statement that needs more is cancelled and rolled back by PostgreSQL, whatever it did, and is run
again with the full timeout on a connection to which nothing else is sent meanwhile. At most half of
the connections are used in this way, and a user who has needed one, or has read a large result, is
*heavy* for a while: see ``heavy_users``.
"""

import asyncio
from dataclasses import dataclass

from todo_api.db.connector import Connector, Limits
from todo_api.db.errors import StatementCancelled, Unavailable
from todo_api.db.heavy_users import HeavyUser, HeavyUsers, acquire
from todo_api.db.statements import Row, Statement, Value
from todo_api.db.transaction import Lost, NotSent, Transaction

PREAMBLE_BINDS = ("owner", "statement_timeout_milliseconds", "plan_cache_mode")

MANY_ROWS, LARGE_CHARACTERS = 64, 2**18
"""A result of more rows and more text than this is large: it occupies the event loop for
milliseconds."""


@dataclass(slots=True)  # not frozen, which would triple what making one costs
class Call:
    """What one caller of ``Pool.run`` wants, until ``deadline``, a time of the event loop."""

    statement: Statement
    parameters: list[bytes | None]
    owner: bytes
    deadline: float


class Pool:
    """Runs compiled statements, each in a transaction of its own, as the user it is for.

    To be made inside the event loop that it will run in.

    Args:
        url: what libpq understands; libpq opens the connection, TLS and channel binding included.
        preamble: begins every transaction; binds ``PREAMBLE_BINDS``, in this order.
        transaction_block: send each transaction as a block of its own, between BEGIN and COMMIT, in
            one round trip as before. A server that passes statements on to others may need it;
            PostgreSQL itself does not.
        application_name: what PostgreSQL shows, unless the URL says otherwise.
        pooled: a transaction pooler is in between, so nothing is prepared on the server.
        limits: connections, times and queue length.
    """

    def __init__(
        self,
        url: str,
        *,
        preamble: Statement,
        transaction_block: bool = False,
        application_name: str,
        pooled: bool = False,
        limits: Limits = Limits(),
    ) -> None:
        if preamble.binds != PREAMBLE_BINDS:
            raise ValueError(f"the preamble must bind {PREAMBLE_BINDS}, in this order")
        self._connector = Connector(
            url,
            preamble=preamble,
            transaction_block=transaction_block,
            application_name=application_name,
            pooled=pooled,
            limits=limits,
        )
        self._limits = limits
        self._shared_timeout = _timeout(min(limits.shared_timeout_milliseconds, limits.statement_timeout_milliseconds))
        self._exclusive = asyncio.Semaphore(max(1, limits.connections // 2))
        self._heavy_users = HeavyUsers()
        self._loop = asyncio.get_running_loop()
        self._under_way = 0
        self._shares_syncs = not transaction_block

    @property
    def login(self) -> str:
        """The user that the URL names; '' where it names none."""
        return self._connector.login

    async def run(self, statement: Statement, owner: str, **values: Value) -> list[Row]:
        """Run one statement in one transaction and one round trip; its rows, as Python values.

        ``owner`` is who the transaction is for: row-level security shows it that user's rows alone,
        and the statement's bind of that name gets it. A statement whose connection is lost is sent
        again on another one if it is repeatable; any other may have been carried out.

        Raises:
            Unavailable: the database cannot be reached, is too slow, too busy, or the queue is
                full.
            SchemaMissing: the database is not migrated.
            StatementFailed: PostgreSQL rejected the statement.
        """
        if self._under_way >= self._limits.pending:
            raise Unavailable("too many statements under way")
        values["owner"] = owner
        deadline = self._loop.time() + self._limits.wait_seconds
        call = Call(statement, statement.parameters(values), owner.encode(), deadline)
        self._under_way += 1
        try:
            user = self._heavy_users.get(call.owner)
            if user is None:
                try:
                    return await self._run_once(call, share_sync=self._shares_syncs and statement.is_short)
                except StatementCancelled:
                    user = self._heavy_users.add(call.owner, slow=True)
            return await self._run_heavy(call, user)
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        """Close every connection; what is pending fails."""
        await self._connector.close()

    async def _run_heavy(self, call: Call, user: HeavyUser) -> list[Row]:
        async with user.one_at_a_time(call.deadline):
            if not user.slow:
                try:
                    return await self._run_once(call)
                except StatementCancelled:
                    self._heavy_users.add(call.owner, slow=True)
            started = self._loop.time()
            rows = await self._run_once(call, alone=True)
            if self._loop.time() - started < self._shared_timeout[1]:
                user.forgive()  # a machine that was busy, or a cold cache, made it slow before
            return rows

    async def _run_once(self, call: Call, *, alone: bool = False, share_sync: bool = False) -> list[Row]:
        """Run a statement; once, unless a connection is lost.

        ``alone`` is on a connection without others, ``share_sync`` if need be behind the same Sync.
        """
        # When the server goes, all connections go: each try meets at most one that has not noticed
        # yet.
        tries = self._limits.connections + 1
        while True:
            tries -= 1
            if alone:
                transaction = await self._send_alone(call)
            else:
                connection = self._connector.sharing() if share_sync else None
                connection = connection or self._connector.least_loaded() or await self._connector.opened(call.deadline)
                transaction = self._transaction(call, *self._shared_timeout, shares_sync=share_sync)
                share_sync = False  # sent again, it waits for nothing
                connection.submit(transaction)
            try:
                rows = await transaction.future
            except NotSent as error:
                if not tries:  # pragma: no cover - the server would have to hang up on each just before its use
                    raise Unavailable(error.reason) from None
            except Lost:
                if not (tries and call.statement.repeatable):
                    raise
            else:
                if len(rows) > MANY_ROWS and _is_large(rows):
                    self._heavy_users.add(call.owner, slow=False)
                return rows

    async def _send_alone(self, call: Call) -> Transaction:
        await acquire(self._exclusive, call.deadline)
        connection = None
        try:
            connection = await self._connector.spare(call.deadline)
        finally:
            if connection is None:
                self._exclusive.release()
        # Nobody waits for it after the deadline, so PostgreSQL need not go on.
        left = max(1, round((call.deadline - self._loop.time()) * 1000))
        transaction = self._transaction(call, *_timeout(min(left, self._limits.statement_timeout_milliseconds)))
        transaction.on_end = self._exclusive.release
        connection.submit(transaction)
        return transaction

    def _transaction(self, call: Call, timeout: bytes, seconds: float, *, shares_sync: bool = False) -> Transaction:
        return Transaction(
            call.statement,
            call.parameters,
            (call.owner, timeout, call.statement.plan_cache_mode),
            future=self._loop.create_future(),
            statement_seconds=seconds,
            deadline=call.deadline,
            shares_sync=shares_sync,
        )


def _timeout(milliseconds: int) -> tuple[bytes, float]:
    """A statement timeout as the preamble takes it, and in seconds."""
    return b"%d" % milliseconds, milliseconds / 1000


def _is_large(rows: list[Row]) -> bool:
    return sum([len(value) for row in rows for value in row if isinstance(value, str)]) > LARGE_CHARACTERS
