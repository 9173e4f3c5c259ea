"""Statements that take long or bring much delay nobody but the user who sent them.

A statement here waits for an advisory lock that the test holds, so it takes exactly as long as the
test wants.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, literal_column, select

from tests.db.scenes import (
    COMPLETE,
    SELECT,
    Witness,
    echo,
    insert,
    locked,
    new_owner,
    opened,
    play,
    until,
    waiting,
    warm,
    witnessing,
)
from tests.proxies import Proxy, proxying, url_through
from todo_api.db import Unavailable, compile_statement

SHARED_MILLISECONDS = 25
LONG: dict[str, Any] = {
    "shared_timeout_milliseconds": SHARED_MILLISECONDS,
    "wait_seconds": 60,
    "statement_timeout_milliseconds": 60_000,
}

LARGE, MANY = (
    compile_statement(select(func.repeat(literal_column("'x'"), literal_column(length))).select_from(numbers))
    for numbers in [func.generate_series(literal_column("1"), literal_column("100"))]
    for length in ("5000", "100")
)


@pytest.fixture
def witness(worker_database: str) -> Iterator[Witness]:
    with witnessing(worker_database) as witness:
        yield witness


def alone(witness: Witness) -> int:
    """How many statements wait for a lock in PostgreSQL with the full timeout."""
    return witness.running("pg_advisory_xact_lock_shared")


async def alone_for_long(witness: Witness, count: int) -> None:
    """Wait until so many run, and have run for longer than a shared connection allows."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND state = 'active'"
        " AND position('pg_advisory' in query) > 0 AND clock_timestamp() - query_start > interval '0.2 s'"
    )
    await until(lambda: witness.rows(query, witness.name)[0][0] == count, seconds=30)


class TestSlow:
    def test_statement_that_needs_more_time_than_a_shared_connection_gives_is_answered(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url, **LONG) as database:
                with locked(witness.url) as lock:
                    slow = waiting(database, lock, "slow")
                    await alone_for_long(witness, 1)

                    assert not slow.done()
                assert await slow == [("",)]

        play(scene())

    def test_others_are_answered_meanwhile_and_share_no_connection_with_it(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url, **LONG) as database:
                await warm(database, 4)
                with locked(witness.url) as lock:
                    slow = waiting(database, lock, "slow")
                    await alone_for_long(witness, 1)
                    values = [str(number) for number in range(200)]

                    assert await asyncio.gather(*(echo(database, value) for value in values)) == values
                    assert not slow.done()
                await slow

        play(scene())

    def test_one_users_statements_run_one_at_a_time_and_all_are_answered(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url, **LONG) as database:
                await warm(database, 4)
                with locked(witness.url) as lock:
                    works = [waiting(database, lock, "slow") for _ in range(20)]
                    await alone_for_long(witness, 1)
                    later = [waiting(database, lock, "slow") for _ in range(20)]
                    assert await echo(database, "other") == "other"

                    assert alone(witness) == 1
                assert await asyncio.gather(*works, *later) == [[("",)]] * 40

        play(scene())

    def test_slow_statements_of_many_users_leave_half_of_the_connections_to_the_others(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url, **LONG) as database:
                with locked(witness.url) as lock:
                    works = [waiting(database, lock, f"slow {number}") for number in range(8)]
                    await alone_for_long(witness, 2)

                    assert [await echo(database, str(number)) for number in range(50)] == [*map(str, range(50))]
                    assert alone(witness) == 2
                assert await asyncio.gather(*works) == [[("",)]] * 8
                assert witness.connections() <= 4

        play(scene())

    def test_write_that_was_cancelled_is_done_once(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url, **LONG) as database:
                owner = new_owner()
                task = await insert(database, owner)
                with psycopg.connect(witness.url) as other:
                    other.execute("SELECT FROM tasks WHERE id = %s FOR UPDATE", [task])
                    toggle = asyncio.create_task(database.run(COMPLETE, owner, task_id=task, completed=None))
                    await until(lambda: database._heavy_users.get(owner.encode()) is not None)
                rows = await toggle

                assert rows[0][4] is True
                assert await database.run(SELECT, owner, task_id=task) == rows

        play(scene())

    def test_single_connection_serves_slow_statements_and_everybody_else(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url, connections=1, **LONG) as database:
                with locked(witness.url) as lock:
                    works = [waiting(database, lock, "slow") for _ in range(3)]
                    await alone_for_long(witness, 1)
                    other = asyncio.create_task(echo(database, "other"))
                assert await other == "other"
                assert await asyncio.gather(*works) == [[("",)]] * 3

        play(scene())


class TestNoSecondConnection:
    def test_slow_statement_runs_on_the_only_connection_that_can_be_had(self, worker_database: str) -> None:
        async def scene(proxy: Proxy) -> None:
            async with opened(url_through(proxy.port, worker_database), **LONG) as database:
                await echo(database, "")
                proxy.rejecting = True
                with locked(worker_database) as lock:
                    slow = waiting(database, lock, "slow")
                    await until(lambda: bool(database._connector.connections[0].exclusive))
                assert await slow == [("",)]
                assert len(database._connector.connections) == 1

        with proxying(worker_database) as proxy:
            play(scene(proxy))

    def test_slow_statement_is_unavailable_where_there_is_none(self, worker_database: str) -> None:
        async def scene(proxy: Proxy) -> None:
            proxy.rejecting = True
            async with opened(url_through(proxy.port, worker_database), **LONG) as database:
                database._heavy_users.add(b"slow", slow=True)
                with pytest.raises(Unavailable):
                    await database.run(SELECT, "slow", task_id=1)

                assert database._exclusive._value == 2

        with proxying(worker_database) as proxy:
            play(scene(proxy))


