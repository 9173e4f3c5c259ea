"""The embedded PostgreSQL when it cannot be had: one sentence, from whoever wanted it, and nothing left behind."""

import asyncio
import fcntl
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.harness import environment
from todo_api.app import create_app
from todo_api.doctor import examine
from todo_api.local import postgres as local_postgres
from todo_api.local.postgres import LocalPostgresFailed
from todo_api.migrations import MigrationFailed
from todo_api.settings import Settings


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A data directory whose cluster is a file."""
    (tmp_path / "postgres").write_text("no cluster")
    return tmp_path


@pytest.fixture
def quiet() -> Iterator[None]:
    """``create_app`` arranges the process's log; put it back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def is_free(directory: Path) -> bool:
    """Whether nobody holds the directory's lock."""
    with (directory / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True


async def live(directory: Path) -> None:
    """Start and stop the application as uvicorn would."""
    app = create_app(Settings(_env_file=None, data_dir=directory))
    async with app.router.lifespan_context(app):
        raise AssertionError("started")


def test_cluster_that_does_not_start_is_one_sentence(broken: Path) -> None:
    with pytest.raises(LocalPostgresFailed, match=r"^The embedded PostgreSQL under .* did not start: [^\n]*$"):
        local_postgres.start(broken)

    assert is_free(broken)


def test_cluster_of_another_process_that_never_gets_ready_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_postgres, "START_SECONDS", 0.2)
    with (tmp_path / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LocalPostgresFailed, match="of another process did not start in time"):
            local_postgres.start(tmp_path)


def test_application_says_so_and_does_not_start(broken: Path, quiet: None, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LocalPostgresFailed):
        asyncio.run(live(broken))

    assert "did not start" in capfd.readouterr().out


def test_application_stops_the_cluster_that_it_cannot_migrate(
    tmp_path: Path, quiet: None, capfd: pytest.CaptureFixture[str]
) -> None:
    local = local_postgres.start(tmp_path)
    with psycopg.connect(local.url) as connection:
        connection.execute("CREATE TABLE todo_api_version AS SELECT 'from the future' AS version_num")
    local.stop()

    with pytest.raises(MigrationFailed):
        asyncio.run(live(tmp_path))

    assert "could not be migrated" in capfd.readouterr().out
    assert is_free(tmp_path)


def test_doctor_says_so(broken: Path) -> None:
    findings = examine(Settings(_env_file=None, data_dir=broken), None)

    assert [finding.what for finding in findings if not finding.ok and "did not start" in finding.what]


@pytest.mark.parametrize("workers", [1, 2])
def test_server_whose_application_does_not_start_ends_with_a_status_of_failure(broken: Path, workers: int) -> None:
    options = f"host='127.0.0.1', port=0, workers={workers}, log_level='INFO', grace_seconds=1, client_seconds=1"
    serve = f"run({options})"
    done = subprocess.run(
        [sys.executable, "-c", f"from todo_api.server.run import run\nif __name__ == '__main__': {serve}"],
        cwd=broken,
        env=environment(DATA_DIR=str(broken)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 3
    assert "did not start" in done.stdout
    assert "Traceback" not in done.stderr
