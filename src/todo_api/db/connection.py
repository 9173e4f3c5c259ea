"""One connection to PostgreSQL, shared by many requests at once through libpq's pipeline mode.

Each transaction is two statements (the preamble, then the request's own) and a Sync. PostgreSQL
runs what stands between two Syncs as one implicit transaction, so a failure rolls back that request
and no other. For a server that needs it, BEGIN and COMMIT stand around them, in the same round
trip. Sending never waits for an answer; answers come back in the order of sending, which is why a
queue of what is pending is all the book-keeping there is.

Short reads that are sent in one event-loop iteration share a Sync, maybe with one write behind
them, because a Sync costs a system call on either side. When one fails, what was sent after it is
not carried out and sent again, with a Sync of its own.

    submit ──> libpq's output buffer ──> socket ──> PostgreSQL
    future <── head of ``pending``  <── results up to the next Sync

A request that gave up is marked done and stays in the queue until its results have passed, so
nobody else receives them. When the connection is lost, or silent for too long while something is
pending, every pending request fails with ``Lost`` and the caller decides which may be sent again.

Source: PostgreSQL documentation, "Pipeline Mode" (libpq) and "Extended Query" (protocol).
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from psycopg import AsyncConnection, OperationalError, pq
from psycopg.adapt import Transformer

from todo_api.db.errors import Unavailable, from_sqlstate
from todo_api.db.results import Results
from todo_api.db.statements import Statement
from todo_api.db.transaction import Lost, NotSent, Transaction

SWEEP_SECONDS = 0.1
GRACE_SECONDS = 1.5
"""A connection is lost when nothing comes for so long after PostgreSQL should have cancelled a
statement: enough for a commit on a slow disk, and little enough that a frozen primary is left for
another server within 5 s."""

MAX_SHARING = 16
"""How many reads share a Sync: PostgreSQL sends none of their results before it has read the
last."""

# The server does not know a statement that was prepared, or knows it twice: a pooler is in between.
_UNKNOWN_PREPARED = ("26000", "42P05")

_COMMAND_OK = pq.ExecStatus.COMMAND_OK
_BINARY = int(pq.Format.BINARY)


class Connection:
    """An open connection in pipeline mode.

    Args:
        connection: open; it is owned by this object from here on.
        preamble: the statement that begins every transaction; its parameters come with each.
        transaction_block: send each transaction as a block of its own, between BEGIN and COMMIT.
        prepare: keep statements prepared on the server. Not behind a transaction pooler.
        on_lost: called with this connection when it is of no more use; maybe more than once.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        *,
        preamble: Statement,
        transaction_block: bool,
        prepare: bool,
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self._psycopg = connection  # closed when nothing refers to it any more
        self._pq = connection.pgconn
        self._preamble = preamble
        self._transaction_block = transaction_block
        self._prepare = prepare
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._results = Results(self._pq, transaction_block=transaction_block)
        self.pending = self._results.pending
        self._prepared: dict[bytes, bool] = {}  # by name: whether the server has confirmed it
        self._transformer = Transformer()  # of no connection: times come in UTC, whatever the server's zone
        self._sweeper: asyncio.TimerHandle | None = None
        self._sharing = 0  # how many reads wait for a Sync to be sent
        self._writing = False
        self._open = True
        self._socket = self._pq.socket
        self.last_progress = self._loop.time()
        self.exclusive = 0
        """How many of the pending transactions want the connection for themselves."""
        self._pq.nonblocking = 1
        self._pq.enter_pipeline_mode()
        self._loop.add_reader(self._socket, self._read)

    def submit(self, transaction: Transaction) -> None:
        """Send a transaction; its future will hold the rows of its statement.

        The future fails with ``Lost``, ``NotSent``, ``Unavailable`` (time is up, or PostgreSQL said
        so), ``SchemaMissing`` or ``StatementFailed``.
        """
        if not transaction.shares_sync:
            self._end_sharing()
        try:
            if not self.pending:
                self._begin()
            if self._transaction_block:
                self._send_text(transaction, b"BEGIN")
            self._send(transaction, self._preamble, transaction.preamble_parameters)
            self._send(transaction, transaction.statement, transaction.parameters)
            if transaction.shares_sync and transaction.statement.only_reads and self._sharing < MAX_SHARING - 1:
                self._share_sync()
            else:
                self._sync(transaction)
        except OperationalError as error:  # without its Sync, nothing is committed
            transaction.future.set_exception(NotSent("the connection was closed"))
            if transaction.on_end:
                transaction.on_end()
            self._lose(str(error))
            return
        self.pending.append(transaction)
        self.exclusive += transaction.on_end is not None
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        if not self._sharing:
            self._write()

    def close(self) -> None:
        """Close the connection; what is pending fails with ``Lost``."""
        self._lose("closed")

    @property
    def is_sharing(self) -> bool:
        """Whether reads wait for a Sync, so that what is sent now shares it."""
        return self._sharing > 0

    def _share_sync(self) -> None:
        """Leave the Sync to what is sent next, or to the end of this event-loop iteration."""
        if not self._sharing:
            self._loop.call_soon(self._end_sharing)
        self._sharing += 1

    def _end_sharing(self) -> None:
        if not (self._sharing and self._open):
            return
        try:
            self._sync(self.pending[-1])
        except OperationalError as error:
            self._lose(str(error))
        else:
            self._write()

    def _sync(self, last: Transaction) -> None:
        """Send a Sync behind ``last``, for it and all that wait for one."""
        self._sharing = 0
        last.ends_with_sync = True
        self._pq.pipeline_sync()
        if self._transaction_block:
            # Behind the Sync, up to which everything is skipped after a failure: then it rolls
            # back.
            self._send_text(last, b"COMMIT")
            self._pq.pipeline_sync()

    def _begin(self) -> None:
        """Start the clock, and read what came meanwhile.

        A last message, and then that the server closed.

        Raises:
            OperationalError: it did.
        """
        self.last_progress = self._loop.time()
        self._pq.consume_input()
        self._pq.consume_input()

    def _send(self, transaction: Transaction, statement: Statement, parameters: Sequence[bytes | None]) -> None:
        """Send a statement: by its name once the server has confirmed that, as text until then."""
        name = statement.name
        confirmed = self._prepared.get(name)
        if confirmed is None and self._prepare:
            self._prepared[name] = False
            transaction.sent.append(name)
            self._pq.send_prepare(name, statement.sql)
            confirmed = True  # or this very transaction fails, and no other
        transaction.sent.append(None)
        if confirmed and self._prepare:
            self._pq.send_query_prepared(name, parameters, None, _BINARY)
        else:
            self._pq.send_query_params(statement.sql, parameters, None, None, _BINARY)

    def _send_text(self, transaction: Transaction, command: bytes) -> None:
        """Send a command that is never prepared.

        A pooler must not come between it and its transaction.
        """
        transaction.sent.append(None)
        self._pq.send_query_params(command, None)

    def _write(self) -> None:
        """Hand to the socket what it takes; come back when it takes more."""
        try:
            more = self._pq.flush() == 1
        except OperationalError as error:
            self._lose(str(error))
            return
        if more and not self._writing:
            self._loop.add_writer(self._socket, self._write)
        elif self._writing and not more:
            self._loop.remove_writer(self._socket)
        self._writing = more

    def _read(self) -> None:
        self.last_progress = self._loop.time()
        self._take_in()

    def _take_in(self) -> None:
        try:
            self._pq.consume_input()
            if self._writing:
                self._write()
            for transaction in self._results.take():
                self._finish(transaction)
        except OperationalError as error:
            self._lose(str(error))

    def _end(self, transaction: Transaction) -> None:
        if transaction.on_end:
            self.exclusive -= 1
            transaction.on_end()

    def _finish(self, transaction: Transaction) -> None:
        self._end(transaction)
        missing = transaction.error in _UNKNOWN_PREPARED
        if missing:
            self._prepare = False
        elif transaction.outdated:
            self._retire()
        for name, status in zip(transaction.sent, transaction.statuses, strict=False):
            if name is not None and status == _COMMAND_OK:
                self._prepared[name] = True
            elif name is not None:
                del self._prepared[name]
        if transaction.future.done():
            return
        if transaction.result is not None and not transaction.error:
            self._transformer.set_pgresult(transaction.result)
            rows = self._transformer.load_rows(0, transaction.result.ntuples, tuple)
            transaction.future.set_result(rows)
        elif not transaction.error:  # every statement of ours answers rows
            transaction.future.set_exception(NotSent("one before it failed"))
        elif missing or transaction.outdated:
            transaction.future.set_exception(NotSent(f"SQLSTATE {transaction.error}"))
        else:
            transaction.future.set_exception(from_sqlstate(transaction.error))

    def _retire(self) -> None:
        """Take no more requests, and close when those under way are answered."""
        self._on_lost(self)
        if self.pending:
            self._loop.call_later(SWEEP_SECONDS, self._retire)
        else:
            self._lose("outdated")

    def _sweep(self) -> None:
        """Fail what has waited too long, and give up a connection on which nothing moves.

        Read as well: uvloop reports a reset once, and then only the server's last message may have
        been read.
        """
        self._sweeper = None
        now = self._loop.time()
        self._take_in()
        for transaction in self.pending:
            if transaction.deadline <= now and not transaction.future.done():
                transaction.future.set_exception(Unavailable("no answer in time"))
        if self.pending and now - self.last_progress > self.pending[0].statement_seconds + GRACE_SECONDS:
            self._lose("no answer in time")
        elif self.pending:
            self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _lose(self, reason: str) -> None:
        if not self._open:
            return
        self._open = False
        self._on_lost(self)
        if self._sweeper is not None:
            self._sweeper.cancel()
        lost = Lost(reason.partition("\n")[0])
        while self.pending:
            transaction = self.pending.popleft()
            self._end(transaction)
            if not transaction.future.done():
                transaction.future.set_exception(lost)
        for forget in (self._loop.remove_reader, self._loop.remove_writer):
            with suppress(OSError):  # libpq may have closed the socket already
                forget(self._socket)
        self._pq.finish()
