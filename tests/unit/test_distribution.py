"""What is sent to Citus, on a plain PostgreSQL with stand-ins for the functions that Citus has.

Whether Citus does what is said here is tested in ``tests/distributed``, where there is a cluster.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.db.scenes import EVERY_TASK, ids, new_pool, play
from tests.db.scenes import insert as create
from tests.harness import SECRET, database_url, serving
from tests.unit.test_protection import ask, execute, owner
from todo_api import migrations
from todo_api.app import CITUS_PREAMBLE
from todo_api.cli import main
from todo_api.cli.doctor import examine
from todo_api.db import Pool
from todo_api.local.postgres import running
from todo_api.migrations import MigrationFailed, state
from todo_api.settings import Settings

CITUS = (
    "CREATE TABLE pg_dist_partition (logicalrelid regclass, key text, colocated text)",
    """CREATE FUNCTION create_distributed_table(regclass, text, colocate_with text) RETURNS void LANGUAGE SQL AS
       'INSERT INTO pg_dist_partition VALUES ($1, $2, $3)'""",
    "CREATE FUNCTION truncate_local_data_after_distributing_table(regclass) RETURNS void LANGUAGE SQL AS ''",
)
FUNCTION = (
    "CREATE OR REPLACE FUNCTION todo_api_citus.assume_user(owner text, statement_timeout text, plan_cache_mode text)"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of one's own, because our role may log in here. The URL of its superuser."""
    with running(tmp_path_factory.mktemp("citus") / "data") as cluster:
        yield cluster.url


@pytest.fixture
def admin(server: str) -> Iterator[str]:
    """The superuser's URL of a new database with the stand-ins, which a plain login owns."""
    execute(server, "CREATE ROLE todo LOGIN", "CREATE DATABASE todo OWNER todo")
    url = database_url(server, "todo")
    execute(url, *CITUS, "GRANT ALL ON pg_dist_partition TO PUBLIC")
    yield url
    execute(server, "DROP DATABASE todo WITH (FORCE)", "DROP ROLE todo", "DROP ROLE IF EXISTS todo_api")


def distributed(url: str) -> Pool:
    return new_pool(url, preamble=CITUS_PREAMBLE, transaction_block=True)


