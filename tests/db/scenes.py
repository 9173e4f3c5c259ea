"""What tests of the database path share.

A database for one block, ad-hoc statements, a look from outside.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import BigInteger, Float, Text, bindparam, cast, func, literal_column, select
from sqlmodel import select as select_rows

from todo_api import queries
from todo_api.db import Limits, Pool, Row, compile_statement
from todo_api.models import Task
from todo_api.server.event_loop import EventLoop

PATIENCE_SECONDS = 30.0
SCENE_SECONDS = 60.0

PREAMBLE = compile_statement(queries.TRANSACTION_PREAMBLE)
INSERT = compile_statement(queries.INSERT_TASK)
INSERT_ONCE = compile_statement(queries.INSERT_TASK_ONCE, repeatable=True)
SELECT = compile_statement(queries.SELECT_TASK)
LIST = compile_statement(queries.select_tasks())
UPDATE = compile_statement(queries.UPDATE_TASK)
UPDATE_UNCHANGED = compile_statement(queries.UPDATE_UNCHANGED_TASK)
COMPLETE = compile_statement(queries.COMPLETE_TASK)
COMPLETE_UNCHANGED = compile_statement(queries.COMPLETE_UNCHANGED_TASK)
DELETE = compile_statement(queries.DELETE_TASK)
DELETE_UNCHANGED = compile_statement(queries.DELETE_UNCHANGED_TASK)
EVERY_TASK = compile_statement(select_rows(Task))

ECHO = compile_statement(select(bindparam("value", type_=Text)))
BACKEND = compile_statement(select(func.pg_backend_pid()))
DIVIDE = compile_statement(select(literal_column("100") / bindparam("by", type_=BigInteger)))
SLEEP = compile_statement(
    select(
        bindparam("value", type_=Text),
        cast(func.pg_sleep(cast(bindparam("seconds", type_=Text), Float)), Text),
    ),
    generic_plan=False,
)
"""Binds ``value``, which it answers, and ``seconds``, a number in a string."""
WAIT = compile_statement(
    select(cast(func.pg_advisory_xact_lock_shared(bindparam("lock", type_=BigInteger)), Text)), generic_plan=False
)


Loop = Callable[[], asyncio.AbstractEventLoop]
either_loop = pytest.mark.parametrize("loop", [asyncio.new_event_loop, EventLoop], ids=["asyncio", "uvloop"])


def play(scene: Coroutine[Any, Any, None], loop: Loop = EventLoop) -> None:
    """Run a scene in an event loop of its own.

    One that hangs fails, and so does one whose callbacks raise.
    """
    faults: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, fault: faults.append(fault))
        runner.run(asyncio.wait_for(scene, SCENE_SECONDS))
    assert faults == []


def new_pool(url: str, **options: Any) -> Pool:
    """A pool as the service makes it; to be closed."""
    return Pool(url, **{"preamble": PREAMBLE, "application_name": "todo-api", **options})


PATIENT = {
    "shared_timeout_milliseconds": 60_000,
    "statement_timeout_milliseconds": 20_000,
    "wait_seconds": PATIENCE_SECONDS,
}


@asynccontextmanager
async def opened(
    url: str, *, pooled: bool = False, transaction_block: bool = False, **limits: Any
) -> AsyncIterator[Pool]:
    """A pool for one block.

    Slow statements may share connections, and machines be slow, unless told otherwise.
    """
    limits = {**PATIENT, **limits}
    database = new_pool(url, pooled=pooled, transaction_block=transaction_block, limits=Limits(**limits))
    try:
        yield database
    finally:
        await database.close()


def new_owner() -> str:
    """A user nobody else in the test run is."""
    return f"user{secrets.token_hex(14)}"


async def insert(database: Pool, owner: str, title: str = "Buy milk", description: str | None = None) -> int:
    """Create a task; its id."""
    rows = await database.run(
        INSERT, owner, email=None, name=None, title=title, description=description, completed=False
    )
    return ids(rows)[0]


async def insert_once(database: Pool, owner: str, key: str, *, title: str = "Buy milk") -> Row:
    """Create a task with a key, as one request does; the row that answers it."""
    rows = await database.run(
        INSERT_ONCE,
        owner,
        key=key,
        payload_digest=title,
        attempt=secrets.token_hex(8),
        email=None,
        name=None,
        title=title,
        description=None,
        completed=False,
    )
    return rows[0]


async def echo(database: Pool, value: str) -> str:
    """What comes back for a value."""
    rows = await database.run(ECHO, "someone", value=value)
    answer: str = rows[0][0]
    return answer


async def sleep(database: Pool, seconds: float, value: str = "") -> str:
    """What comes back for a value after a while."""
    rows = await database.run(SLEEP, "someone", value=value, seconds=str(seconds))
    answer: str = rows[0][0]
    return answer


async def warm(database: Pool, connections: int) -> None:
    """Have so many connections open, idle and prepared."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(database._connector.connections) < connections:
            works = [sleep(database, 0.01) for _ in range(8 * connections)]
            await asyncio.gather(*works, return_exceptions=True)  # a busy machine lets some wait for too long
        await asyncio.gather(*(echo(database, "") for _ in range(16 * connections)))


async def until(true: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for a condition without blocking the event loop."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for happens in PostgreSQL
            await asyncio.sleep(0.01)


@contextmanager
def locked(url: str) -> Iterator[int]:
    """An advisory lock that is held for one block, for ``WAIT``."""
    number = secrets.randbits(62)
    with psycopg.connect(url, autocommit=True, application_name="holder") as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [number])
        yield number


def waiting(database: Pool, lock: int, owner: str = "someone") -> asyncio.Task[Any]:
    """A user's statement that takes as long as the lock is held."""
    return asyncio.create_task(database.run(WAIT, owner, lock=lock))


def ids(rows: list[Row]) -> list[int]:
    """The ids of tasks."""
    return [row[0] for row in rows]


class Witness:
    """A superuser's look at the connections that carry one application name."""

    def __init__(self, url: str) -> None:
        self.name = f"app-{secrets.token_hex(8)}"
        self.url = make_conninfo(url, application_name=self.name)
        self._connection = psycopg.connect(url, autocommit=True)

    def close(self) -> None:
        """Stop looking."""
        self._connection.close()

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What a query answers to a superuser."""
        return self._connection.execute(query, parameters).fetchall()

    def connections(self) -> int:
        """How many are open."""
        found = self.rows("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", self.name)
        return int(found[0][0])

    def running(self, fragment: str) -> int:
        """How many run a statement with this in its text."""
        query = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = %s AND state = 'active' AND position(%s in query) > 0"
        )
        return int(self.rows(query, self.name, fragment)[0][0])

    def waiting(self) -> int:
        """How many wait for a lock."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
        return int(self.rows(query, self.name)[0][0])

    def terminate(self) -> int:
        """End them all and wait until they are gone; how many there were."""
        query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = %s"
        ended = int(self.rows(query, self.name)[0][0])
        give_up = time.monotonic() + PATIENCE_SECONDS
        while self.connections():
            assert time.monotonic() < give_up
        return ended

    def titles(self, owner: str) -> list[str]:
        """The titles of a user's tasks, oldest first."""
        return [row[0] for row in self.rows("SELECT title FROM tasks WHERE user_id = %s ORDER BY id", owner)]


@contextmanager
def witnessing(url: str) -> Iterator[Witness]:
    """A witness for one block."""
    witness = Witness(url)
    try:
        yield witness
    finally:
        witness.close()
