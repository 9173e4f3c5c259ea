"""One transaction on its way to PostgreSQL and back, and how it may end without a result."""

import asyncio
from collections.abc import Callable, Sequence

from psycopg import pq

from todo_api.db.errors import DatabaseError, Unavailable
from todo_api.db.statements import Row, Statement


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
    """

    __slots__ = (
        "deadline",
        "ending",
        "error",
        "future",
        "on_end",
        "outdated",
        "parameters",
        "preamble_parameters",
        "result",
        "sent",
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
    ) -> None:
        self.statement = statement
        self.parameters = parameters
        self.preamble_parameters = preamble_parameters
        self.future = future
        self.statement_seconds = statement_seconds
        self.deadline = deadline
        self.on_end = on_end
        self.sent: list[bytes | None] = []  # the name of each Prepare, None for each Execute
        self.statuses: list[int] = []  # what came back for each
        self.result: pq.abc.PGresult | None = None
        self.error = ""
        self.ending = False  # in a transaction block: what comes now is the answer to its COMMIT
        self.outdated = False
