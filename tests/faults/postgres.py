"""A PostgreSQL of one's own, to be stopped, killed, frozen and crowded."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from tests.postgres.server import running
from todo_api import migrations
from todo_api.local.cluster import Cluster

PATIENCE_SECONDS = 20.0
MAX_CONNECTIONS = 20


class OwnPostgres:
    """A running PostgreSQL; it survives its crashes with what it acknowledged."""

    def __init__(self, cluster: Cluster) -> None:
        self.url = cluster.url
        self.cluster = cluster
        self.execute(f"ALTER SYSTEM SET max_connections = {MAX_CONNECTIONS}", "ALTER SYSTEM SET fsync = off")
        self.stop("fast")
        self.start()
        migrations.upgrade(self.url)

    def close(self) -> None:
        """Stop it for good."""
        if self.running():
            self.thaw()
            self.stop("immediate")

    def execute(self, *statements: str) -> None:
        """Run statements as a superuser."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def start(self) -> None:
        """Start it; it answers when this returns."""
        self.cluster.start()

    def running(self) -> bool:
        """Whether it has been started, and not been stopped since."""
        return self._pid_file.exists()

    def stop(self, mode: str) -> None:
        """Stop it: ``fast`` as an administrator does, ``immediate`` as a crash does."""
        self.cluster.stop({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])

    def freeze(self) -> None:
        """Stop all its processes where they are, the one that starts others first."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def terminate_backends(self) -> int:
        """End every connection but this one, and wait until they are gone; how many there were."""
        query = (
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(query).fetchone()
            assert row is not None
            return int(row[0])

    def answers_since(self) -> float:
        """Wait until it answers a connection of ours; that moment of the monotonic clock."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
            except psycopg.OperationalError:
                assert time.monotonic() < until
                time.sleep(0.01)
            else:
                return time.monotonic()

    @property
    def _pid_file(self) -> Path:
        return self.cluster.directory / "postmaster.pid"

    def _signal(self, which: signal.Signals) -> None:
        first = int(self._pid_file.read_text().split()[0])
        os.kill(first, which)
        for pid in children(first):
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, which)


def children(pid: int) -> list[int]:
    """The process ids of what a process's main thread has started."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """A migrated PostgreSQL for one block."""
    with running() as cluster:
        own = OwnPostgres(cluster)
        try:
            yield own
        finally:
            own.close()
