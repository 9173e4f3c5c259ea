"""The embedded PostgreSQL when it cannot be had: one sentence, and nothing left behind."""

import asyncio
import dataclasses
import fcntl
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.harness import environment
from tests.local.conftest import idle
from todo_api.app import create_app
from todo_api.cli.doctor import examine
from todo_api.local import cluster as cluster_module
from todo_api.local import postgres as local_postgres
from todo_api.local.postgres import LocalPostgresFailed, running
from todo_api.local.programs import Account
from todo_api.migrations import MigrationFailed
from todo_api.settings import Settings


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A data directory whose cluster is a file."""
    (tmp_path / "postgres").write_text("no cluster")
    return tmp_path


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


def sentence(directory: Path) -> str:
    """The one sentence with which a start ends."""
    with pytest.raises(LocalPostgresFailed) as caught, running(directory):
        raise AssertionError("started")
    words = str(caught.value)
    assert re.fullmatch(r"[^\n]+\.", words)
    return words


def test_what_is_no_data_directory_is_named(broken: Path) -> None:
    assert sentence(broken) == f"{broken}/postgres is not a data directory of PostgreSQL."
    assert is_free(broken)


def test_server_that_does_not_start_says_why(data: Path) -> None:
    (data / "postgres" / "postgresql.conf").write_text("shared_buffers = 'much'\n")

    assert "did not start: " in sentence(data)
    assert "shared_buffers" in (data / "postgres.log").read_text()
    assert is_free(data)


def test_server_that_fails_without_a_message_is_reported_all_the_same(data: Path, tmp_path: Path) -> None:
    (tmp_path / "postgres").write_text("#!/bin/sh\n")
    (tmp_path / "postgres").chmod(0o755)
    cluster = dataclasses.replace(idle(data), programs=tmp_path, account=Account(os.geteuid(), os.getegid()))
    with pytest.raises(LocalPostgresFailed, match=r"did not start: it said nothing; see \S+/postgres.log\.$"):
        cluster.start()


def test_cluster_that_cannot_be_made_is_told_of_with_the_line_that_says_why(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "initdb").write_text(
        "#!/bin/sh\necho creating ...\necho 'initdb: error: disk full'\necho bye\nexit 1\n"
    )
    (programs / "initdb").chmod(0o755)
    cluster = dataclasses.replace(idle(tmp_path), programs=programs, account=Account(os.geteuid(), os.getegid()))
    with pytest.raises(LocalPostgresFailed, match=r"could not be made under \S+/postgres: disk full\.$"):
        cluster.initialise()

    assert not cluster.directory.exists()


def test_server_that_does_not_answer_is_given_up(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(data) as cluster:
        pid = cluster.listener()
        assert pid
        os.kill(pid, signal.SIGSTOP)
        monkeypatch.setattr(cluster_module, "START_SECONDS", 0.2)
        monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 2)
        try:
            assert "did not answer" in sentence(data)
        finally:
            os.kill(pid, signal.SIGCONT)


def test_folder_that_another_process_holds_for_too_long_is_given_up(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_postgres, "START_SECONDS", 0.2)
    with (data / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        assert sentence(data).endswith(f"it holds {data}/postgres.lock.")


def test_folder_that_is_a_file_is_named_like_its_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert sentence(tmp_path / "file") == f"DATA_DIR '{tmp_path}/file' cannot be used: File exists."
    assert sentence(tmp_path / "file" / "x") == f"DATA_DIR '{tmp_path}/file/x' cannot be used: Not a directory."


def test_folder_that_cannot_be_written_is_named_like_its_variable(tmp_path: Path) -> None:
    (tmp_path / "postgres.users").mkdir()  # a read-only one, even for root

    assert sentence(tmp_path) == f"DATA_DIR '{tmp_path}' cannot be used: Is a directory."


def test_application_says_so_and_does_not_start(broken: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(LocalPostgresFailed):
        asyncio.run(live(broken))

    assert "is not a data directory" in caplog.text


def test_application_stops_the_cluster_that_it_cannot_migrate(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(data) as cluster, psycopg.connect(cluster.url) as connection:
        connection.execute("CREATE TABLE todo_api_version AS SELECT 'from the future' AS version_num")

    with pytest.raises(MigrationFailed):
        asyncio.run(live(data))

    assert "from the future" in caplog.text
    assert idle(data).listener() is None
    assert is_free(data)


def test_doctor_says_so(broken: Path) -> None:
    findings = examine(Settings(_env_file=None, data_dir=broken), None)

    assert [finding.what for finding in findings if not finding.ok and "is not a data directory" in finding.what]


SERVE = """
import sys
from operator import attrgetter
from todo_api.middleware.rejected import error_response
from todo_api.observability import configure_logging, flush_log
from todo_api.server.listening import listen
from todo_api.server.run import Hooks, run

if __name__ == "__main__":
    configure_logging("INFO")
    key_of = attrgetter("state.key_of")
    hooks = Hooks(error_response=error_response, before_write=flush_log, key_of=key_of)
    limits = {"grace_seconds": 1, "client_seconds": 1, "keep_alive_seconds": 1}
    run("todo_api.main:app", hooks, listen("127.0.0.1", 0), workers=int(sys.argv[1]), **limits)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_server_whose_application_does_not_start_ends_with_a_status_of_failure(broken: Path, workers: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(workers)],
        cwd=broken,
        env=environment(DATA_DIR=str(broken)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 3
    assert workers > 1 or "is not a data directory" in done.stdout
    assert "Traceback" not in done.stderr
