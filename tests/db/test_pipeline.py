"""Statements on shared connections: one round trip each, and none disturbs another."""

import asyncio
import secrets
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from sqlalchemy import Integer, Text, bindparam, column, func, literal_column, select, table
from sqlmodel import col, delete, update
from sqlmodel import select as select_rows

from tests.db.scenes import (
    BACKEND,
    COMPLETE,
    COMPLETE_UNCHANGED,
    DELETE,
    DELETE_UNCHANGED,
    DIVIDE,
    ECHO,
    EVERY_TASK,
    INSERT,
    LIST,
    PREAMBLE,
    SELECT,
    UPDATE,
    UPDATE_UNCHANGED,
    Loop,
    Witness,
    echo,
    either_loop,
    ids,
    insert,
    insert_once,
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
from tests.harness import database_url
from tests.proxies import Proxy, proxying, url_through
from todo_api import migrations, queries
from todo_api.db import (
    DatabaseError,
    Limits,
    Pool,
    SchemaMissing,
    Statement,
    StatementFailed,
    Unavailable,
    compile_statement,
)
from todo_api.models import IdempotencyKey, Task, User
from todo_api.queries import ROLE, USER_SETTING

BIG = 5_000_000
MEGABYTE = 2**20

LIST_ON = compile_statement(queries.select_tasks("title", descending=False, start="cursor"))
REPEAT = compile_statement(select(func.repeat(literal_column("'x'"), bindparam("times", type_=Integer))))
PREPARED = compile_statement(
    select(column("name"), column("generic_plans") + column("custom_plans", Integer)).select_from(
        table("pg_prepared_statements")
    )
)
LENGTH = compile_statement(select(func.length(bindparam("value", type_=Text))))


async def prepared(database: Pool) -> dict[bytes, int]:
    """What is prepared on its only connection, and how often each was used."""
    return {name.encode(): uses for name, uses in await database.run(PREPARED, "someone")}


@pytest.fixture
def witness(worker_database: str) -> Iterator[Witness]:
    with witnessing(worker_database) as witness:
        yield witness


@pytest.fixture
def proxy(worker_database: str) -> Iterator[Proxy]:
    with proxying(worker_database) as proxy:
        yield proxy


class TestRoundTrips:
    @pytest.mark.parametrize(
        ("statement", "values"),
        [
            (SELECT, {}),
            (LIST, {"completed": None, "search": None, "limit": 100}),
            (LIST_ON, {"completed": None, "search": "i", "limit": 100, "after_key": "a", "after_id": 1}),
            (INSERT, {"title": "New", "description": None, "completed": False, "email": None, "name": None}),
            (UPDATE, {"title": "New", "description": None, "set_description": True, "completed": None}),
            (COMPLETE, {"completed": None}),
            (DELETE, {}),
            (UPDATE_UNCHANGED, {"title": "New", "description": None, "set_description": True, "completed": None}),
            (COMPLETE_UNCHANGED, {"completed": None}),
            (DELETE_UNCHANGED, {}),
        ],
        ids=[
            "read",
            "list",
            "list on",
            "create",
            "update",
            "complete",
            "delete",
            "update if unchanged",
            "complete if unchanged",
            "delete if unchanged",
        ],
    )
    def test_each_operation_takes_exactly_one(
        self, worker_database: str, proxy: Proxy, statement: Statement, values: dict[str, Any]
    ) -> None:
        async def scene() -> None:
            async with opened(url_through(proxy.port, worker_database)) as database:
                owner = new_owner()
                tasks = [await insert(database, owner) for _ in range(4)]
                versions = [row[6] for task in tasks for row in await database.run(SELECT, owner, task_id=task)]
                values["versions"] = versions
                await database.run(statement, owner, task_id=tasks.pop(), **values)
                before = proxy.round_trips
                for task in tasks:
                    assert await database.run(statement, owner, task_id=task, **values)

                assert proxy.round_trips - before == len(tasks)

        play(scene())

    def test_create_with_a_key_takes_exactly_one_and_so_does_its_repetition(
        self, worker_database: str, proxy: Proxy
    ) -> None:
        async def scene() -> None:
            async with opened(url_through(proxy.port, worker_database)) as database:
                owner = new_owner()
                await insert_once(database, owner, "first")
                for key in ("second", "second", "third"):
                    before = proxy.round_trips
                    await insert_once(database, owner, key)

                    assert proxy.round_trips - before == 1

        play(scene())

    def test_first_use_of_a_statement_takes_no_more(self, worker_database: str, proxy: Proxy) -> None:
        async def scene() -> None:
            async with opened(url_through(proxy.port, worker_database)) as database:
                await database.run(BACKEND, "someone")
                before = proxy.round_trips
                await echo(database, "new")

                assert proxy.round_trips - before == 1

        play(scene())

    def test_many_statements_share_the_time_of_one(self, worker_database: str, proxy: Proxy) -> None:
        async def scene() -> None:
            async with opened(url_through(proxy.port, worker_database)) as database:
                await warm(database, 4)
                proxy.delay_seconds = 0.1
                before = proxy.round_trips
                await asyncio.gather(*(echo(database, str(number)) for number in range(200)))

                assert proxy.round_trips - before < 50

        play(scene())


class TestPrepared:
    def test_statement_is_parsed_at_its_first_use_and_used_by_its_name_from_then_on(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=1) as database:
                for number in range(3):
                    await echo(database, str(number))

                assert await prepared(database) == {PREAMBLE.name: 4, ECHO.name: 3, PREPARED.name: 1}

        play(scene())

    def test_until_the_server_has_confirmed_it_others_do_not_rely_on_it(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=1) as database:
                await database.run(BACKEND, "someone")
                assert await asyncio.gather(*(echo(database, str(number)) for number in range(3))) == ["0", "1", "2"]

                assert (await prepared(database))[ECHO.name] == 1

        play(scene())

    def test_what_a_migration_outdated_is_sent_again_over_a_new_connection_and_the_old_one_ends_its_work(
        self, database: str
    ) -> None:
        async def scene() -> None:
            with witnessing(database) as witness:
                async with opened(witness.url, connections=1) as shared:
                    owner = new_owner()
                    assert await shared.run(SELECT, owner, task_id=1) == []
                    first = await shared.run(BACKEND, owner)
                    with psycopg.connect(database, autocommit=True) as connection:
                        connection.execute("ALTER TABLE tasks ALTER COLUMN title TYPE varchar(999)")
                    read, slow, created = await asyncio.gather(
                        shared.run(SELECT, owner, task_id=1), sleep(shared, 0.25, "slow"), insert(shared, owner)
                    )

                    assert (read, slow, created) == ([], "slow", 1)
                    assert await shared.run(BACKEND, owner) != first
                    await until(lambda: witness.connections() == 1)

        play(scene())

    @either_loop
    def test_connection_that_is_lost_with_outdated_work_takes_no_other_with_it(
        self, database: str, loop: Loop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The next connection has its number, and must keep its place in the event loop."""

        async def scene() -> None:
            with witnessing(database) as witness:
                async with opened(witness.url, connections=2) as shared:
                    await shared.run(SELECT, "someone", task_id=1)
                    with psycopg.connect(database, autocommit=True) as connection:
                        connection.execute("ALTER TABLE tasks ALTER COLUMN title TYPE varchar(999)")
                    works = [asyncio.create_task(shared.run(SELECT, "someone", task_id=1)) for _ in range(2)]
                    slow = asyncio.create_task(sleep(shared, 0.5))
                    assert await asyncio.gather(*works) == [[], []]
                    await until(lambda: witness.running("pg_sleep") == 1)
                    witness.terminate()
                    await slow
                    await echo(shared, "")  # and the last look at everything that is silent is over
                    monkeypatch.setattr("todo_api.db.connection.SWEEP_SECONDS", 3600)

                    assert [await echo(shared, str(number)) for number in range(5)] == [*"01234"]

        play(scene(), loop)

    def test_what_could_not_be_prepared_is_once_it_can_be(self, database: str) -> None:
        statement = compile_statement(select(column("id")).select_from(table("later")))

        async def scene() -> None:
            async with opened(database, connections=1) as shared:
                for _ in range(2):
                    with pytest.raises(SchemaMissing):
                        await shared.run(statement, "someone")
                with psycopg.connect(database, autocommit=True) as connection:
                    connection.execute("CREATE TABLE later (id int)")
                    connection.execute(f"GRANT SELECT ON later TO {ROLE}")
                for _ in range(2):
                    assert await shared.run(statement, "someone") == []

                assert (await prepared(shared))[statement.name] == 2

        play(scene())

    def test_behind_a_pooler_nothing_is(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=1, pooled=True) as database:
                await echo(database, "")

                assert await prepared(database) == {}

        play(scene())


class TestManyCallers:
    def test_each_of_500_gets_its_own_answer_over_at_most_4_connections(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url) as database:
                for _ in range(3):
                    values = [secrets.token_hex(8) for _ in range(500)]
                    answers = await asyncio.gather(*(echo(database, value) for value in values))

                    assert answers == values
                assert 2 <= witness.connections() <= 4

        play(scene())

    def test_number_of_connections_is_the_limit(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url, connections=2) as database:
                for _ in range(5):
                    await asyncio.gather(*(sleep(database, 0.005) for _ in range(40)))

                assert witness.connections() == 2

        play(scene())

    def test_answers_larger_than_a_socket_buffer_mix_with_small_ones(self, worker_database: str) -> None:
        async def text(database: Pool, times: int) -> int:
            return len((await database.run(REPEAT, "someone", times=times))[0][0])

        async def scene() -> None:
            async with opened(worker_database, connections=2) as database:
                sizes = [BIG if number % 7 == 0 else number for number in range(30)]

                assert await asyncio.gather(*(text(database, size) for size in sizes)) == sizes

        play(scene())

    def test_parameters_larger_than_a_socket_buffer_mix_with_small_ones(self, worker_database: str) -> None:
        async def length(database: Pool, size: int) -> int:
            return int((await database.run(LENGTH, "someone", value="ü" * size))[0][0] or -1)

        async def scene() -> None:
            async with opened(worker_database, connections=2) as database:
                sizes = [MEGABYTE if number % 5 == 0 else number for number in range(1, 41)]

                assert await asyncio.gather(*(length(database, size) for size in sizes)) == sizes

        play(scene())

    def test_parameter_larger_than_every_buffer_gets_through_and_nothing_is_waited_for_afterwards(
        self, worker_database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("todo_api.db.connection.SWEEP_SECONDS", 60)

        async def scene() -> None:
            async with opened(worker_database, connections=1) as database:
                text = "x" * 16 * MEGABYTE

                assert await database.run(LENGTH, "someone", value=text) == [(len(text),)]
                assert not asyncio.get_running_loop().remove_writer(database._connector.connections[0]._socket)

        play(scene(), asyncio.new_event_loop)  # uvloop does not tell whether there was one

    def test_large_parameters_and_large_answers_at_once_do_not_block_each_other(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=1) as database:
                texts = [letter * 2 * MEGABYTE for letter in "abcdefgh"]
                answers = await asyncio.gather(*(echo(database, text) for text in texts))

                assert answers == texts

        play(scene())

    def test_slow_statement_delays_nobody_on_the_other_connections(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database) as database:
                await warm(database, 4)
                with locked(worker_database) as lock:
                    slow = waiting(database, lock)
                    await asyncio.sleep(0)

                    assert [await echo(database, str(number)) for number in range(100)] == [*map(str, range(100))]
                    assert not slow.done()
                await slow

        play(scene())


class TestFailure:
    def test_failing_read_in_the_middle_hurts_nobody_else(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=1) as database:
                works = [
                    database.run(DIVIDE, "someone", by=0) if number == 50 else echo(database, str(number))
                    for number in range(101)
                ]
                answers = await asyncio.gather(*works, return_exceptions=True)

                failure = answers.pop(50)
                assert isinstance(failure, StatementFailed)
                assert failure.reason == "SQLSTATE 22012"
                assert answers == [str(number) for number in range(101) if number != 50]

        play(scene())

    def test_failing_write_leaves_nothing_behind_while_its_neighbours_commit(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url, connections=1) as database:
                owner, stranger = new_owner(), new_owner()
                works = [
                    insert(database, *((stranger, " ") if number == 5 else (owner, str(number))))
                    for number in range(11)
                ]
                answers = await asyncio.gather(*works, return_exceptions=True)

                assert [isinstance(answer, StatementFailed) for answer in answers] == [n == 5 for n in range(11)]
                assert witness.titles(owner) == [str(number) for number in range(11) if number != 5]
                assert witness.titles(stranger) == []
                assert witness.rows("SELECT id FROM users WHERE id = %s", stranger) == []

        play(scene())

    def test_failing_first_use_leaves_the_statement_usable(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=1) as database:
                for _ in range(2):
                    with pytest.raises(StatementFailed):
                        await database.run(DIVIDE, "someone", by=0)

                assert (await database.run(DIVIDE, "someone", by=4))[0][0] == Decimal(25)

        play(scene())

    def test_statement_that_cannot_be_prepared_fails_every_time_and_alone(self, worker_database: str) -> None:
        broken = compile_statement(select(func.no_such_function()))

        async def scene() -> None:
            async with opened(worker_database, connections=1) as database:
                works = [database.run(broken, "someone") if n % 3 == 0 else echo(database, str(n)) for n in range(12)]
                answers = await asyncio.gather(*works, return_exceptions=True)

                assert [isinstance(answer, SchemaMissing) for answer in answers] == [n % 3 == 0 for n in range(12)]
                assert [answers[n] for n in (1, 2, 10, 11)] == ["1", "2", "10", "11"]
                assert set(await prepared(database)) == {PREAMBLE.name, ECHO.name, PREPARED.name}

        play(scene())

    def test_database_that_is_not_migrated_is_told_from_a_failure(self, postgres: str) -> None:
        async def scene() -> None:
            async with opened(database_url(postgres, "template1")) as database:
                with pytest.raises(SchemaMissing):
                    await database.run(EVERY_TASK, "someone")

        play(scene())

    def test_feature_that_is_not_supported_is_a_fault_and_retires_no_connection(self, database: str) -> None:
        """A prepared statement that a migration outdated has the same SQLSTATE."""
        unsupported = compile_statement(select(func.unsupported()))
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "CREATE FUNCTION unsupported() RETURNS int LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '0A000'; END $$"
            )

        async def scene() -> None:
            async with opened(database, connections=1) as shared:
                backend = await shared.run(BACKEND, "someone")
                for _ in range(3):
                    with pytest.raises(StatementFailed, match="0A000"):
                        await shared.run(unsupported, "someone")

                assert await shared.run(BACKEND, "someone") == backend

        play(scene())

    def test_reason_holds_no_values(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database) as database:
                with pytest.raises(StatementFailed) as failure:
                    await insert(database, new_owner(), "private" * 100)

                assert "private" not in f"{failure.value!r} {failure.value.reason} {failure.value.__cause__}"

        play(scene())


class TestCancellation:
    def test_late_result_of_a_cancelled_caller_reaches_nobody(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=1) as database:
                await warm(database, 1)
                tasks = [asyncio.create_task(sleep(database, 0.01, str(number))) for number in range(40)]
                await asyncio.sleep(0)
                for task in tasks[::2]:
                    task.cancel()
                answers = await asyncio.gather(*tasks, return_exceptions=True)

                assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
                assert answers[1::2] == [str(number) for number in range(1, 40, 2)]
                assert await echo(database, "after") == "after"

        play(scene())

    def test_caller_cancelled_while_the_connection_opens_disturbs_nobody(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database) as database:
                tasks = [asyncio.create_task(echo(database, str(number))) for number in range(10)]
                await asyncio.sleep(0)
                for task in tasks[::2]:
                    task.cancel()
                answers = await asyncio.gather(*tasks, return_exceptions=True)

                assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
                assert answers[1::2] == ["1", "3", "5", "7", "9"]

        play(scene())


class TestTime:
    def test_statement_timeout_answers_unavailable_and_neighbours_survive(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=1, statement_timeout_milliseconds=200) as database:
                await warm(database, 1)
                works = [echo(database, "before"), sleep(database, 30), echo(database, "after")]
                before, failure, after = await asyncio.gather(*works, return_exceptions=True)

                assert isinstance(failure, Unavailable)
                assert failure.reason == "SQLSTATE 57014"
                assert (before, after) == ("before", "after")

        play(scene())

    def test_no_answer_within_the_wait_is_unavailable_in_time(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=1, wait_seconds=0.3) as database:
                await warm(database, 1)
                started = time.monotonic()
                with pytest.raises(Unavailable, match=r"^no answer in time$"):
                    await sleep(database, 10)

                assert time.monotonic() - started >= 0.2

        play(scene())

    def test_caller_behind_one_who_gave_up_gets_an_own_answer(
        self, worker_database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=1, wait_seconds=0.5) as database:
                await warm(database, 1)
                with locked(worker_database) as lock:
                    with pytest.raises(Unavailable):
                        await waiting(database, lock)
                    monkeypatch.setattr(database, "_limits", Limits())
                    second = asyncio.create_task(echo(database, "second"))
                    await asyncio.sleep(0)

                assert await second == "second"

        play(scene())

    def test_statement_beyond_the_queue_limit_is_unavailable_at_once(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=1, pending=10) as database:
                await echo(database, "")
                with locked(worker_database) as lock:
                    under_way = [waiting(database, lock) for _ in range(10)]
                    await asyncio.sleep(0)
                    with pytest.raises(Unavailable, match=r"^too many statements under way$"):
                        await echo(database, "one too many")

                    assert not any(task.done() for task in under_way)
                assert await asyncio.gather(*under_way) == [[("",)]] * 10
                assert await echo(database, "again") == "again"

        play(scene())

    def test_queue_limit_holds_before_every_connection_is_open(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=4, pending=10) as database:
                await echo(database, "")
                works = [sleep(database, 0.01, str(number)) for number in range(50)]
                answers = await asyncio.gather(*works, return_exceptions=True)

                assert sum(isinstance(answer, str) for answer in answers) == 10
                assert sum(isinstance(answer, Unavailable) for answer in answers) == 40

        play(scene())

    def test_queue_limit_holds_while_the_first_connection_opens(self, worker_database: str, proxy: Proxy) -> None:
        async def scene() -> None:
            proxy.silence()
            async with opened(url_through(proxy.port, worker_database), pending=10) as database:
                tasks = [asyncio.create_task(echo(database, str(number))) for number in range(50)]
                await until(lambda: bool(proxy.accepted))
                rejected = sum(task.done() for task in tasks)
                proxy.resume()
                await asyncio.gather(*tasks, return_exceptions=True)

                assert rejected == 40

        play(scene())

    def test_connection_unused_for_long_is_replaced(
        self, worker_database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def scene() -> None:
            async with opened(worker_database) as database:
                first = await database.run(BACKEND, "someone")
                second = await database.run(BACKEND, "someone")
                monkeypatch.setattr("todo_api.db.connector.IDLE_SECONDS", -1.0)
                third = await database.run(BACKEND, "someone")

                assert first == second != third

        play(scene())


class TestRowLevelSecurity:
    """Statements here lack every condition on the owner."""

    EVERY_USER = compile_statement(select_rows(User.id))
    EVERY_KEY = compile_statement(select_rows(IdempotencyKey.key))
    FORGET_ALL = compile_statement(delete(IdempotencyKey).returning(col(IdempotencyKey.key)))
    UPDATE_ALL = compile_statement(update(Task).values(title=bindparam("title", type_=Text)).returning(Task))
    DELETE_ALL = compile_statement(delete(Task).returning(Task))
    GIVE_AWAY = compile_statement(update(Task).values(user_id=bindparam("other", type_=Text)).returning(Task))

    @pytest.fixture(params=["superuser", "owner", "bypass"])
    def login(self, request: pytest.FixtureRequest, postgres: str, database: str) -> Iterator[str]:
        """The URL of a migrated database, with a login that could see everything."""
        if request.param == "superuser":
            yield database
            return
        name = f"login_{secrets.token_hex(8)}"
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {name} LOGIN {'BYPASSRLS' if request.param == 'bypass' else ''}")
            connection.execute(f"GRANT {ROLE} TO {name}")
            connection.execute(f"GRANT ALL ON SCHEMA public TO {name}")
            if request.param == "owner":
                for table in ("todo_api_version", "users", "tasks", "idempotency_keys"):
                    connection.execute(f"ALTER TABLE {table} OWNER TO {name}")
            else:
                connection.execute(f"GRANT ALL ON users, tasks, idempotency_keys TO {name}")
        yield database.replace("//postgres:@", f"//{name}@")
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f"REASSIGN OWNED BY {name} TO postgres")
            connection.execute(f"DROP OWNED BY {name}")
            connection.execute(f"DROP ROLE {name}")

    def test_reading_everything_shows_ones_own_even_right_after_another_user(self, login: str) -> None:
        async def scene() -> None:
            async with opened(login, connections=1) as database:
                alice, bob = new_owner(), new_owner()
                hers = [await insert(database, alice) for _ in range(3)]
                his = [await insert(database, bob) for _ in range(2)]
                for _ in range(3):
                    for owner, tasks in ((alice, hers), (bob, his)):
                        assert sorted(ids(await database.run(EVERY_TASK, owner))) == tasks
                        assert await database.run(self.EVERY_USER, owner) == [(owner,)]

        play(scene())

    def test_reading_everything_concurrently_shows_each_user_their_own(self, login: str) -> None:
        async def scene() -> None:
            async with opened(login) as database:
                owners = {owner: await insert(database, owner) for owner in (new_owner() for _ in range(20))}
                answers = await asyncio.gather(*(database.run(EVERY_TASK, owner) for owner in [*owners] * 10))

                assert [ids(answer) for answer in answers] == [[task] for task in owners.values()] * 10

        play(scene())

    def test_changing_and_deleting_everything_touches_ones_own_alone(self, login: str) -> None:
        async def scene() -> None:
            async with opened(login, connections=1) as database:
                alice, bob = new_owner(), new_owner()
                hers, his = await insert(database, alice), await insert(database, bob)
                before = await database.run(SELECT, bob, task_id=his)

                assert ids(await database.run(self.UPDATE_ALL, alice, title="Mine")) == [hers]
                assert await database.run(SELECT, bob, task_id=his) == before
                assert ids(await database.run(self.DELETE_ALL, alice)) == [hers]
                assert await database.run(SELECT, bob, task_id=his) == before

        play(scene())

    def test_keys_of_others_are_neither_seen_nor_forgotten(self, login: str) -> None:
        async def scene() -> None:
            async with opened(login, connections=1) as database:
                alice, bob = new_owner(), new_owner()
                await insert_once(database, alice, "hers")
                await insert_once(database, bob, "his")

                assert await database.run(self.EVERY_KEY, alice) == [("hers",)]
                assert await database.run(self.FORGET_ALL, alice) == [("hers",)]
                assert await database.run(self.EVERY_KEY, bob) == [("his",)]
                assert await database.run(self.EVERY_KEY, "") == []

        play(scene())

    def test_task_can_be_neither_made_for_nor_given_to_another_user(self, login: str) -> None:
        async def scene() -> None:
            async with opened(login, connections=1) as database:
                alice, bob = new_owner(), new_owner()
                hers, his = await insert(database, alice), await insert(database, bob)
                with pytest.raises(DatabaseError, match="42501"):
                    await database.run(self.GIVE_AWAY, alice, other=bob)

                assert ids(await database.run(EVERY_TASK, bob)) == [his]
                assert ids(await database.run(EVERY_TASK, alice)) == [hers]

        play(scene())

    def test_nobody_sees_and_changes_nothing(self, login: str) -> None:
        async def scene() -> None:
            async with opened(login, connections=1) as database:
                alice = new_owner()
                task = await insert(database, alice)

                assert await database.run(EVERY_TASK, "") == []
                assert await database.run(self.EVERY_USER, "") == []
                assert await database.run(self.UPDATE_ALL, "", title="Mine") == []
                assert await database.run(self.DELETE_ALL, "") == []
                assert ids(await database.run(EVERY_TASK, alice)) == [task]

        play(scene())

    def test_login_sees_everything_without_the_preamble_unless_it_owns_the_tables(self, login: str) -> None:
        """The confinement above is the preamble's doing, not a lack of rights."""

        async def scene() -> None:
            async with opened(login) as database:
                await insert(database, new_owner())
                await insert(database, new_owner())

        play(scene())
        with psycopg.connect(login) as connection:
            seen = connection.execute("SELECT count(*) FROM tasks").fetchone()
        assert seen == (0,) if "login_" in login and not _bypasses(login) else seen == (2,)

    def test_role_and_settings_do_not_leak_into_the_next_transaction(self, login: str) -> None:
        async def scene() -> None:
            async with opened(login, connections=1) as database:
                await insert(database, new_owner())
                with pytest.raises(StatementFailed):
                    await database.run(DIVIDE, new_owner(), by=0)
                raw = database._connector.connections[0]._pq
                asyncio.get_running_loop().remove_reader(raw.socket)
                raw.exit_pipeline_mode()
                answer = raw.exec_(
                    f"SELECT current_user = session_user, current_setting('{USER_SETTING}', true),"
                    " current_setting('statement_timeout')".encode()
                )

                assert [answer.get_value(0, column) for column in range(3)] == [b"t", b"", b"0"]

        play(scene())

    def test_login_that_migrates_the_database_itself_is_confined(self, postgres: str) -> None:
        name = f"login_{secrets.token_hex(8)}"
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {name} LOGIN")
            connection.execute(f"GRANT {ROLE} TO {name}")
            connection.execute(f"CREATE DATABASE {name} OWNER {name}")
        url = database_url(postgres, name).replace("//postgres:@", f"//{name}@")

        async def scene() -> None:
            async with opened(url, connections=1) as database:
                alice, bob = new_owner(), new_owner()
                task = await insert(database, alice)
                await insert(database, bob)

                assert ids(await database.run(EVERY_TASK, alice)) == [task]

        try:
            migrations.upgrade(url)
            play(scene())
        finally:
            with psycopg.connect(postgres, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
                connection.execute(f"DROP ROLE {name}")


def _bypasses(url: str) -> bool:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT rolbypassrls FROM pg_roles WHERE rolname = current_user").fetchone()
    return row == (True,)
