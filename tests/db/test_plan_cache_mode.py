"""PostgreSQL plans a statement once where that plan suits every user, elsewhere for each user."""

from collections.abc import Iterator
from itertools import product
from typing import Any, Literal

import psycopg
import pytest
from sqlalchemy import func, literal_column, select, table

from tests.db.scenes import SELECT, new_owner, opened, play
from tests.harness import cloned_database
from todo_api import queries
from todo_api.db import compile_statement
from todo_api.queries import ROLE, USER_SETTING
from todo_api.routes.tasks import _list_statement as list_statement

HALF, FEW = "user who owns half of all tasks", "user 7"
VALUES = {
    "completed": "'true'",
    "search": "'5'",
    "after_key": "'2026-01-05T00:00:00Z'",
    "after_id": "5000",
    "offset": "40",
}
STARTS: tuple[Literal["first", "cursor", "offset"], ...] = ("first", "cursor", "offset")
GENERIC, CUSTOM = b"force_generic_plan", b"force_custom_plan"


@pytest.fixture(scope="module")
def skewed(postgres: str) -> Iterator[psycopg.Connection]:
    """20,000 tasks, half of which are one user's."""
    with cloned_database(postgres) as url, psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO users (id) SELECT %s UNION ALL SELECT 'user ' || generate_series(0, 199)", [HALF]
        )
        connection.execute(
            "INSERT INTO tasks (user_id, title, created_at, updated_at)"
            " SELECT CASE n %% 2 WHEN 0 THEN %s ELSE 'user ' || n %% 200 END, 'Task ' || n, moment, moment"
            " FROM generate_series(1, 20000) n, LATERAL (SELECT '2026-01-01'::timestamptz + n * interval '1 min') t(moment)",
            [HALF],
        )
        connection.execute("ANALYZE users, tasks")
        connection.execute(f"SET ROLE {ROLE}")
        yield connection
        connection.rollback()


def blocks(connection: psycopg.Connection, statement: Any, mode: bytes, owner: str, limit: int) -> int:
    """How many blocks of the table and its index a prepared statement looks at."""
    compiled = compile_statement(statement)
    connection.execute(
        "SELECT set_config('plan_cache_mode', %s, false), set_config(%s, %s, false)",
        [mode.decode(), USER_SETTING, owner],
    )
    connection.execute(b"PREPARE list AS " + compiled.sql)
    try:
        given = {**VALUES, "owner": f"'{owner}'", "limit": str(limit)}
        arguments = ", ".join(given[bind] for bind in compiled.binds)
        explain = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE list ({arguments})"
        row = connection.execute(explain.encode()).fetchone()
    finally:
        connection.execute("DEALLOCATE list")
    assert row is not None
    found = row[0][0]["Plan"]
    return int(found["Shared Hit Blocks"]) + int(found["Shared Read Blocks"])


@pytest.mark.parametrize("owner", [HALF, FEW])
@pytest.mark.parametrize("limit", [21, 1001])
def test_list_with_a_generic_plan_looks_at_no_more_than_one_planned_for_the_user(
    skewed: psycopg.Connection, owner: str, limit: int
) -> None:
    combinations = product(queries.SORT_KEYS, (True, False), (True, False), (True, False), STARTS)
    generic = [combination for combination in combinations if list_statement(*combination).plan_cache_mode == GENERIC]
    assert len(generic) == len(queries.INDEXED_SORT_KEYS) * 2 * len(STARTS)
    for sort, descending, by_completed, by_search, start in generic:
        statement = queries.select_tasks(
            sort, descending=descending, by_completed=by_completed, by_search=by_search, start=start
        )

        once, each_time = (blocks(skewed, statement, mode, owner, limit) for mode in (GENERIC, CUSTOM))
        assert once <= 1.2 * each_time + 3, (sort, descending, start)


@pytest.mark.parametrize("generic", [True, False])
def test_mode_of_a_statement_is_in_force_while_it_runs(worker_database: str, *, generic: bool) -> None:
    mode = compile_statement(select(func.current_setting(literal_column("'plan_cache_mode'"))), generic_plan=generic)

    async def scene() -> None:
        async with opened(worker_database, connections=1) as database:
            assert await database.run(mode, "someone") == [((GENERIC if generic else CUSTOM).decode(),)]

    play(scene())


def test_generic_plan_is_used_from_the_first_time_on(worker_database: str) -> None:
    count = compile_statement(
        select(literal_column("generic_plans"), literal_column("custom_plans"))
        .select_from(table("pg_prepared_statements"))
        .where(literal_column("name") == literal_column(f"'{SELECT.name.decode()}'"))
    )

    async def scene() -> None:
        async with opened(worker_database, connections=1) as database:
            for _ in range(3):
                await database.run(SELECT, new_owner(), task_id=1)

            assert await database.run(count, "someone") == [(3, 0)]

    play(scene())
