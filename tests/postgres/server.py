"""A PostgreSQL for tests: the embedded one, or one of another version.

The product starts the embedded one alone. Of any other, 14 or newer, PROGRAMS names the directory
of ``postgres`` and ``initdb``; Debian's, for example, is /usr/lib/postgresql/15/bin.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from todo_api.local import postgres as embedded
from todo_api.local.cluster import Cluster
from todo_api.local.programs import environment, own_account

PROGRAMS = "TODO_TEST_POSTGRES_PROGRAMS"
"""The environment variable that names the directory of another PostgreSQL's programs."""

INITDB = (
    "--username=postgres",
    "--auth-local=trust",
    "--auth-host=reject",
    "--encoding=UTF8",
    "--locale=C.UTF-8",  # the embedded one is in locale C
    "--no-instructions",
    "--no-sync",
)


@contextmanager
def running() -> Iterator[Cluster]:
    """A new server that answers, for as long as the block lasts."""
    with TemporaryDirectory(prefix="todo-test-") as name:
        if PROGRAMS in os.environ:
            cluster = initialised(Path(name), Path(os.environ[PROGRAMS]))
            try:
                cluster.start()
                yield cluster
            finally:
                cluster.stop()
        else:
            with embedded.running(Path(name)) as cluster:
                yield cluster


def initialised(directory: Path, programs: Path) -> Cluster:
    """A new data directory inside ``directory``, made by these programs."""
    directory.chmod(0o755)  # up to 15, programs return to the directory in which they were started, by its path
    data, account = directory / "postgres", own_account()
    data.mkdir(mode=0o700)
    os.chown(data, account.uid, account.gid)
    subprocess.run(
        [programs / "initdb", "-D", data, *INITDB],
        cwd=data, env=environment(), check=True, stdout=subprocess.DEVNULL, **account.popen_options,
    )  # fmt: skip
    return Cluster(data, data, directory / "postgres.log", account, programs)
