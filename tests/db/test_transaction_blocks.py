"""Transactions between BEGIN and COMMIT, for servers that need it.

They still take one round trip, and no statement disturbs another.
"""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from tests.db.scenes import (
    DIVIDE,
    EVERY_TASK,
    Witness,
    echo,
    ids,
    insert,
    locked,
    new_owner,
    opened,
    play,
    waiting,
    warm,
    witnessing,
)
from tests.pooler import PGBOUNCER, pooling
from tests.proxies import proxying, url_through
from todo_api.db import StatementFailed, Unavailable

FAIL_AT_COMMIT = """
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now' USING ERRCODE = '57014'; END $$;
    CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON tasks DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.title = 'Fail') EXECUTE FUNCTION fail();
"""


@pytest.fixture
def witness(worker_database: str) -> Iterator[Witness]:
    with witnessing(worker_database) as witness:
        yield witness


def states(witness: Witness) -> set[str]:
    """What the connections of a test do, as PostgreSQL shows it."""
    return {
        state
        for (state,) in witness.rows("SELECT state FROM pg_stat_activity WHERE application_name = %s", witness.name)
    }


def test_each_operation_takes_one_round_trip(worker_database: str) -> None:
    async def scene() -> None:
        async with opened(url_through(proxy.port, worker_database), transaction_block=True, connections=1) as database:
            owner = new_owner()
            await insert(database, owner)
            proxy.delay_seconds = 0.05  # both Syncs are on their way before the first one's answer comes
            before = proxy.round_trips
            tasks = [await insert(database, owner) for _ in range(4)]

            assert proxy.round_trips - before == len(tasks)

    with proxying(worker_database) as proxy:
        play(scene())


def test_what_is_acknowledged_is_committed(witness: Witness) -> None:
    async def scene() -> None:
        async with opened(witness.url, transaction_block=True) as database:
            owner = new_owner()
            task = await insert(database, owner)

            assert witness.rows("SELECT id FROM tasks WHERE user_id = %s", owner) == [(task,)]
            assert ids(await database.run(EVERY_TASK, owner)) == [task]
            assert states(witness) == {"idle"}

    play(scene())


def test_failure_rolls_back_that_statement_and_no_other(witness: Witness) -> None:
    async def scene() -> None:
        async with opened(witness.url, transaction_block=True, connections=1) as database:
            await warm(database, 1)
            results = await asyncio.gather(
                *(database.run(DIVIDE, "someone", by=number % 2) for number in range(50)), return_exceptions=True
            )

            assert [type(result) for result in results] == [StatementFailed, list] * 25
            assert await echo(database, "next") == "next"
            assert states(witness) == {"idle"}

    play(scene())


def test_statement_that_is_cancelled_runs_again_and_alone(witness: Witness) -> None:
    async def scene() -> None:
        async with opened(witness.url, transaction_block=True, shared_timeout_milliseconds=25) as database:
            with locked(witness.url) as lock:
                slow = waiting(database, lock, "slow")
                while database._heavy_users.get(b"slow") is None:
                    assert await echo(database, "other") == "other"
            assert await slow == [("",)]

    play(scene())


def test_failed_commit_is_neither_acknowledged_nor_tried_again(database: str) -> None:
    """Of a transaction on several servers even a timeout does not tell what was carried out."""

    async def scene() -> None:
        async with opened(database, transaction_block=True, connections=1) as pool:
            with pytest.raises(Unavailable) as caught:
                await insert(pool, "ada", "Fail")

            assert (type(caught.value), caught.value.reason) == (Unavailable, "SQLSTATE 08007")
            assert await echo(pool, "next") == "next"

    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(FAIL_AT_COMMIT.encode())
    play(scene())


@pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed")
@pytest.mark.parametrize("pooled", [True, False], ids=["told of the pooler", "not told of the pooler"])
def test_pooler_is_left_no_transaction(worker_database: str, pooled: bool) -> None:
    async def scene(url: str) -> None:
        async with opened(url, transaction_block=True, pooled=pooled) as database:
            works = (database.run(DIVIDE, "someone", by=number % 2) for number in range(100))
            results = await asyncio.gather(*works, return_exceptions=True)

            assert [type(result) for result in results] == [StatementFailed, list] * 50

    with pooling(worker_database) as pooler:
        play(scene(pooler.url))
