"""One transaction on its way to PostgreSQL and back, and how it may end without a result."""

import asyncio
from collections.abc import Callable, Sequence

from psycopg import pq

from todo_api.db.errors import DatabaseError, Unavailable
from todo_api.db.statements import Row, Statement

# What is prepared would answer other types than when it was prepared: a migration came in between.
# Other features that are "not supported" have the same SQLSTATE; the C function that complains
# tells them apart.
_OUTDATED = ("0A000", b"RevalidateCachedQuery")

# A COMMIT that fails may have been carried out on another server: transaction_resolution_unknown.
_OUTCOME_UNKNOWN = "08007"

_TUPLES_OK = pq.ExecStatus.TUPLES_OK
_FATAL_ERROR = pq.ExecStatus.FATAL_ERROR


class Lost(Unavailable):
    """The connection went away with the statement under way.

    Whether it was carried out is unknown.
    """


class NotSent(DatabaseError):
    """The statement was not carried out.

    The connection was gone before, or the server did not know it.
    """


class Transaction:
    """A preamble and a statement: parameters going out, ``future`` coming back.

    Args:
        preamble_parameters: for the preamble of the connection that it is sent over.
        statement_seconds: after which PostgreSQL cancels the statement, as the preamble tells it.
        deadline: a time of the event loop; after it ``future`` fails, whatever PostgreSQL does.
        on_end: given for a transaction that wants the connection for itself: nothing should be sent
            after it until ``on_end`` is called. That happens once, when PostgreSQL has done with it
            or the connection is lost, whether or not anybody still waits.
        shares_sync: whether it may share a Sync with others: it takes little time, and may be sent
            again when one before it has failed.
    """

    __slots__ = (
        "deadline",
        "ending",
        "ends_with_sync",
        "error",
        "future",
        "on_end",
        "outdated",
        "parameters",
        "preamble_parameters",
        "result",
        "sent",
        "shares_sync",
        "statement",
        "statement_seconds",
        "statuses",
    )

    def __init__(
        self,
        statement: Statement,
        parameters: Sequence[bytes | None],
        preamble_parameters: Sequence[bytes | None],
        *,
        future: asyncio.Future[list[Row]],
        statement_seconds: float,
        deadline: float,
        on_end: Callable[[], None] | None = None,
        shares_sync: bool = False,
    ) -> None:
        self.statement = statement
        self.parameters = parameters
        self.preamble_parameters = preamble_parameters
        self.future = future
        self.statement_seconds = statement_seconds
        self.deadline = deadline
        self.on_end = on_end
        self.shares_sync = shares_sync
        self.ends_with_sync = False  # whether its Sync is sent, and it is the last one before it
        self.sent: list[bytes | None] = []  # the name of each Prepare, None for each Execute
        self.statuses: list[int] = []  # what came back for each
        self.result: pq.abc.PGresult | None = None
        self.error = ""
        self.ending = False  # in a transaction block: what comes now is the answer to its COMMIT
        self.outdated = False

    def take(self, result: pq.abc.PGresult) -> None:
        """Take in the result of the next of its commands."""
        status = result.status
        self.statuses.append(status)
        if status == _TUPLES_OK:
            self.result = result
        elif status == _FATAL_ERROR:
            sqlstate = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"08006").decode()
            self.error = _OUTCOME_UNKNOWN if self.ending else sqlstate
            function = result.error_field(pq.DiagnosticField.SOURCE_FUNCTION)
            self.outdated = (self.error, function) == _OUTDATED
