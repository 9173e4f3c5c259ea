"""A real PostgreSQL of our own, for when ``DATABASE_URL`` is unset.

It lives under one directory and keeps its data between runs. Any number of processes may use it:
the first starts it, the last one that leaves stops it, and one that crashes has left. What a killed
run left behind is used again. The server listens on a Unix socket only, which its owner alone
reaches.
"""

import fcntl
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from todo_api.local.cluster import POLL_SECONDS, START_SECONDS, Cluster
from todo_api.local.programs import ACCOUNT, Account, LocalPostgresFailed, account_of, find_programs, own_account

__all__ = ["LocalPostgresFailed", "running"]

# What the address of a socket (108 bytes on Linux, 104 elsewhere) and a URL take as it is.
PLAIN_PATH = re.compile(r"/[A-Za-z0-9._/-]{1,80}")


@contextmanager
def running(
    directory: Path,
    *,
    migrate: Callable[[str], None] = lambda _: None,
    report: Callable[[str], None] = lambda _: None,
) -> Iterator[Cluster]:
    """A server under ``directory`` that answers, for as long as the block lasts.

    Meanwhile this process, and those that it starts, have no ``PG*`` variables: they are for other
    databases, and libpq reads them all.

    Args:
        directory: made if it is missing, readable by its owner alone.
        migrate: is called with the server's URL before the block begins.
        report: is told, in words for a person, what takes time.

    Raises:
        LocalPostgresFailed: the programs are missing, the directory cannot be used, or the server
            does not start.
    """
    with ExitStack() as stack:
        stack.enter_context(_without_libpq_variables())
        try:
            cluster = stack.enter_context(_find_cluster(directory))
            users = stack.enter_context(_locked(directory / "postgres.users", fcntl.LOCK_SH))
            with _locked(directory / "postgres.lock", fcntl.LOCK_EX):
                if not cluster.directory.exists():
                    report(f"Making a PostgreSQL database under {directory} …")
                    cluster.initialise()
                cluster.check_version()
                stack.callback(_leave, cluster, directory / "postgres.lock", users)
                cluster.start(report)
        except OSError as error:
            raise LocalPostgresFailed(f"DATA_DIR {str(directory)!r} cannot be used: {error.strerror}.") from None
        migrate(cluster.url)
        yield cluster


def _leave(cluster: Cluster, path: Path, users: int) -> None:
    """Stop the server unless others use it.

    Nobody can begin to while this process holds the lock.
    """
    with _locked(path, fcntl.LOCK_EX):
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        cluster.stop()


@contextmanager
def _without_libpq_variables() -> Iterator[None]:
    taken = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PG")}
    try:
        yield
    finally:
        os.environ.update(taken)


@contextmanager
def _find_cluster(directory: Path) -> Iterator[Cluster]:
    """The cluster under ``directory``, whether or not it exists yet."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory.resolve() / "postgres"
    account = _account(path)
    programs = find_programs(account)
    with _short_path(path) as link:
        yield Cluster(path, link, path.with_name("postgres.log"), account, programs)


def _account(cluster: Path) -> Account:
    """The user of the machine to run as: the one who owns the data, if that is as it should be.

    Raises:
        LocalPostgresFailed: they belong to somebody whom this process should not trust with them.
    """
    own = own_account()
    if not cluster.is_dir():
        return own
    owner, parent = cluster.lstat(), cluster.parent.stat()
    if os.geteuid() == 0 and owner.st_uid == 0:
        raise LocalPostgresFailed(
            f"{cluster} belongs to root, as whom PostgreSQL does not run: give it to the user {ACCOUNT}, "
            "or set DATA_DIR to another folder."
        )
    if owner.st_uid not in {own.uid, parent.st_uid if os.geteuid() == 0 else own.uid}:
        raise LocalPostgresFailed(
            f"{cluster} belongs to the user with the id {owner.st_uid}: run the service as that user, "
            "or set DATA_DIR to another folder."
        )
    return own if owner.st_uid == own.uid else account_of(owner.st_uid)


@contextmanager
def _short_path(cluster: Path) -> Iterator[Path]:
    """A path to ``cluster`` that a socket's address can hold, and a URL without escapes."""
    if PLAIN_PATH.fullmatch(str(cluster)):
        yield cluster
        return
    parent = tempfile.gettempdir()
    if not PLAIN_PATH.fullmatch(parent):
        parent = "/tmp"  # noqa: S108 - what is made in it is private
    with tempfile.TemporaryDirectory(prefix="todo-api-", dir=parent) as name:
        link = Path(name) / "postgres"
        link.symlink_to(cluster)
        yield link


@contextmanager
def _locked(path: Path, how: int) -> Iterator[int]:
    """Hold a lock on the file at ``path``; it is let go of whatever ends this process.

    Raises:
        LocalPostgresFailed: others hold it for too long.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                fcntl.flock(lock, how | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise LocalPostgresFailed(
                        f"Another process has been starting or stopping PostgreSQL for {START_SECONDS:.0f} s; "
                        f"it holds {path}."
                    ) from None
                time.sleep(POLL_SECONDS)
        yield lock
    finally:
        os.close(lock)
