"""PgBouncer in transaction mode, where one has it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.harness import PATIENCE_SECONDS, free_port, wait_for
from tests.proxies import proxying, url_through

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
POOL = 3
"""Connections to PostgreSQL that all clients share."""


class Pooler:
    """A pooler that can be killed and started again; ``url`` leads through it."""

    def __init__(self, directory: Path, url: str, target_port: int) -> None:
        port = free_port()
        self.url = url_through(port, url)
        self._settings = directory / "settings"
        self._process: subprocess.Popen[bytes] | None = None
        (directory / "users").write_text('"postgres" ""\n')
        self._settings.write_text(
            f"""
            [databases]
            * = host=127.0.0.1 port={target_port}
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {port}
            unix_socket_dir =
            auth_type = trust
            auth_file = {directory / "users"}
            pool_mode = transaction
            default_pool_size = {POOL}
            max_client_conn = 100
            """
        )

    def start(self) -> None:
        """Start it; it answers when this returns."""
        assert PGBOUNCER is not None
        self._process = subprocess.Popen(
            [PGBOUNCER, self._settings],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user="nobody" if os.geteuid() == 0 else None,
        )
        wait_for(self.answers, "PgBouncer does not answer")

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_SECONDS)


@contextmanager
def pooling(url: str) -> Iterator[Pooler]:
    """A running pooler in front of the PostgreSQL that ``url`` names."""
    directory = Path(tempfile.mkdtemp(prefix="todo-pooler-"))
    directory.chmod(0o755)  # it rejects to run as root
    with proxying(url) as proxy:
        pooler = Pooler(directory, url, proxy.port)
        try:
            pooler.start()
            yield pooler
        finally:
            pooler.kill()
            shutil.rmtree(directory)
