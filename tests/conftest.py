"""One PostgreSQL for the whole run, one database and one running service for each worker."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.harness import TEMPLATE, Server, User, cloned_database, database_url, serving
from todo_api import local_postgres, migrations

POSTGRES = "TODO_TEST_POSTGRES"


def pytest_configure(config: pytest.Config) -> None:
    """Start PostgreSQL once, in the process that the workers are children of."""
    if hasattr(config, "workerinput") or POSTGRES in os.environ:
        return
    directory = Path(tempfile.mkdtemp(prefix="todo-test-"))
    local = local_postgres.start(directory)
    with psycopg.connect(local.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("ALTER SYSTEM SET max_connections = 200")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
    migrations.upgrade(database_url(local.url, TEMPLATE))
    os.environ[POSTGRES] = local.url

    def stop() -> None:
        del os.environ[POSTGRES]
        local.stop()
        shutil.rmtree(directory, ignore_errors=True)

    config.add_cleanup(stop)


@pytest.fixture(scope="session")
def postgres() -> str:
    """The URL of the server's maintenance database; its login is a superuser."""
    return os.environ[POSTGRES]


@pytest.fixture(scope="session")
def worker_database(postgres: str) -> Iterator[str]:
    """The URL of this worker's migrated database."""
    with cloned_database(postgres) as url:
        yield url


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """The URL of a migrated database for one test alone."""
    with cloned_database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
def server(worker_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The running service of this worker."""
    directory = tmp_path_factory.mktemp("service")
    with serving(directory, DATABASE_URL=worker_database, CORS_ORIGINS="https://app.example.com") as running:
        yield running


@pytest.fixture
def alice(server: Server) -> User:
    """A user."""
    return server.user()


@pytest.fixture
def bob(server: Server) -> User:
    """Another user."""
    return server.user()