def rows(url: str, query: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def readiness(url: str, *, told: bool = True) -> str:
    """What ``/ready`` says."""

    async def check() -> str:
        pool = distributed(url) if told else new_pool(url)
        try:
            await state.check(pool, migrations.head(), distributed=told)
        except state.DatabaseUnusable as error:
            return str(error)
        finally:
            await pool.close()
        return "ok"

    return asyncio.run(check())


def findings(url: str, *, told: bool = True) -> list[str]:
    """What ``doctor`` finds wrong."""
    settings = Settings(_env_file=None, database_url=url, database_citus=told, better_auth_secret=SECRET)
    return [finding.what for finding in examine(settings, None) if not finding.ok]


class TestDistribute:
    def test_tables_are_divided_by_user_and_colocated(self, admin: str) -> None:
        migrations.upgrade(admin, distribute=True)

        assert rows(admin, "SELECT logicalrelid::text, key, colocated FROM pg_dist_partition") == [
            ("users", "id", "default"),
            ("tasks", "user_id", "users"),
            ("idempotency_keys", "user_id", "users"),
        ]
        assert rows(admin, "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'tasks_pkey'") == [
            ("PRIMARY KEY (user_id, id)",)
        ]
        assert ask(admin, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'todo_api'") is True
        assert ask(admin, "SELECT has_database_privilege('todo_api', 'todo', 'CONNECT')") is True

    def test_tables_stay_protected(self, admin: str) -> None:
        migrations.upgrade(admin, distribute=True)

        assert (
            rows(
                admin,
                "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname IN ('users', 'tasks', 'idempotency_keys')",
            )
            == [(True, True)] * 3
        )

    def test_migration_of_distributed_tables_touches_nothing_that_is_as_it_should_be(self, admin: str) -> None:
        migrations.upgrade(admin, distribute=True)
        catalogue = (
            "SELECT xmin::text, oid FROM pg_policy UNION ALL SELECT xmin::text, oid FROM pg_constraint"
            " UNION ALL SELECT xmin::text, oid FROM pg_class WHERE relname IN ('users', 'tasks', 'idempotency_keys')"
        )
        before = rows(admin, catalogue)
        migrations.upgrade(admin)
        migrations.upgrade(admin, distribute=True)

        assert rows(admin, catalogue) == before

    @pytest.mark.parametrize("damage", ["DROP FUNCTION todo_api_citus.assume_user", "ALTER ROLE todo_api NOLOGIN"])
    def test_migration_puts_back_what_was_taken_away(self, admin: str, damage: str) -> None:
        migrations.upgrade(admin, distribute=True)
        execute(admin, damage)
        migrations.upgrade(admin)

        assert readiness(admin) == "ok"
        assert ask(admin, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'todo_api'") is True

    def test_database_without_citus_is_told_what_to_run(self, admin: str) -> None:
        execute(admin, "DROP TABLE pg_dist_partition")
        with pytest.raises(MigrationFailed, match="has no Citus: on every node run `CREATE EXTENSION citus`"):
            migrations.upgrade(admin, distribute=True)
        migrations.upgrade(admin)

        assert readiness(admin, told=False) == "ok"

    def test_database_with_citus_is_not_distributed_unless_that_is_wanted(self, admin: str) -> None:
        migrations.upgrade(admin)

        assert rows(admin, "SELECT FROM pg_dist_partition") == []
        assert readiness(admin, told=False) == "ok"

    def test_login_that_may_not_let_our_role_log_in_is_told_the_statement(self, admin: str) -> None:
        execute(admin, "CREATE ROLE todo_api NOLOGIN", "GRANT todo_api TO todo")
        with pytest.raises(MigrationFailed) as caught:
            migrations.upgrade(owner(admin), distribute=True)
        execute(admin, "ALTER ROLE todo_api LOGIN")
        migrations.upgrade(owner(admin), distribute=True)

        assert "as an administrator run `ALTER ROLE todo_api LOGIN;`, then" in str(caught.value)
        assert readiness(owner(admin)) == "ok"


class TestService:
    def test_command_distributes_and_says_what_to_set(
        self, admin: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", admin)
        monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)

        assert main(["migrate", "--distribute"]) == 0
        assert capsys.readouterr().out.endswith("distributed: start the service with DATABASE_CITUS=true.\n")

    def test_service_serves_and_is_ready(self, admin: str, tmp_path: Path) -> None:
        migrations.upgrade(admin, distribute=True)
        with serving(tmp_path, DATABASE_URL=admin, DATABASE_CITUS="true") as server:
            ada, eve = server.user(), server.user()
            task = ada.create()

            assert server.client().get("/ready").status_code == 200
            assert ada.http.get(ada.base).json() == [task]
            assert eve.http.get(eve.base).json() == []


class TestTransactions:
    def test_begin_with_the_user_of_the_request(self, admin: str) -> None:
        migrations.upgrade(admin, distribute=True)

        async def scene() -> None:
            pool = distributed(admin)
            ada, eve = "ada", "eve's \\ '; \"%L"
            tasks = {user: await create(pool, user) for user in (ada, eve)}
            for user, task in tasks.items():
                assert ids(await pool.run(EVERY_TASK, user)) == [task]
            for user in ("mallory", ""):
                assert await pool.run(EVERY_TASK, user) == []
            await pool.close()

        play(scene())

    def test_our_role_fails_without_a_user_and_the_owner_finds_nothing(self, admin: str) -> None:
        migrations.upgrade(admin, distribute=True)
        execute(admin, "INSERT INTO users (id) VALUES ('ada')")
        ours = psycopg.conninfo.make_conninfo(admin, user="todo_api")
        with pytest.raises(psycopg.errors.UndefinedObject, match=r"todo_api\.user_id"):
            rows(ours, "SELECT FROM users")
        execute(admin, "ALTER TABLE users OWNER TO todo")

        assert rows(owner(admin), "SELECT FROM users") == []


class TestWhatIsSaid:
    def test_service_that_was_not_told_of_distributed_tables(self, admin: str) -> None:
        migrations.upgrade(admin, distribute=True)
        execute(admin, "ALTER TABLE todo_api_version RENAME TO somewhere_else")  # as if it were rejected, as Citus does

        assert readiness(admin, told=False) == state.DISTRIBUTED
        assert findings(admin, told=False) == [state.DISTRIBUTED]

    def test_service_that_takes_plain_tables_for_distributed_ones(self, admin: str) -> None:
        migrations.upgrade(admin)

        assert readiness(admin) == state.NOT_DISTRIBUTED
        assert findings(admin) == [state.NOT_DISTRIBUTED]

    @pytest.mark.parametrize(
        "body", ["PERFORM set_config('role', 'todo_api', true)", "SET LOCAL todo_api.user_id = 'eve'"]
    )
    def test_user_who_does_not_reach_the_nodes(self, admin: str, body: str) -> None:
        migrations.upgrade(admin, distribute=True)
        execute(admin, f"{FUNCTION} RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN true; END $$")

        assert readiness(admin) == state.USER_LOST
        assert findings(admin) == [state.USER_LOST]

    def test_node_where_our_role_may_not_log_in(self, admin: str) -> None:
        migrations.upgrade(admin, distribute=True)
        raised = "RAISE 'no' USING ERRCODE = '08006'"
        execute(admin, f"{FUNCTION} RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN {raised}; END $$")

        assert readiness(admin) == state.NODE_UNREACHABLE
        assert findings(admin) == [state.NODE_UNREACHABLE]

    def test_nothing_that_would_be_untrue(self, admin: str) -> None:
        migrations.upgrade(admin)
        execute(
            admin,
            "DROP TABLE todo_api_version",
            "CREATE VIEW todo_api_version AS SELECT (1 / (random() * 0)::int)::text AS version_num",
            "GRANT SELECT ON todo_api_version TO todo_api",
        )

        assert findings(admin, told=False) == ["The database answers, but not as it should: SQLSTATE 22012."]
