"""Data directories to start from, and a way to do something as another user of the machine."""

import os
import pickle
import shutil
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, LiteralString

import psycopg
import pytest

from todo_api.local.cluster import Cluster
from todo_api.local.postgres import running
from todo_api.local.programs import find_programs, own_account

ROOT = os.geteuid() == 0
STRANGER = 54321
"""A user id without an entry in /etc/passwd."""

needs_root = pytest.mark.skipif(not ROOT, reason="only root can become another user")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory, made and never to be started: copy it."""
    directory = tmp_path_factory.mktemp("made") / "data"
    with running(directory):
        pass
    return directory


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A data directory of one's own, stopped."""
    return copy(made, tmp_path / "data")


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user of the machine may enter, as /opt is."""
    with TemporaryDirectory(prefix="todo-public-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def copy(source: Path, target: Path) -> Path:
    """A copy with the owners of the source."""
    shutil.copytree(source, target)
    for path in [source, *source.rglob("*")]:
        owner = path.stat()
        os.chown(target / path.relative_to(source), owner.st_uid, owner.st_gid)
    return target


def idle(data: Path) -> Cluster:
    """The cluster, without a start."""
    directory = data / "postgres"
    account = own_account()
    return Cluster(directory, directory, data / "postgres.log", account, find_programs(account))


def ask(url: str, query: LiteralString) -> Any:
    """The first row that a query answers."""
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchone()


def as_user(uid: int, do: Callable[[], Any]) -> Any:
    """What ``do`` returns when a process of the user ``uid`` does it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            answer = pickle.dumps(do())
        except BaseException:  # noqa: BLE001 - the parent shows it
            answer = pickle.dumps(AssertionError(traceback.format_exc()))
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pickle.loads(pipe.read())
    os.waitpid(child, 0)
    if isinstance(answer, AssertionError):
        raise answer
    return answer
