"""The same path through PgBouncer in transaction mode, where one has it."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from tests.db.scenes import (
    COMPLETE,
    EVERY_TASK,
    SELECT,
    echo,
    ids,
    insert,
    new_owner,
    opened,
    play,
)
from tests.pooler import PGBOUNCER, POOL, pooling
from todo_api.queries import USER_SETTING

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed")


@pytest.fixture(scope="module")
def pooler(worker_database: str) -> Iterator[str]:
    """The URL of this worker's database behind PgBouncer."""
    with pooling(worker_database) as pooler:
        yield pooler.url


@pytest.mark.parametrize("pooled", [True, False], ids=["told of the pooler", "not told of the pooler"])
class TestPooler:
    def test_200_concurrent_statements_all_get_their_own_answer(self, pooler: str, pooled: bool) -> None:
        async def scene() -> None:
            async with opened(pooler, pooled=pooled) as database:
                answers = await asyncio.gather(*(echo(database, str(number)) for number in range(200)))

                assert answers == [str(number) for number in range(200)]

        play(scene())

    def test_statements_one_after_another_succeed(self, pooler: str, pooled: bool) -> None:
        async def scene() -> None:
            async with opened(pooler, pooled=pooled) as first, opened(pooler, pooled=pooled) as second:
                for number in range(20):
                    database = (first, second)[number % 2]

                    assert await echo(database, str(number)) == str(number)

        play(scene())

    def test_writes_and_reads_of_many_users_mix(self, pooler: str, pooled: bool) -> None:
        async def scene() -> None:
            async with opened(pooler, pooled=pooled) as one, opened(pooler, pooled=pooled) as other:
                databases, owners = [one, other], [new_owner() for _ in range(50)]
                works = [insert(databases[number % 2], owner) for number, owner in enumerate(owners)]
                tasks = dict(zip(owners, await asyncio.gather(*works), strict=True))
                done = await asyncio.gather(
                    *(one.run(COMPLETE, owner, task_id=task, completed=None) for owner, task in tasks.items())
                )
                read = await asyncio.gather(*(other.run(SELECT, owner, task_id=task) for owner, task in tasks.items()))

                assert done == read
                assert [ids(rows) for rows in read] == [[task] for task in tasks.values()]
                assert ids(await other.run(EVERY_TASK, owners[0])) == [tasks[owners[0]]]

        play(scene())

    def test_neither_role_nor_user_stay_on_the_shared_connection(self, pooler: str, pooled: bool) -> None:
        async def scene() -> None:
            async with opened(pooler, pooled=pooled) as database:
                await asyncio.gather(*(insert(database, new_owner()) for _ in range(20)))

        play(scene())
        query = f"SELECT current_user, coalesce(current_setting('{USER_SETTING}', true), '')"
        for _ in range(2 * POOL):
            with psycopg.connect(pooler, prepare_threshold=None) as connection:
                assert connection.execute(query).fetchone() == ("postgres", "")
