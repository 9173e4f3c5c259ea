"""Databases as people have them.

Each lack has one sentence, the same everywhere, and what it advises helps.
"""

import asyncio
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.harness import SECRET, database_url
from tests.postgres.server import running
from todo_api import migrations, queries
from todo_api.cli.doctor import examine
from todo_api.db import Pool, compile_statement
from todo_api.migrations import MigrationFailed, state
from todo_api.settings import Settings

PREAMBLE = compile_statement(queries.TRANSACTION_PREAMBLE)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server of one's own: roles are of the whole server. The URL of its superuser."""
    with running() as cluster:
        yield cluster.url


@pytest.fixture
def admin(server: str) -> Iterator[str]:
    """The superuser's URL of a new database; afterwards nothing is left, not even our role."""
    name = f"todo_{secrets.token_hex(4)}"
    execute(server, f"CREATE DATABASE {name}", f"CREATE ROLE {name} LOGIN", f"ALTER DATABASE {name} OWNER TO {name}")
    yield database_url(server, name)
    execute(server, f"DROP DATABASE {name} WITH (FORCE)")
    for role in ("todo_api", "todo_api_admin", name):
        execute(server, f"DROP ROLE IF EXISTS {role}")


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def ask(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
        return None if row is None else row[0]


def owner(admin: str) -> str:
    """The URL of the database's owner, who is no superuser."""
    return make_conninfo(admin, user=str(ask(admin, "SELECT current_database()")))


def failure(url: str, login: str | None = None) -> str:
    """What ``migrate`` ends with."""
    with pytest.raises(MigrationFailed) as caught:
        migrations.upgrade(url, login=login)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def readiness(url: str) -> str:
    """What ``/ready`` logs."""

    async def check() -> str:
        pool = Pool(url, preamble=PREAMBLE, application_name="test")
        try:
            await state.check(pool, migrations.head())
        except state.DatabaseUnusable as error:
            return str(error)
        finally:
            await pool.close()
        return "ok"

    return asyncio.run(check())


def findings(url: str) -> list[str]:
    """What ``doctor`` finds wrong."""
    settings = Settings(_env_file=None, database_url=url, better_auth_secret=SECRET)
    return [finding.what for finding in examine(settings, None) if not finding.ok]


def follow(admin: str, sentence: str) -> None:
    """Run the statement that a sentence names."""
    advised = re.search(r"`([A-Z][^`]*)`", sentence)
    assert advised
    execute(admin, *[part for part in advised[1].split(";") if part])


class TestRole:
    def test_login_that_may_not_create_it_is_told_the_statement_that_helps(self, admin: str) -> None:
        sentence = failure(owner(admin))

        assert sentence.startswith(
            "The role todo_api is missing: as an administrator run `CREATE ROLE todo_api NOLOGIN;"
        )
        assert readiness(owner(admin)) == sentence
        assert findings(owner(admin)) == [sentence]
        follow(admin, sentence)
        migrations.upgrade(owner(admin))
        assert readiness(owner(admin)) == "ok"
        assert findings(owner(admin)) == []

    def test_login_that_may_create_it_needs_nothing_else(self, admin: str) -> None:
        execute(admin, f"ALTER ROLE {ask(admin, 'SELECT current_database()')} CREATEROLE")
        migrations.upgrade(owner(admin))

        assert readiness(owner(admin)) == "ok"

    def test_login_that_is_no_member_is_told_the_statement_that_helps(self, admin: str) -> None:
        execute(admin, "CREATE ROLE todo_api NOLOGIN")
        sentence = failure(owner(admin))

        assert "may not assume the role todo_api: as an administrator run `GRANT todo_api TO todo_" in sentence
        assert readiness(owner(admin)) == sentence
        assert findings(owner(admin)) == [sentence]
        follow(admin, sentence)
        migrations.upgrade(owner(admin))
        assert readiness(owner(admin)) == "ok"

    def test_login_of_the_service_becomes_a_member_by_the_migration_of_another(self, admin: str) -> None:
        service = str(ask(admin, "SELECT current_database()"))
        migrations.upgrade(admin)
        sentence = readiness(owner(admin))
        reason = "The login may not assume the role todo_api"
        assert sentence == f"{reason}: as an administrator run `GRANT todo_api TO {service};`."
        migrations.upgrade(admin, login=service)

        assert readiness(owner(admin)) == "ok"

    def test_login_of_the_service_that_nobody_here_may_let_in_is_told_of(self, admin: str) -> None:
        execute(
            admin, f"ALTER ROLE {ask(admin, 'SELECT current_database()')} NOCREATEROLE", "CREATE ROLE todo_api NOLOGIN"
        )
        execute(
            admin, f"GRANT todo_api TO {ask(admin, 'SELECT current_database()')}", 'CREATE ROLE "the service" LOGIN'
        )
        try:
            sentence = failure(owner(admin), login="the service")
            follow(admin, sentence)
            migrations.upgrade(owner(admin), login="the service")

            assert sentence.endswith('run `GRANT todo_api TO "the service";`.')
            assert readiness(make_conninfo(admin, user="the service")) == "ok"
        finally:
            execute(admin, 'DROP ROLE "the service"')

    def test_superuser_of_its_name_is_told_the_statement_that_helps(self, admin: str) -> None:
        migrations.upgrade(admin)
        execute(admin, "ALTER ROLE todo_api SUPERUSER LOGIN")
        sentence = failure(admin)

        assert sentence.startswith("The role todo_api is a superuser or bypasses row-level security")
        assert readiness(admin) == sentence
        assert findings(admin) == [sentence]
        follow(admin, sentence)
        migrations.upgrade(admin)
        assert readiness(admin) == "ok"
        execute(admin, "DROP OWNED BY todo_api_admin")

    def test_logins_of_other_deployments_that_may_read_everything_are_named(self, admin: str) -> None:
        migrations.upgrade(admin)
        execute(admin, "CREATE ROLE neighbour LOGIN", "GRANT todo_api TO neighbour")
        try:
            (finding,) = findings(admin)
            follow(admin, finding)

            assert "may read every task: neighbour." in finding
            assert findings(admin) == []
        finally:
            execute(admin, "DROP ROLE neighbour")


class TestPutBack:
    @pytest.mark.parametrize(
        "damage",
        [
            "ALTER TABLE tasks DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE users NO FORCE ROW LEVEL SECURITY",
            "DROP POLICY tasks_of_the_user ON tasks",
            "REVOKE DELETE ON tasks FROM todo_api",
            "REVOKE SELECT ON todo_api_version FROM todo_api",
            "REVOKE ALL ON SCHEMA public FROM todo_api, PUBLIC",
            "REVOKE USAGE ON SEQUENCE tasks_id_seq FROM todo_api",
        ],
    )
    def test_migration_puts_back_what_was_taken_away(self, admin: str, damage: str) -> None:
        migrations.upgrade(admin)
        before = protection(admin)
        execute(admin, damage)
        assert protection(admin) != before
        migrations.upgrade(admin)

        assert {*before} <= {*protection(admin)}
        assert readiness(admin) == "ok"


def protection(url: str) -> list[tuple[str, ...]]:
    """What holds the role to its users' rows, and what lets it reach them."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            """
            SELECT 'table', relname::text, relrowsecurity::text, relforcerowsecurity::text FROM pg_class
            WHERE relname IN ('users', 'tasks', 'idempotency_keys')
            UNION ALL SELECT 'policy', tablename::text, policyname::text, qual FROM pg_policies
            UNION ALL SELECT 'grant', table_name::text, privilege_type::text, '' FROM information_schema.role_table_grants
            WHERE grantee = 'todo_api'
            UNION ALL SELECT 'usage', '', has_schema_privilege('todo_api', 'public', 'USAGE')::text,
                has_sequence_privilege('todo_api', 'tasks_id_seq', 'USAGE')::text
            """
        ).fetchall()


def test_database_of_a_newer_version_is_named_as_such_by_all(admin: str) -> None:
    migrations.upgrade(admin)
    execute(admin, "UPDATE todo_api_version SET version_num = '9999'")
    sentence = failure(admin)

    assert sentence.startswith("The database is at revision 9999, which a newer version of the service made")
    assert readiness(admin) == sentence
    assert findings(admin) == [sentence]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_database_of_another_encoding_is_rejected_by_all(server: str, encoding: str, tmp_path: Path) -> None:
    name = f"todo_{encoding.lower()}"
    options = f"ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'"
    execute(server, f"CREATE DATABASE {name} {options}")
    execute(server, "CREATE ROLE todo_api NOLOGIN")
    try:
        sentence = failure(database_url(server, name))

        assert sentence.startswith(f"The database's encoding is {encoding}, and UTF8 is needed")
        assert readiness(database_url(server, name)) == sentence
        assert findings(database_url(server, name)) == [sentence]
    finally:
        execute(server, f"DROP DATABASE {name} WITH (FORCE)", "DROP ROLE todo_api")
