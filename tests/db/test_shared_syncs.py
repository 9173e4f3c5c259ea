"""Short reads of one event-loop iteration share a Sync, and none of them notices."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from select import select as select_readable
from typing import Any

import psycopg
from sqlalchemy import func, literal_column, select

from tests.db.scenes import (
    BACKEND,
    DIVIDE,
    EVERY_TASK,
    SELECT,
    echo,
    ids,
    insert,
    locked,
    new_owner,
    opened,
    play,
    sleep,
    until,
    waiting,
    warm,
    witnessing,
)
from tests.harness import PATIENCE_SECONDS
from tests.proxies import proxying, url_through
from todo_api.db import Pool, StatementFailed, compile_statement
from todo_api.db.connection import MAX_SHARING
from todo_api.db.results import MANY_ROWS
from todo_api.queries import ROLE

TRANSACTION = compile_statement(select(func.transaction_timestamp()))
"""When its transaction began: those that share a Sync began at the same time."""
SLOW_TRANSACTION = compile_statement(select(func.transaction_timestamp()), generic_plan=False)
ROWS = compile_statement(select(func.generate_series(literal_column("1"), literal_column(str(MANY_ROWS + 1)))))
LARGE_BYTES = 16 * 2**20
LARGE = compile_statement(select(func.repeat(literal_column("'x'"), literal_column(str(LARGE_BYTES)))))


async def transactions(database: Pool, statements: Sequence[Any]) -> list[datetime]:
    """When the transaction of each of these reads of one iteration began."""
    answers = await asyncio.gather(*(database.run(statement, "someone") for statement in statements))
    return [rows[0][0] for rows in answers]


class TestSharing:
    def test_short_reads_of_one_iteration_share_a_sync(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database) as database:
                await warm(database, 4)
                together = await transactions(database, [TRANSACTION] * 5)
                later = await transactions(database, [TRANSACTION])

                assert len(set(together)) == 1
                assert later[0] not in together

        play(scene())

    def test_more_than_the_limit_are_shared_out(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database) as database:
                await warm(database, 4)
                began = await transactions(database, [TRANSACTION] * (2 * MAX_SHARING + 1))

                assert sorted(map(began.count, set(began))) == [1, MAX_SHARING, MAX_SHARING]

        play(scene())

    def test_read_that_may_be_slow_shares_none_and_holds_up_none_that_came_before(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=1) as database:
                await warm(database, 1)
                first, slow, second = await transactions(database, [TRANSACTION, SLOW_TRANSACTION, TRANSACTION])
                with locked(worker_database) as lock:
                    before = asyncio.create_task(echo(database, "before"))
                    await asyncio.sleep(0)
                    behind = waiting(database, lock)

                    assert len({first, slow, second}) == 3
                    assert await before == "before"
                    assert not behind.done()
                await behind

        play(scene())

    def test_many_rows_are_handed_over_before_those_behind_them_come(self, worker_database: str) -> None:
        """So that results of many megabytes are not all in memory at once."""

        async def scene() -> None:
            async with opened(worker_database, connections=1) as database:
                await warm(database, 1)
                first = asyncio.create_task(echo(database, "first"))
                rows = asyncio.create_task(database.run(ROWS, "someone"))
                large = asyncio.create_task(database.run(LARGE, "someone"))
                await rows

                assert first.done()
                assert not large.done()
                assert len((await large)[0][0]) == LARGE_BYTES

        play(scene())

    def test_server_that_needs_blocks_gets_one_for_each(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=1, transaction_block=True) as database:
                await warm(database, 1)
                began = await transactions(database, [TRANSACTION] * 5)

                assert len(set(began)) == 5

        play(scene())

    def test_each_user_reads_their_own_behind_one_sync(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database) as database:
                await warm(database, 4)
                owners = {owner: await insert(database, owner) for owner in (new_owner() for _ in range(10))}
                answers = await asyncio.gather(*(database.run(EVERY_TASK, owner) for owner in owners))

                assert [ids(rows) for rows in answers] == [[task] for task in owners.values()]

        play(scene())


class TestFailure:
    def test_reads_before_and_behind_one_that_fails_are_answered(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=1) as database:
                await warm(database, 1)
                works = [
                    database.run(DIVIDE, "someone", by=0) if number % 3 == 0 else echo(database, str(number))
                    for number in range(MAX_SHARING)
                ]
                answers = await asyncio.gather(*works, return_exceptions=True)

                failed = [isinstance(answer, StatementFailed) for answer in answers]
                assert failed == [number % 3 == 0 for number in range(MAX_SHARING)]
                assert [answer for answer in answers if isinstance(answer, str)] == [
                    str(number) for number in range(MAX_SHARING) if number % 3
                ]

        play(scene())

    def test_write_behind_a_read_that_fails_is_carried_out_once(self, worker_database: str) -> None:
        async def scene() -> None:
            with witnessing(worker_database) as witness:
                async with opened(witness.url) as database:
                    await warm(database, 4)
                    owner = new_owner()
                    answers = await asyncio.gather(
                        database.run(DIVIDE, owner, by=0), insert(database, owner, "Once"), return_exceptions=True
                    )

                    assert isinstance(answers[0], StatementFailed)
                    assert isinstance(answers[1], int)
                    assert witness.titles(owner) == ["Once"]

        play(scene())

    def test_write_that_fails_takes_no_read_with_it(self, worker_database: str) -> None:
        async def scene() -> None:
            with witnessing(worker_database) as witness:
                async with opened(witness.url, connections=1) as database:
                    await warm(database, 1)
                    owner = new_owner()
                    works = [echo(database, "before"), insert(database, owner, " "), echo(database, "behind")]
                    before, failure, behind = await asyncio.gather(*works, return_exceptions=True)

                    assert isinstance(failure, StatementFailed)
                    assert (before, behind) == ("before", "behind")
                    assert witness.rows("SELECT id FROM users WHERE id = %s", owner) == []

        play(scene())

    def test_commit_that_fails_fails_the_write_alone(self, database: str) -> None:
        """What is checked at the commit fails at the Sync, behind the results of all commands."""
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '23514'; END $$;"
                " CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON tasks DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW WHEN (NEW.title = 'Refused') EXECUTE FUNCTION refuse()"
            )

        async def scene() -> None:
            async with opened(database, connections=1) as shared:
                await warm(shared, 1)
                owner = new_owner()
                task = await insert(shared, owner, "Kept")
                works = [
                    shared.run(SELECT, owner, task_id=task),
                    insert(shared, owner, "Refused"),
                    insert(shared, owner, "Next"),
                    shared.run(EVERY_TASK, owner),
                ]
                read, refused, created, tasks = await asyncio.gather(*works, return_exceptions=True)

                assert ids(read) == [task]  # type: ignore[arg-type]
                assert isinstance(refused, StatementFailed)
                assert refused.reason == "SQLSTATE 23514"
                assert ids(tasks) == [task, created]  # type: ignore[arg-type]

        play(scene())

    def test_reads_of_a_statement_that_a_migration_outdated_are_all_sent_again(self, database: str) -> None:
        async def scene() -> None:
            with witnessing(database) as witness:
                async with opened(witness.url, connections=1) as shared:
                    await warm(shared, 1)
                    owner = new_owner()
                    task = await insert(shared, owner)
                    assert await shared.run(SELECT, owner, task_id=task)
                    first = await shared.run(BACKEND, owner)
                    with psycopg.connect(database, autocommit=True) as connection:
                        connection.execute("ALTER TABLE tasks ALTER COLUMN title TYPE varchar(999)")
                    answers = await asyncio.gather(*(shared.run(SELECT, owner, task_id=task) for _ in range(5)))

                    assert [ids(rows) for rows in answers] == [[task]] * 5
                    assert await shared.run(BACKEND, owner) != first
                    await until(lambda: witness.connections() == 1)

        play(scene())

    def test_reads_whose_connection_is_lost_before_their_sync_are_sent_again(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=1) as database:
                await warm(database, 1)
                reads = [asyncio.create_task(echo(database, str(number))) for number in range(3)]
                await asyncio.sleep(0)
                connection = database._connector.connections[0]
                assert connection.is_sharing
                connection.close()

                assert await asyncio.gather(*reads) == ["0", "1", "2"]

        play(scene())


def test_user_whose_short_read_is_cancelled_delays_no_other_again(worker_database: str) -> None:
    """The one is run alone from then on; those behind it were sent again once."""
    with psycopg.connect(worker_database, autocommit=True) as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION dawdle() RETURNS text LANGUAGE sql AS $$ SELECT pg_sleep(0.3)::text $$;"
            f" GRANT EXECUTE ON FUNCTION dawdle() TO {ROLE}"
        )
    dawdle = compile_statement(select(func.dawdle()))

    async def scene() -> None:
        async with opened(worker_database, connections=2, shared_timeout_milliseconds=50) as database:
            await warm(database, 2)
            slow = asyncio.create_task(database.run(dawdle, "dawdler"))
            reads = [asyncio.create_task(echo(database, str(number))) for number in range(5)]
            answers = await asyncio.gather(slow, *reads)

            assert answers == [[("",)], "0", "1", "2", "3", "4"]
            assert database._heavy_users.get(b"dawdler") is not None

    play(scene())


def test_server_that_ends_the_connection_before_the_sync_is_sent_is_survived(worker_database: str) -> None:
    async def scene() -> None:
        async with opened(worker_database, connections=1) as database:
            ((backend,),) = await database.run(BACKEND, "someone")
            (connection,) = database._connector.connections
            reads = [asyncio.create_task(echo(database, str(number))) for number in range(3)]
            await asyncio.sleep(0)
            assert connection.is_sharing
            terminate(worker_database, backend)
            assert select_readable([connection._socket], [], [], PATIENCE_SECONDS)[0]
            connection._read()

            assert await asyncio.gather(*reads) == ["0", "1", "2"]

    play(scene())


def terminate(url: str, backend: Any) -> None:
    """End a server process, which says so to its client."""
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [int(backend)])


def test_one_message_carries_all_of_them(worker_database: str) -> None:
    async def scene() -> None:
        with proxying(worker_database) as proxy:
            async with opened(url_through(proxy.port, worker_database), connections=1) as database:
                await echo(database, "prepared")
                await sleep(database, 0)
                before = proxy.round_trips
                await asyncio.gather(*(echo(database, str(number)) for number in range(MAX_SHARING)))

                assert proxy.round_trips - before == 1

    play(scene())
