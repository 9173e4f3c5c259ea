"""A primary is lost and its standby promoted, or there is a standby alone.

Both are real, and stream.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from tests.faults.history import Kind
from tests.faults.load import PATIENCE_SECONDS, Load, under_load, wait_for
from tests.faults.postgres import OwnPostgres, own_postgres
from tests.harness import Server, serving
from todo_api.local.cluster import SOCKET_NAME, Cluster
from todo_api.local.programs import environment

HERE = "/proc/self/cwd"


@pytest.fixture
def primary() -> Iterator[OwnPostgres]:
    with own_postgres() as own:
        yield own


@pytest.fixture
def standby(primary: OwnPostgres) -> Iterator[Cluster]:
    with streaming_from(primary) as standby:
        yield standby


@contextmanager
def streaming_from(primary: OwnPostgres) -> Iterator[Cluster]:
    """A standby without which the primary acknowledges no write."""
    cluster = primary.cluster
    with TemporaryDirectory(prefix="todo-standby-") as name:
        for parent in (Path(name), cluster.directory.parent):  # its account follows the other's socket
            parent.chmod(0o755)
        directory = Path(name) / "postgres"
        directory.mkdir(mode=0o700)
        account = cluster.account
        directory.chmod(0o700)
        if account.popen_options:
            subprocess.run(["chown", f"{account.uid}:{account.gid}", str(directory)], check=True)
        subprocess.run(
            [cluster.programs / "pg_basebackup", "-D", HERE, "-R", "--checkpoint=fast",
             "-d", f"postgresql://postgres@/?host={cluster.link}&application_name=standby"],
            cwd=directory, env=environment(), check=True, capture_output=True, **account.popen_options,
        )  # fmt: skip
        (directory / f"{SOCKET_NAME}.lock").unlink()  # the primary's, whose socket is in its data directory
        standby = replace(cluster, directory=directory, link=directory, log=Path(name) / "log")
        standby.start()
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'", "SELECT pg_reload_conf()")
        with psycopg.connect(primary.url, autocommit=True) as connection:
            query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            wait_for(lambda: connection.execute(query).fetchone() == (1,))
        try:
            yield standby
        finally:
            standby.stop()


def both(primary: OwnPostgres, standby: Cluster) -> str:
    """The URL that names the two, in this order, and wants the one that writes."""
    return f"postgresql://postgres@/postgres?host={primary.cluster.link},{standby.link}&target_session_attrs=read-write"


def promote(standby: Cluster) -> None:
    with psycopg.connect(standby.url, autocommit=True) as connection:
        assert connection.execute("SELECT pg_promote(true, 60)").fetchone() == (True,)


@pytest.mark.parametrize("fault", ["crashed", "frozen"])
def test_promoted_standby_has_every_acknowledged_write_and_is_found_without_a_restart(
    primary: OwnPostgres, standby: Cluster, tmp_path: Path, fault: str
) -> None:
    with (
        serving(tmp_path, DATABASE_URL=both(primary, standby)) as server,
        under_load(server.url, database=standby.url, max_seconds=PATIENCE_SECONDS) as load,
    ):
        process = server.process.pid
        if fault == "crashed":
            primary.stop("immediate")
        else:
            primary.freeze()
        load.wait_for_rejections()
        promote(standby)
        load.assert_back_since(time.monotonic())

        assert server.process.poll() is None
        assert server.process.pid == process
        assert ids_are_unique(load)


def ids_are_unique(load: Load) -> bool:
    created = {step.mark: step.answer["id"] for step in load.steps() if step.kind is Kind.CREATE and step.status == 201}
    return len(set(created.values())) == len(created) > 0


def test_standby_alone_serves_reads_and_says_so(primary: OwnPostgres, standby: Cluster, tmp_path: Path) -> None:
    with serving(tmp_path / "primary", DATABASE_URL=primary.url) as writer:
        user = writer.user()
        task = user.create()
        assert writer.client().get("/ready").json() == {"status": "ok", "read_only": False}
    with serving(tmp_path / "standby", DATABASE_URL=standby.url) as reader:
        same: Server = reader
        again = same.user(user.id)
        wait_for(lambda: again.http.get(again.base).json() == [task])

        assert again.http.get(again.path(task)).json() == task
        answer = again.http.post(again.base, json={"title": "Rejected"})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert again.http.delete(again.path(task)).status_code == 503
        assert reader.client().get("/ready").json() == {"status": "ok", "read_only": True}