class TestGivingUp:
    def test_postgresql_stops_when_nobody_waits_any_more(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url, **{**LONG, "wait_seconds": 0.5}) as database:
                with locked(witness.url) as lock:
                    works = [waiting(database, lock, "slow") for _ in range(3)]
                    answers = await asyncio.gather(*works, return_exceptions=True)

                    assert all(isinstance(answer, Unavailable) for answer in answers)
                    await until(lambda: alone(witness) == 0)

        play(scene())

    def test_connection_is_shared_again_only_when_a_cancelled_callers_statement_has_ended(
        self, witness: Witness
    ) -> None:
        async def scene() -> None:
            async with opened(witness.url, **LONG) as database:
                await warm(database, 2)
                with locked(witness.url) as lock:
                    slow = waiting(database, lock, "slow")
                    await alone_for_long(witness, 1)
                    slow.cancel()
                    await asyncio.wait([slow])
                    assert await asyncio.gather(*(echo(database, "other") for _ in range(100))) == ["other"] * 100

                    assert alone(witness) == 1
                    assert database._exclusive._value == 1
                await until(lambda: database._exclusive._value == 2)
                assert not any(connection.exclusive for connection in database._connector.connections)

        play(scene())

    def test_caller_who_is_cancelled_while_waiting_for_a_connection_gives_the_right_to_one_back(
        self, witness: Witness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def scene() -> None:
            async with opened(witness.url, **LONG) as database:
                await warm(database, 2)
                never = asyncio.Event()
                monkeypatch.setattr(database._connector, "spare", lambda _: never.wait())
                with locked(witness.url) as lock:
                    slow = waiting(database, lock, "slow")
                    await until(lambda: database._exclusive._value == 1)
                    slow.cancel()
                    await asyncio.wait([slow])

                assert database._exclusive._value == 2

        play(scene())

    def test_connection_lost_under_a_slow_statement_is_replaced_and_the_statement_repeated(
        self, witness: Witness
    ) -> None:
        async def scene() -> None:
            async with opened(witness.url, **LONG) as database:
                with locked(witness.url) as lock:
                    slow = waiting(database, lock, "slow")
                    await alone_for_long(witness, 1)
                    witness.terminate()
                    await alone_for_long(witness, 1)
                assert await slow == [("",)]
                assert database._exclusive._value == 2

        play(scene())

    def test_connection_that_turns_out_to_be_closed_is_replaced_and_the_right_to_it_given_back(
        self, witness: Witness
    ) -> None:
        async def scene() -> None:
            async with opened(witness.url, **LONG) as database:
                await warm(database, 2)
                database._heavy_users.add(b"slow", slow=True)
                for connection in database._connector.connections:
                    connection._pq.finish()

                assert await database.run(SELECT, "slow", task_id=1) == []
                assert database._exclusive._value == 2

        play(scene())


class TestHeavyUsers:
    @pytest.mark.parametrize(("statement", "pending"), [(LARGE, 1), (MANY, 5)], ids=["large", "many but small"])
    def test_user_of_a_large_result_has_one_statement_under_way_at_a_time(
        self, worker_database: str, statement: Any, pending: int
    ) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=1) as database:
                await database.run(statement, "reader")
                works = [asyncio.create_task(database.run(statement, "reader")) for _ in range(5)]
                await asyncio.sleep(0)  # all have begun, and nothing has been read since

                assert len(database._connector.connections[0].pending) == pending
                assert [len(rows) for rows in await asyncio.gather(*works)] == [100] * 5

        play(scene())

    def test_heavy_user_who_turns_slow_is_answered(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url, **LONG) as database:
                await database.run(LARGE, "reader")
                with locked(witness.url) as lock:
                    slow = waiting(database, lock, "reader")
                    await alone_for_long(witness, 1)
                assert await slow == [("",)]

        play(scene())

    def test_after_a_while_the_user_is_as_any_other(
        self, worker_database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def scene() -> None:
            async with opened(worker_database) as database:
                await database.run(LARGE, "reader")
                assert database._heavy_users.get(b"reader") is not None
                monkeypatch.setattr("todo_api.db.heavy_users.HEAVY_SECONDS", -1.0)
                await database.run(LARGE, "reader")

                assert database._heavy_users.get(b"reader") is None
                assert database._heavy_users._users == {}

        play(scene())

    def test_user_whose_time_is_over_while_a_statement_runs_is_remembered_until_it_ends(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url, **LONG) as database:
                with locked(witness.url) as lock:
                    slow = waiting(database, lock, "slow")
                    await alone_for_long(witness, 1)
                    user = database._heavy_users.get(b"slow")
                    assert user is not None
                    user.expires_at = 0.0

                    assert database._heavy_users.get(b"slow") is None
                    assert database._heavy_users.add(b"slow", slow=True) is user
                await slow

        play(scene())

    def test_user_whose_statement_was_slow_only_once_is_not_heavy(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url, **{**LONG, "shared_timeout_milliseconds": 2000}) as database:
                with locked(witness.url) as lock:
                    slow = waiting(database, lock, "unlucky")
                    await until(lambda: database._heavy_users.get(b"unlucky") is not None, seconds=30)
                await slow

                assert database._heavy_users.get(b"unlucky") is None

        play(scene())

    def test_number_of_users_that_are_remembered_is_bounded(
        self, worker_database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("todo_api.db.heavy_users.HEAVY_SECONDS", -1.0)
        monkeypatch.setattr("todo_api.db.heavy_users.MAX_EXPIRED", 8)

        async def scene() -> None:
            async with opened(worker_database) as database:
                for number in range(50):
                    await database.run(LARGE, f"reader {number}")

                assert len(database._heavy_users._users) <= 8

        play(scene())
