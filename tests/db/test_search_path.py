"""Names mean the same tables to migrations and to every transaction, behind a pooler too."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import func, literal_column, select

from tests.db.scenes import EVERY_TASK, ids, insert, new_owner, opened, play
from tests.harness import database_url, serving
from todo_api import migrations
from todo_api.db import compile_statement

EMPTY_THE_PATH = compile_statement(
    select(func.set_config(literal_column("'search_path'"), literal_column("''"), literal_column("false")))
)
"""What a file that pg_dump wrote runs first, for the whole session."""


@contextmanager
def login_of_its_own(postgres: str, *, options: str = "", encoding: str = "UTF8") -> Iterator[tuple[str, str]]:
    """A login whose database has a schema of the login's name; the name, and the URL."""
    name = f"Lögin $user {secrets.token_hex(4)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f'CREATE ROLE "{name}" LOGIN')
        connection.execute(f'GRANT todo_api TO "{name}"')
        connection.execute(
            f"""CREATE DATABASE "{name}" OWNER "{name}" TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'"""
        )
    url = psycopg.conninfo.make_conninfo(postgres, user=name, dbname=name, options=options)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA "{name}"')
    try:
        yield name, url
    finally:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            connection.execute(f'DROP ROLE "{name}"')


def schemas(url: str) -> list[str]:
    """Where the tables are."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'tasks'").fetchall()
    return [schema for (schema,) in rows]


class TestOneMeaning:
    @pytest.mark.parametrize("options", ["", "-c search_path=$user", "-c search_path=public"])
    def test_tables_in_the_schema_that_migrations_chose_are_found(self, postgres: str, options: str) -> None:
        async def scene(url: str) -> None:
            async with opened(url, connections=1) as database:
                owner = new_owner()
                task = await insert(database, owner)

                assert ids(await database.run(EVERY_TASK, owner)) == [task]

        with login_of_its_own(postgres, options=options) as (name, url):
            migrations.upgrade(url)
            play(scene(url))
            assert schemas(url) == ["public" if "public" in options else name]

    def test_path_that_another_client_of_a_pooler_left_is_not_used(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database, connections=1) as database:
                owner = new_owner()
                task = await insert(database, owner)
                await database.run(EMPTY_THE_PATH, owner)

                assert ids(await database.run(EVERY_TASK, owner)) == [task]

        play(scene())


class TestReady:
    def test_schema_outside_of_the_search_path_is_named_and_in_the_log_what_helps(
        self, postgres: str, tmp_path: Path
    ) -> None:
        with login_of_its_own(postgres) as (name, url):
            migrations.upgrade(url)
            away = psycopg.conninfo.make_conninfo(url, options="-c search_path=public")
            with serving(tmp_path, DATABASE_URL=as_url(away)) as server:
                response = server.client().get("/ready")
                (line,) = server.log(event="database.failed")

                assert response.status_code == 503
                reason = f'The tables are in the schema "{name}", where the login does not look'
                assert response.json()["detail"] == f"{reason}."
                assert line["reason"] == f'{reason}: run `ALTER ROLE "{name}" SET search_path = "{name}"`.'

    @pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
    def test_encoding_that_cannot_hold_every_text_is_named(self, postgres: str, tmp_path: Path, encoding: str) -> None:
        name = f"encoding_{secrets.token_hex(8)}"
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
        try:
            with serving(tmp_path, DATABASE_URL=database_url(postgres, name)) as server:
                response = server.client().get("/ready")

                assert response.status_code == 503
                assert response.json()["detail"] == f"The database's encoding is {encoding}, and UTF8 is needed."
        finally:
            with psycopg.connect(postgres, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def as_url(conninfo: str) -> str:
    """The URL of a conninfo."""
    parts = psycopg.conninfo.conninfo_to_dict(conninfo)
    return "postgresql:///?" + "&".join(f"{name}={quote(str(value), safe='')}" for name, value in parts.items())
