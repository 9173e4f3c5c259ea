"""Which result belongs to which transaction: a connection's results come in the order of sending.

A result comes for each command, and one for each Sync. Between two Syncs PostgreSQL skips every
command after one that fails, which then has a result that says so.

Source: PostgreSQL documentation, "Pipeline Mode" (libpq).
"""

from collections import deque
from collections.abc import Iterator

from psycopg import OperationalError, pq

from todo_api.db.transaction import Transaction

MANY_ROWS = 64
"""A result of more rows is handed over at once, with those before it, so that large ones are not
collected. The others are handed over together: that takes a tenth off the cost of a list."""

_BAD = pq.ConnStatus.BAD
_PIPELINE_SYNC = pq.ExecStatus.PIPELINE_SYNC


class Results:
    """Takes the results of a connection.

    Args:
        connection: libpq's, in pipeline mode.
        transaction_block: each transaction has two Syncs, before and after its COMMIT.
    """

    def __init__(self, connection: pq.abc.PGconn, *, transaction_block: bool) -> None:
        self.pending: deque[Transaction] = deque()
        """What was sent, in this order."""
        self._connection = connection
        self._transaction_block = transaction_block
        self._answered = 0  # how many of the pending have all their results, but not their Sync's

    def take(self) -> Iterator[Transaction]:
        """The transactions that are done by what has come; they are pending no longer.

        Raises:
            OperationalError: the connection was closed.
        """
        pending, connection = self.pending, self._connection
        is_between = False  # commands: None comes after each, and again and again after the last
        while pending and not connection.is_busy():
            result = connection.get_result()
            if result is None:
                if connection.status == _BAD:  # pragma: no cover - what was read before may already have said so
                    raise OperationalError("the connection was closed")
                if is_between:  # the server has ended the connection before the Sync of the pending was sent
                    return
            elif result.status != _PIPELINE_SYNC:
                transaction = self._awaiting()
                transaction.take(result)
                if len(transaction.statuses) == len(transaction.sent):
                    self._answered += 1
                    while result.ntuples > MANY_ROWS and self._answered and self._may_end_early():
                        self._answered -= 1
                        yield pending.popleft()
            elif self._transaction_block and not pending[0].ending:
                pending[0].ending = True
            else:
                done, self._answered = self._answered, 0
                for _ in range(done):
                    yield pending.popleft()
            is_between = result is None

    def _may_end_early(self) -> bool:
        """Whether the first one may be done before its Sync comes.

        The last before a Sync waits for what fails there, and a failure for what it does to the
        connection.
        """
        first = self.pending[0]
        return not (first.error or first.ends_with_sync) and len(self.pending) > 1

    def _awaiting(self) -> Transaction:
        """The transaction that the next result belongs to.

        A commit that fails does so at its Sync, when all commands are answered.
        """
        if self._answered and self.pending[self._answered - 1].ends_with_sync:
            return self.pending[self._answered - 1]
        return self.pending[self._answered]
