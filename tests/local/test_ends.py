"""The embedded PostgreSQL after any end, and with several users at once."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import LiteralString

import httpx
import psycopg
import pytest

from tests.harness import COMMAND, environment, serving
from tests.local.conftest import ROOT, ask, idle
from todo_api.local import cluster as cluster_module
from todo_api.local.cluster import Cluster
from todo_api.local.postgres import LocalPostgresFailed, running
from todo_api.local.programs import find_programs, own_account

DATABASE_CTYPE = "SELECT datctype FROM pg_database WHERE datname = current_database()"
PATIENCE_SECONDS = 60.0


def crash(data: Path) -> Cluster:
    """Start a server under ``data``, and forget it without stopping it."""
    with running(data) as cluster:
        with psycopg.connect(cluster.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS acknowledged (id serial)")
            connection.execute("INSERT INTO acknowledged DEFAULT VALUES")
        pid = cluster.listener()
        assert pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: cluster.listener() is None)
    return cluster


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


def rows(cluster: Cluster) -> int:
    with psycopg.connect(cluster.url) as connection:
        row = connection.execute("SELECT count(*) FROM acknowledged").fetchone()
        assert row
        return int(row[0])


class TestCrash:
    def test_what_was_acknowledged_is_there(self, data: Path) -> None:
        crash(data)
        crash(data)
        with running(data) as cluster:
            assert rows(cluster) == 2

    def test_process_that_has_its_pid_by_now_is_left_alone(self, data: Path) -> None:
        cluster = crash(data)
        account = cluster.account.popen_options
        with subprocess.Popen(["sleep", "600"], **account) as other:
            for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
                path = cluster.directory / name
                _, _, rest = path.read_text().partition("\n")
                path.write_text(f"{other.pid}\n{rest}")
            with running(data) as again:
                assert rows(again) == 1
                assert again.listener() != other.pid
            assert other.poll() is None
            other.kill()

    def test_stop_signals_nobody_who_does_not_listen(self, data: Path) -> None:
        cluster = crash(data)
        with subprocess.Popen(["sleep", "600"]) as other:
            (cluster.directory / "postmaster.pid").write_text(f"{other.pid}\n")
            cluster.stop()

            assert other.poll() is None
            other.kill()

    def test_server_of_a_killed_service_is_used_again(self, data: Path) -> None:
        with running(data) as cluster:
            pid = cluster.listener()
            child = os.fork()
            if child == 0:
                with running(data):
                    os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(child, 0)

            with running(data) as again:
                assert again.listener() == pid
        assert cluster.listener() is None

    def test_processes_of_a_killed_server_may_take_a_while_to_end(self, data: Path) -> None:
        with running(data) as cluster:
            busy = threading.Thread(target=compute, args=(cluster.url,))
            busy.start()
            pid = cluster.listener()
            assert pid
            wait_until(lambda: is_busy(cluster.url))
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: cluster.listener() is None)
            with running(data) as again:
                assert again.listener() not in {None, pid}
        busy.join()

    def test_data_directory_that_is_half_made_is_made_again(self, data: Path) -> None:
        shutil.move(data / "postgres", data / "postgres.new")
        (data / "postgres.new" / "PG_VERSION").unlink()
        with running(data) as cluster:
            assert ask(cluster.url, "SELECT 1") == (1,)

        assert not (data / "postgres.new").exists()

    def test_server_that_does_not_stop_is_stopped_like_in_a_crash(
        self, data: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with running(data) as cluster:
            monkeypatch.setattr(cluster_module, "STOP_SECONDS", 0.5)
            cluster.stop(signal.SIGWINCH)  # which it ignores
            monkeypatch.undo()
            wait_until(lambda: cluster.listener() is None)


class TestSeveral:
    def test_first_that_starts_it_may_leave_first(self, data: Path) -> None:
        first, second = running(data), running(data)
        first.__enter__()
        cluster = second.__enter__()
        first.__exit__(None, None, None)

        assert ask(cluster.url, "SELECT 1") == (1,)
        second.__exit__(None, None, None)
        assert cluster.listener() is None

    @pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
    def test_service_goes_on_when_the_one_that_started_the_server_ends(self, data: Path, end: signal.Signals) -> None:
        folder = data.parent
        with (
            serving(folder / "first", DATA_DIR=str(data)) as first,
            serving(folder / "second", DATA_DIR=str(data)) as second,
        ):
            alice = second.user()
            task = alice.create()
            first.stop(end)

            assert httpx.get(f"{second.url}/ready", timeout=20).status_code == 200
            assert alice.http.get(alice.path(task)).json() == task
        assert idle(data).listener() is None


class TestSignalBeforeItServes:
    @pytest.mark.parametrize(
        ("event", "by"),
        [
            ("login", signal.SIGTERM),
            ("ddl_command_start", signal.SIGTERM),
            ("ddl_command_start", signal.SIGINT),
            ("ddl_command_start", signal.SIGHUP),
        ],
    )
    def test_stops_the_database(self, data: Path, event: LiteralString, by: signal.Signals) -> None:
        cluster = make_slow(data, event)
        folder = data.parent
        with (folder / "errors").open("wb") as errors:
            process = subprocess.Popen(
                [COMMAND, "serve", "--port", "0"], cwd=folder, env=environment(DATA_DIR=str(data)), stderr=errors
            )
        try:
            wait_until(lambda: process.poll() is not None or sleeps(cluster.url))
            process.send_signal(by)

            assert process.wait(PATIENCE_SECONDS) == 128 + by
        finally:
            process.kill()
        assert cluster.listener() is None
        assert not (cluster.directory / "postmaster.pid").exists()
        assert "Traceback" not in (folder / "errors").read_text()


def make_slow(data: Path, event: LiteralString) -> Cluster:
    """Let an event of the database take ten minutes."""
    with running(data) as cluster, psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION sleep() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(600); END'"
        )
        connection.execute(f"CREATE EVENT TRIGGER slow ON {event} EXECUTE FUNCTION sleep()")
    return idle(data)


def sleeps(url: str) -> bool:
    """Whether something in the database is asleep."""
    with suppress(psycopg.OperationalError), psycopg.connect(url, options="-c event_triggers=off") as connection:
        found = connection.execute("SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'").fetchone()
        return found is not None
    return False


def compute(url: str) -> None:
    """Keep a backend so busy that it does not notice the end of its server for a while."""
    loop = "DO $$ DECLARE t timestamptz := clock_timestamp() + '2 s'; BEGIN WHILE clock_timestamp() < t LOOP END LOOP; END $$"
    with suppress(psycopg.OperationalError), psycopg.connect(url) as connection:
        connection.execute(loop)


def is_busy(url: str) -> bool:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active'"
        ).fetchone()
        return found is not None


def test_old_data_directory_goes_on_in_its_place(tmp_path: Path) -> None:
    """As versions before 0.3 made it: another locale, with a log and a list of processes."""
    directory = tmp_path / "data" / "postgres"
    directory.mkdir(parents=True, mode=0o700)
    account = own_account()
    if ROOT:
        os.chown(directory, account.uid, account.gid)
    subprocess.run(
        [find_programs(account) / "initdb", "--auth=trust", "--auth-local=trust", "--encoding=utf8", "-U", "postgres"],
        env={"PGDATA": "/proc/self/cwd", "LC_ALL": "C.UTF-8"},
        cwd=directory,
        check=True,
        capture_output=True,
        **account.popen_options,
    )
    (directory / ".handle_pids.json").write_text("[1]")
    (directory / "log").write_text("LOG:  nothing of interest\n")

    with running(tmp_path / "data") as cluster:
        assert ask(cluster.url, DATABASE_CTYPE) == ("C.UTF-8",)


def test_data_directory_of_another_version_is_named(data: Path) -> None:
    (data / "postgres" / "PG_VERSION").write_text("16\n")
    with (
        pytest.raises(LocalPostgresFailed, match=r"was made by PostgreSQL 16, and this is 18: set DATA_DIR"),
        running(data),
    ):
        pass
