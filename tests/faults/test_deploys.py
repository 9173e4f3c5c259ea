"""Under load, workers are killed, the service stops, a new version starts: unnoticed."""

import os
import shutil
import signal
import subprocess
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

import todo_api
from tests.faults.load import Load, under_load, wait_for
from tests.harness import COMMAND, SECRET, SERVE, Server, environment, running, serving
from todo_api import migrations
from todo_api.server.supervisor import HEALTHCHECK_SECONDS

MAX_SECONDS = 5.0


@contextmanager
def loaded(*servers: Server, database: str, may_cut: bool = False) -> Iterator[Load]:
    """Clients at work on one service, or several."""
    urls = [server.url for server in servers]
    with under_load(*urls, database=database, max_seconds=MAX_SECONDS, may_cut=may_cut) as load:
        yield load


@pytest.fixture(scope="module")
def pair(worker_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with two workers."""
    directory = tmp_path_factory.mktemp("pair")
    with running(directory, [*SERVE, "--workers", "2"], DATABASE_URL=worker_database) as server:
        yield server


class TestWorkerKilled:
    def test_others_serve_on_and_another_takes_its_place(self, worker_database: str, pair: Server) -> None:
        with loaded(pair, database=worker_database, may_cut=True) as load:
            wait_for(lambda: len(workers(pair)) == 2)
            killed = load.random.choice(sorted(workers(pair)))
            os.kill(killed, signal.SIGKILL)
            load.work_on()
            wait_for(lambda: len(workers(pair) - {killed}) == 2)
            load.work_on()

            assert load.rejections() == []

    def test_one_killed_during_its_health_check_is_replaced_as_fast(self, pair: Server) -> None:
        wait_for(lambda: len(workers(pair)) == 2)
        killed = min(workers(pair))
        os.kill(killed, signal.SIGSTOP)
        time.sleep(1.5)  # meanwhile its supervisor asks, and waits for the answer
        os.kill(killed, signal.SIGKILL)

        wait_for(lambda: f"Child process [{killed}] died" in pair.log_path.read_text(), seconds=HEALTHCHECK_SECONDS / 2)


def workers(server: Server) -> set[int]:
    """The worker processes that have begun to serve and run."""
    begun = {
        int(line["event"].partition("[")[2].rstrip("]"))
        for line in server.logged()
        if line["event"].startswith("Started server process")
    }
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return begun & {int(child) for child in children.split()}


class TestStopped:
    @pytest.mark.parametrize("count", [1, 2])
    def test_every_request_that_was_taken_is_answered(self, database: str, tmp_path: Path, count: int) -> None:
        with (
            running(tmp_path, [*SERVE, "--workers", str(count)], DATABASE_URL=database) as server,
            loaded(server, database=database) as load,
        ):
            wait_for(lambda: count == 1 or len(workers(server)) == count)
            load.work_on(10)
            server.process.send_signal(signal.SIGTERM)

            assert server.process.wait(20) == 0


class TestTwoVersions:
    """A version whose migration adds to the schema, installed beside the one that runs."""

    @pytest.fixture
    def newer(self, tmp_path: Path) -> Path:
        """Where Python finds the newer version."""
        package = tmp_path / "newer" / "todo_api"
        shutil.copytree(Path(todo_api.__file__).parent, package)
        (package / "migrations/versions/9999_colours.py").write_text(
            textwrap.dedent(f"""
                import sqlalchemy as sa
                from alembic import op

                revision, down_revision = "9999", "{migrations.head()}"

                def upgrade():
                    op.add_column("users", sa.Column("colour", sa.Text, server_default="red", nullable=False))
                    op.add_column("tasks", sa.Column("colour", sa.Text, server_default="red", nullable=False))
                    op.create_index("tasks_colour_idx", "tasks", ["colour"])
            """)
        )
        return package.parent

    def test_both_serve_while_the_newer_migrates_and_the_older_leaves(
        self, database: str, newer: Path, tmp_path: Path
    ) -> None:
        with serving(tmp_path / "old", DATABASE_URL=database) as old, loaded(old, database=database) as load:
            migrate(database, newer)
            load.work_on()
            path = {"PYTHONPATH": str(newer)}
            with running(tmp_path / "new", SERVE, DATABASE_URL=database, **path) as new:
                assert new.client().get("/ready").status_code == 200
                with loaded(old, new, database=database) as shared:
                    shared.work_on(10)
                    old.process.send_signal(signal.SIGTERM)
                    assert old.process.wait(20) == 0
                    load.stop()
                    shared.work_on(10)

                    assert load.rejections() + shared.rejections() == []

    def test_change_of_a_columns_type_is_no_fault_of_the_older(self, database: str, tmp_path: Path) -> None:
        """What is prepared on its connections answers another type than before (SQLSTATE 0A000)."""
        with serving(tmp_path, DATABASE_URL=database) as old, loaded(old, database=database) as load:
            for kind in ("varchar(255)", "text"):
                with psycopg.connect(database, autocommit=True) as connection:
                    connection.execute(f"ALTER TABLE tasks ALTER COLUMN title TYPE {kind}")
                load.work_on()

            assert load.rejections() == []


def migrate(database: str, version: Path) -> None:
    """Run the command of another version."""
    settings = environment(DATABASE_URL=database, BETTER_AUTH_SECRET=SECRET, PYTHONPATH=str(version))
    subprocess.run([COMMAND, "migrate"], cwd=version, env=settings, capture_output=True, timeout=60, check=True)
