"""A PostgreSQL of one's own, to be stopped, killed, frozen and crowded."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from psycopg.conninfo import conninfo_to_dict

from todo_api import migrations
from todo_api.local import postgres as local_postgres

PATIENCE_SECONDS = 20.0
MAX_CONNECTIONS = 20


class OwnPostgres:
    """A running PostgreSQL under ``directory``; it survives its crashes with what it acknowledged."""

    def __init__(self, directory: Path) -> None:
        self._local = local_postgres.start(directory)
        self.url = self._local.url
        self._cluster = directory.resolve() / "postgres"
        self.execute(f"ALTER SYSTEM SET max_connections = {MAX_CONNECTIONS}", "ALTER SYSTEM SET fsync = off")
        self.stop("fast")
        self.start()
        migrations.upgrade(self.url)

    def close(self) -> None:
        """Stop it for good."""
        if self.running():
            self.thaw()
            self.stop("immediate")
        self._local.stop()

    def execute(self, *statements: str) -> None:
        """Run statements as a superuser."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def start(self) -> None:
        """Start it; it answers when this returns."""
        directory = conninfo_to_dict(self.url)["host"]
        self._control("start", "-w", "-l", str(self._cluster / "log"), "-o", f"-h '' -k {directory}")

    def running(self) -> bool:
        """Whether it has been started, and not been stopped since."""
        return (self._cluster / "postmaster.pid").exists()

    def stop(self, mode: str) -> None:
        """Stop it: ``fast`` as an administrator does, ``immediate`` as a crash does."""
        self._control("stop", "-w", "-m", mode)

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

    def _control(self, *arguments: str) -> None:
        server = self._local._server
        subprocess.run(
            [server.bin_path / "pg_ctl", "-D", self._cluster, *arguments],
            user=server.system_user,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE_SECONDS,
            check=True,
        )

    def _signal(self, which: signal.Signals) -> None:
        first = int((self._cluster / "postmaster.pid").read_text().split()[0])
        os.kill(first, which)
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(first)], capture_output=True, text=True, check=False)
        for pid in listed.stdout.split():
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(int(pid), which)


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """A migrated PostgreSQL for one block."""
    with TemporaryDirectory(prefix="todo-faults-") as name:
        own = OwnPostgres(Path(name))
        try:
            yield own
        finally:
            own.close()
