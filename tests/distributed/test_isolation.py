"""Nobody reaches what is another's, on whichever node, even when a line of defence is missing."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import literal_column, text
from sqlmodel import col, delete, select, update

from tests.db.scenes import EVERY_TASK, SELECT, ids, new_owner, new_pool, play
from tests.db.scenes import insert as create
from tests.harness import Server, serving
from todo_api.app import CITUS_PREAMBLE
from todo_api.db import DatabaseError, Limits, Pool, SchemaMissing, compile_statement
from todo_api.migrations import state
from todo_api.models import IdempotencyKey, Task, User

if "CITUS_URL" not in os.environ:
    pytest.skip("CITUS_URL names no Citus coordinator", allow_module_level=True)

# Statements that have forgotten their owner: what is left is row-level security on the nodes.
EVERY_USER = compile_statement(select(User.id))
EVERY_KEY = compile_statement(select(IdempotencyKey.key))
UPDATE_ALL = compile_statement(update(Task).values(title=literal_column("'Taken'")).returning(col(Task.id)))
DELETE_ALL = compile_statement(delete(Task).returning(col(Task.id)))
GIVE = compile_statement(text("INSERT INTO tasks (user_id, title) VALUES (:to, 'Given') RETURNING id"))
SLEEP = compile_statement(
    text("SELECT CAST(pg_sleep(1) AS text), count(*) FROM tasks WHERE user_id = CAST(:owner AS text)")
)
PATIENT = Limits(shared_timeout_milliseconds=20_000, statement_timeout_milliseconds=20_000, wait_seconds=30)


def distributed(url: str, **options: Any) -> Pool:
    """A pool as the service makes it for distributed tables, but for these options."""
    given = {"preamble": CITUS_PREAMBLE, "transaction_block": True, "limits": PATIENT, **options}
    return Pool(url, application_name="test", **given)


@pytest.fixture(scope="module")
def tasks(worker_database: str) -> dict[str, int]:
    """A task of each of so many users that every node has some."""
    made: dict[str, int] = {}

    async def scene() -> None:
        pool = distributed(worker_database)
        owners = [new_owner() for _ in range(32)]
        made.update(zip(owners, await asyncio.gather(*(create(pool, owner) for owner in owners)), strict=True))
        await pool.close()

    play(scene())
    return made


@pytest.fixture
def workers(worker_database: str) -> list[str]:
    """The URLs of the nodes that hold rows, as our role."""
    with psycopg.connect(worker_database) as connection:
        nodes = connection.execute("SELECT nodename, nodeport FROM pg_dist_node WHERE shouldhaveshards").fetchall()
    assert len(nodes) >= 2
    return [make_conninfo(worker_database, user="todo_api", host=host, port=port) for host, port in nodes]


def test_every_node_has_some(tasks: dict[str, int], worker_database: str) -> None:
    with psycopg.connect(worker_database) as connection:
        nodes = connection.execute(
            "SELECT count(DISTINCT nodeport) FROM citus_shards WHERE table_name = 'tasks'::regclass"
            " AND shardid IN (SELECT get_shard_id_for_distribution_column('tasks', id) FROM users)"
        ).fetchone()

    assert nodes is not None
    assert nodes[0] >= 2


def test_ids_are_given_once(tasks: dict[str, int]) -> None:
    assert len(set(tasks.values())) == len(tasks)


def test_statement_without_its_owner_finds_the_users_rows_alone(tasks: dict[str, int], worker_database: str) -> None:
    async def scene() -> None:
        pool = distributed(worker_database)
        for owner, task in [*tasks.items()][:8]:
            assert ids(await pool.run(EVERY_TASK, owner)) == [task]
            assert await pool.run(EVERY_USER, owner) == [(owner,)]
        for nobody in ("mallory", ""):
            for statement in (EVERY_TASK, EVERY_USER, EVERY_KEY):
                assert await pool.run(statement, nobody) == []
        await pool.close()

    play(scene())


def test_statement_without_its_owner_changes_the_users_rows_alone(tasks: dict[str, int], worker_database: str) -> None:
    async def scene() -> None:
        pool = distributed(worker_database)
        owner = new_owner()
        task = await create(pool, owner)
        for nobody in ("mallory", ""):
            assert await pool.run(UPDATE_ALL, nobody) == await pool.run(DELETE_ALL, nobody) == []

        assert await pool.run(UPDATE_ALL, owner) == [(task,)]
        assert await pool.run(DELETE_ALL, owner) == [(task,)]
        for other, theirs in tasks.items():
            ((_, _, title, *_),) = await pool.run(SELECT, other, task_id=theirs)
            assert title == "Buy milk"
        await pool.close()

    play(scene())


def test_row_of_another_cannot_be_written(tasks: dict[str, int], worker_database: str) -> None:
    async def scene() -> None:
        pool = distributed(worker_database)
        victim = next(iter(tasks))
        with pytest.raises(SchemaMissing, match="42501"):
            await pool.run(GIVE, "mallory", to=victim)
        assert len(await pool.run(EVERY_TASK, victim)) == 1
        await pool.close()

    play(scene())


@pytest.mark.parametrize("options", [{"transaction_block": False}, None], ids=["no block", "preamble of a plain one"])
def test_statement_fails_where_its_user_does_not_reach_the_node(
    tasks: dict[str, int], worker_database: str, options: dict[str, Any] | None
) -> None:
    async def scene() -> None:
        pool = new_pool(worker_database, limits=PATIENT) if options is None else distributed(worker_database, **options)
        for owner, task in tasks.items():
            with pytest.raises(DatabaseError):
                await pool.run(SELECT, owner, task_id=task)
        await pool.close()

    play(scene())


def test_statement_that_is_slow_on_its_node_runs_again_alone_and_others_meanwhile(
    tasks: dict[str, int], worker_database: str
) -> None:
    slow, *others = tasks

    async def scene() -> None:
        limits = replace(PATIENT, shared_timeout_milliseconds=300)
        pool = distributed(worker_database, limits=limits)
        sleeping = asyncio.create_task(pool.run(SLEEP, slow))
        for other in others:
            assert len(await pool.run(EVERY_TASK, other)) == 1
        assert await sleeping == [("", 1)]
        assert len(await pool.run(EVERY_TASK, slow)) == 1
        await pool.close()

    play(scene())


def test_node_itself_shows_nothing_without_a_user(tasks: dict[str, int], workers: list[str]) -> None:
    for url in workers:
        with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.UndefinedObject):
            connection.execute("SELECT FROM tasks")


def test_every_shard_is_protected(worker_database: str) -> None:
    protected = """
        SELECT relrowsecurity AND relforcerowsecurity AND count(*) = 1 AND bool_and(polpermissive)
        FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid WHERE pg_class.oid = '%s'::regclass
        GROUP BY relrowsecurity, relforcerowsecurity
    """
    with psycopg.connect(worker_database) as connection:
        for table in ("users", "tasks", "idempotency_keys"):
            answers = connection.execute(
                "SELECT DISTINCT success, result FROM run_command_on_shards(%s, %s)", [table, protected]
            ).fetchall()

            assert answers == [(True, "t")]


def reason(sentence: str) -> str:
    """What ``/ready`` says of a sentence for operators."""
    return state.DatabaseUnusable(sentence).reason


class TestReady:
    def test_it_is(self, server: Server) -> None:
        response = server.client().get("/ready")

        assert (response.status_code, response.json()) == (200, {"status": "ok", "read_only": False})

    def test_service_that_was_not_told_is_not(self, worker_database: str, tmp_path: Path) -> None:
        with serving(tmp_path, DATABASE_URL=worker_database, DATABASE_CITUS="false") as server:
            response = server.client().get("/ready")

            assert (response.status_code, response.json()["detail"]) == (503, reason(state.DISTRIBUTED))

    @pytest.fixture
    def revoked(self, worker_database: str) -> Iterator[None]:
        """For one test, our role may not log in at the nodes."""
        with psycopg.connect(worker_database, autocommit=True) as connection:
            database = f"DATABASE {connection.info.dbname}"
            connection.execute(f"REVOKE CONNECT ON {database} FROM PUBLIC, todo_api".encode())
            yield
            connection.execute(f"GRANT CONNECT ON {database} TO todo_api".encode())

    def test_coordinator_that_cannot_log_in_at_the_nodes_is_not(
        self, worker_database: str, tmp_path: Path, revoked: None
    ) -> None:
        with serving(tmp_path, DATABASE_URL=worker_database) as server:
            response = server.client().get("/ready")

            assert (response.status_code, response.json()["detail"]) == (503, reason(state.NODE_UNREACHABLE))
