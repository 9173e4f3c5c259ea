"""A database on every node of a Citus cluster, and the service on it.

``CITUS_URL`` is that of a superuser, and of a database in which the coordinator knows its workers.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.harness import Server, serving
from todo_api import migrations

NODES = """
    SELECT nodename, nodeport, groupid = 0, shouldhaveshards
    FROM pg_dist_node WHERE isactive AND noderole = 'primary' ORDER BY groupid <> 0
"""


def execute(url: str, command: str, *values: Any) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(command.encode(), values)


@contextmanager
def distributed_database() -> Iterator[str]:
    """The URL of a migrated and distributed database of one's own; dropped at the end."""
    url = os.environ["CITUS_URL"]
    name = f"todo_{secrets.token_hex(8)}"
    with psycopg.connect(url) as connection:
        nodes = connection.execute(NODES).fetchall()
    assert nodes
    urls = [
        url if is_coordinator else make_conninfo(url, host=host, port=port) for host, port, is_coordinator, _ in nodes
    ]
    for node in urls:
        execute(node, f"CREATE DATABASE {name}")
        execute(make_conninfo(node, dbname=name), "CREATE EXTENSION citus")
    database = make_conninfo(url, dbname=name)
    for host, port, is_coordinator, has_shards in nodes:
        if is_coordinator:
            execute(database, "SELECT citus_set_coordinator_host(%s, %s)", host, port)
            execute(database, "SELECT citus_set_node_property(%s, %s, 'shouldhaveshards', %s)", host, port, has_shards)
        else:
            execute(database, "SELECT citus_add_node(%s, %s)", host, port)
    try:
        migrations.upgrade(database, distribute=True)
        yield database
    finally:
        for node in urls:
            execute(node, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def worker_database() -> Iterator[str]:
    """The URL of this worker's migrated and distributed database."""
    with distributed_database() as url:
        yield url


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of a migrated and distributed database for one test alone."""
    with distributed_database() as url:
        yield url


@pytest.fixture(scope="module", autouse=True)
def told_of_citus() -> Iterator[None]:
    """Every service that a test of this folder starts is told that its tables are distributed."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABASE_CITUS", "true")
        yield


@pytest.fixture(scope="session")
def server(worker_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The running service of this worker."""
    settings = {"DATABASE_URL": worker_database, "DATABASE_CITUS": "true", "CORS_ORIGINS": "https://app.example.com"}
    with serving(tmp_path_factory.mktemp("service"), **settings) as running:
        yield running
