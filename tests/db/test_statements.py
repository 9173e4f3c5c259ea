"""What a compiled statement knows of itself, and that values arrive as they were sent."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import ARRAY, BigInteger, Boolean, DateTime, Text, bindparam
from sqlmodel import select

from tests.db.scenes import opened, play
from todo_api import queries
from todo_api.db import Pool, compile_statement
from todo_api.migrations.state import SELECT_SCHEMA_STATE
from todo_api.models import Task

MAX_NAME_BYTES = 63
"""What PostgreSQL keeps of a name (NAMEDATALEN - 1)."""

READS = {"SELECT_TASK": queries.SELECT_TASK, "list": queries.select_tasks(), "SCHEMA_STATE": SELECT_SCHEMA_STATE}
WRITES = {
    name: statement
    for name, statement in vars(queries).items()
    if name.startswith(("INSERT_", "UPDATE_", "COMPLETE_", "DELETE_"))
}


class TestRepeatable:
    @pytest.mark.parametrize("statement", READS.values(), ids=READS)
    def test_one_that_only_reads_may_be_sent_again(self, statement: Any) -> None:
        assert compile_statement(statement).repeatable is True

    @pytest.mark.parametrize("statement", WRITES.values(), ids=WRITES)
    def test_one_that_writes_may_not_be_sent_again(self, statement: Any) -> None:
        assert compile_statement(statement).repeatable is False

    @pytest.mark.parametrize("statement", WRITES.values(), ids=WRITES)
    def test_statement_that_writes_is_repeatable_if_the_caller_says_so(self, statement: Any) -> None:
        assert compile_statement(statement, repeatable=True).repeatable is True


class TestName:
    def test_server_keeps_all_of_it(self) -> None:
        assert 0 < len(compile_statement(queries.SELECT_TASK).name) <= MAX_NAME_BYTES

    def test_same_text_has_the_same_name_and_another_text_another(self) -> None:
        names = [compile_statement(select(column)).name for column in (Task.id, Task.id, Task.title)]

        assert names[0] == names[1] != names[2]


class TestPreamble:
    def test_one_whose_binds_the_pool_cannot_fill_is_rejected(self) -> None:
        async def scene() -> None:
            with pytest.raises(ValueError, match="owner"):
                Pool("", preamble=compile_statement(queries.SELECT_TASK), application_name="test")

        play(scene())


NOON = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
TIME = DateTime(timezone=True)


class TestValues:
    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            ("Größe, 'quoted' \\ \n $1 🛒", Text()),
            ("", Text()),
            (None, Text()),
            (-(2**63), BigInteger()),
            (True, Boolean()),
            (False, Boolean()),
            (None, Boolean()),
            (NOON, TIME),
            (NOON.astimezone(timezone(timedelta(hours=-8, minutes=-30))), TIME),
            ([NOON], ARRAY(TIME)),
            ([NOON, NOON + timedelta(microseconds=1)], ARRAY(TIME)),
            ([], ARRAY(TIME)),
        ],
    )
    def test_they_arrive_as_they_were_sent(self, worker_database: str, value: Any, kind: Any) -> None:
        statement = compile_statement(select(bindparam("value", type_=kind)))

        async def scene() -> None:
            async with opened(worker_database, connections=1) as database:
                assert await database.run(statement, "someone", value=value) == [(value,)]

        play(scene())

    def test_missing_one_is_no_null(self, worker_database: str) -> None:
        statement = compile_statement(select(bindparam("value", type_=Text)))

        async def scene() -> None:
            async with opened(worker_database) as database:
                with pytest.raises(KeyError, match="value"):
                    await database.run(statement, "someone")

        play(scene())
