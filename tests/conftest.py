"""One PostgreSQL for the whole run, one database and one running service for each worker."""

import gc
import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.harness import POSTGRES, Server, User, cloned_database, postgres_with_template, serving

# What is imported and collected stays: looking for garbage in it takes a third of the collection.
gc.set_threshold(50_000, 20, 50)


SLOW = ("demo", "faults", "hostile", "deployment", "local", "db", "clients", "better_auth")
"""Folders of files that take long: they come first, so that none is left alone with one at the
end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow folders."""
    order = {name: number for number, name in enumerate(SLOW)}
    items.sort(key=lambda item: order.get(item.path.parent.name, len(SLOW)))


def pytest_collection_finish() -> None:
    """Take all tests out of garbage collection."""
    gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    """Start PostgreSQL once, in the process that the workers are children of."""
    if hasattr(config, "workerinput") or POSTGRES in os.environ:
        return
    run = ExitStack()
    os.environ[POSTGRES] = run.enter_context(postgres_with_template())
    run.callback(os.environ.pop, POSTGRES)
    config.add_cleanup(run.close)


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
