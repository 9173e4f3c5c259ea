"""What PostgreSQL does for a list: it never looks at other users' rows, whatever the parameters."""

import json
import re
from collections.abc import Iterator
from itertools import product
from typing import Any, Literal

import psycopg
import pytest

from tests.harness import cloned_database
from todo_api import queries
from todo_api.db import compile_statement
from todo_api.queries import ROLE, USER_SETTING

OWNER = "user0000000000000000000000000700"
KEYS = {"created_at": "2026-01-01T00:00:00+00:00", "updated_at": "2026-01-01T00:00:00+00:00", "title": "task 5"}
INDEX = "tasks_user_id_created_at_id_idx"

Plan = dict[str, Any]
Start = Literal["first", "cursor", "offset"]


@pytest.fixture(scope="module")
def populated(postgres: str) -> Iterator[psycopg.Connection]:
    """A connection like a request's, to 2,000 users with 20 tasks, and this one with 2,000 more."""
    with cloned_database(postgres) as url, psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO users (id) SELECT 'user' || lpad(n::text, 28, '0') FROM generate_series(1, 2000) n"
        )
        connection.execute(
            "INSERT INTO tasks (user_id, title, description, created_at, updated_at)"
            " SELECT 'user' || lpad((CASE WHEN n <= 2000 THEN 700 ELSE 1 + n % 2000 END)::text, 28, '0'), 'Task ' || n, 'Number ' || n, moment, moment"
            " FROM generate_series(1, 42000) n, LATERAL (SELECT '2026-01-01'::timestamptz + n * interval '1 min') t(moment)"
        )
        connection.execute("ANALYZE users, tasks")
        connection.execute(f"SET ROLE {ROLE}")
        connection.execute(f"SELECT set_config('{USER_SETTING}', %s, false)", [OWNER])
        yield connection
        connection.rollback()


def literal(value: Any) -> str:
    return "NULL" if value is None else str(value) if isinstance(value, int) else f"'{value}'"


def plan(connection: psycopg.Connection, statement: Any, *, generic: bool, **values: Any) -> list[Plan]:
    """Every node of the plan of a prepared statement."""
    compiled = compile_statement(statement)
    values["owner"] = OWNER
    connection.execute(f"SET plan_cache_mode = force_{'generic' if generic else 'custom'}_plan")
    connection.execute(b"PREPARE list AS " + compiled.sql)
    try:
        given = ", ".join(literal(values.get(bind)) for bind in compiled.binds)
        row = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE list ({given})".encode()).fetchone()
    finally:
        connection.execute("DEALLOCATE list")
    assert row is not None
    return nodes(row[0][0]["Plan"])


def nodes(node: Plan) -> list[Plan]:
    return [node, *(found for child in node.get("Plans", []) for found in nodes(child))]


generic_or_custom = pytest.mark.parametrize("generic", [True, False], ids=["generic plan", "custom plan"])
wherever_it_starts = pytest.mark.parametrize("start", ["first", "cursor", "offset"])
either_way = pytest.mark.parametrize("descending", [False, True], ids=["asc", "desc"])


@generic_or_custom
@wherever_it_starts
@either_way
@pytest.mark.parametrize("sort", queries.SORT_KEYS)
def test_only_the_owners_rows_are_looked_at(
    populated: psycopg.Connection, sort: str, start: Start, *, descending: bool, generic: bool
) -> None:
    after = {"after_key": KEYS[sort], "after_id": 7, "offset": 40}
    for by_completed, by_search, limit in product((False, True), (False, True), (2, 1001)):
        statement = queries.select_tasks(
            sort, descending=descending, by_completed=by_completed, by_search=by_search, start=start
        )
        found = plan(populated, statement, generic=generic, completed="true", search="7", limit=limit, **after)
        scans = [node for node in found if "Scan" in node["Node Type"]]

        assert scans
        for scan in scans:
            assert scan["Node Type"] in {"Index Scan", "Bitmap Heap Scan", "Bitmap Index Scan"}, json.dumps(found)
            condition = scan.get("Index Cond", "") + scan.get("Recheck Cond", "")
            assert re.search(r"user_id = ", condition)


@generic_or_custom
@wherever_it_starts
@either_way
def test_order_of_creation_comes_from_the_index(
    populated: psycopg.Connection, start: Start, *, descending: bool, generic: bool
) -> None:
    statement = queries.select_tasks(descending=descending, start=start)
    after = {"after_key": KEYS["created_at"], "after_id": 7, "offset": 40}
    found = plan(populated, statement, generic=generic, limit=21, **after)
    (scan,) = [node for node in found if "Scan" in node["Node Type"]]

    assert (scan["Node Type"], scan["Index Name"]) == ("Index Scan", INDEX)
    assert ("created_at" in scan["Index Cond"]) is (start == "cursor")
    assert "Sort" not in {node["Node Type"] for node in found}
