"""Writes have a shape that Citus can carry out where the rows are; see docs/decisions.

Citus evaluates functions that are not immutable once, before it knows any row. So it rejects a
write that applies one to a column, or that has one where only some rows need it. And it turns an
INSERT of what a SELECT answers into a COPY, which row-level security forbids, unless there is
something to answer or a conflict to look for. A plain PostgreSQL tells how it understands a
statement, once that is the body of a function.
"""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from todo_api import queries

WRITES = {
    name: statement
    for name, statement in vars(queries).items()
    if name.startswith(("INSERT_", "UPDATE_", "COMPLETE_", "DELETE_"))
}
CALLS = re.compile(r"\{\w+ :(?:func|opno \d+ :opfunc)id (\d+)")
UPDATE, INSERT, DELETE = "2", "3", "4"


def tree(connection: psycopg.Connection, statement: Any) -> str:
    """How PostgreSQL understands a statement.

    Its parse tree, as it is stored for the body of a function.
    """
    dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
    compiled = statement.compile(dialect=dialect)
    types = [compiled.binds[name].type.compile(dialect=dialect) for name in compiled.positiontup]
    connection.execute(
        f"CREATE FUNCTION shape({', '.join(types)}) RETURNS SETOF record LANGUAGE SQL BEGIN ATOMIC {compiled}; END".encode()
    )
    row = connection.execute("SELECT prosqlbody::text FROM pg_proc WHERE proname = 'shape'").fetchone()
    connection.rollback()
    assert row is not None
    return str(row[0])


def nodes(text: str, kind: str = r"\w+") -> Iterator[str]:
    """Each node of a kind in a parse tree, with all that is in it."""
    for found in re.finditer(rf"\{{{kind}\b", text):
        depth = 0
        for brace in re.finditer(r"(?<!\\)[{}]", text[found.start() :]):
            depth += 1 if brace[0] == "{" else -1
            if depth == 0:
                yield text[found.start() : found.start() + brace.end()]
                break


def without_inner_queries(query: str) -> str:
    for inner in nodes(query[1:], "QUERY"):
        query = query.replace(inner, "")
    return query


def is_at_fault(node: str, volatility: dict[str, str]) -> bool:
    """Whether Citus cannot carry out this node of an UPDATE or DELETE."""
    if node.startswith(("{CASE", "{COALESCE")):
        return any(volatility[oid] != "i" for oid in CALLS.findall(node))
    call = CALLS.match(node)
    if call is None or volatility[call[1]] == "i":
        return False
    return volatility[call[1]] == "v" or "{VAR " in node


@pytest.fixture
def connection(worker_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(worker_database) as connection:
        yield connection


@pytest.mark.parametrize("name", WRITES)
def test_only_immutable_functions_are_applied_to_columns(connection: psycopg.Connection, name: str) -> None:
    text = tree(connection, WRITES[name])
    functions = connection.execute("SELECT oid::text, provolatile::text FROM pg_proc").fetchall()
    volatility: dict[str, str] = dict(functions)
    writes = list(nodes(text, f"QUERY :commandType [{UPDATE}{DELETE}]"))

    assert writes or name == "INSERT_TASK"
    assert [node for write in writes for node in nodes(write) if is_at_fault(node, volatility)] == []


@pytest.mark.parametrize("name", [name for name in WRITES if name.startswith("INSERT")])
def test_rows_of_a_query_are_inserted_with_an_answer_or_a_conflict(connection: psycopg.Connection, name: str) -> None:
    text = tree(connection, WRITES[name])
    inserts = [without_inner_queries(insert) for insert in nodes(text, f"QUERY :commandType {INSERT}")]
    of_queries = [insert for insert in inserts if ":aliasname *SELECT*" in insert]

    assert of_queries
    assert [insert for insert in of_queries if ":onConflict <>" in insert and ":returningList <>" in insert] == []
