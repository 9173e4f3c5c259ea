"""The database that every contender uses: the embedded PostgreSQL, filled with users and tasks."""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jwt
import psycopg

from bench.machine import sample
from todo_api import migrations
from todo_api.local.postgres import running

SECRET = "0e7f43b1c95a4d8296c1d0a7f3be5821"  # noqa: S105 - of a server that lives for minutes on loopback  # pragma: allowlist secret
ACTIVE_USERS = 2_000
TASKS_PER_USER = 50
TOKEN_SECONDS = 24 * 3600
SETTINGS = {
    "synchronous_commit": "off",
    "autovacuum": "off",  # each measurement begins with a VACUUM instead
    "checkpoint_timeout": "1h",
    "max_wal_size": "8GB",
    "max_connections": "200",
    "shared_buffers": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') // 4 // 2**20}MB",  # as its manual says
}

# Task by task, not user by user: tasks arrive over time, so a user's rows lie far apart.
LOAD = """
    INSERT INTO users (id, email, name)
    SELECT md5(u::text), md5(u::text) || '@example.com', 'User ' || u FROM generate_series(0, %(users)s - 1) AS u;
    INSERT INTO tasks (id, user_id, title, description, completed, created_at, updated_at) OVERRIDING SYSTEM VALUE
    SELECT i + 1, md5((i %% %(users)s)::text), 'Task ' || i,
           CASE WHEN i %% 2 = 0 THEN 'A description of the usual length, more or less' END, i %% 3 = 0, moment, moment
    FROM generate_series(0::bigint, %(tasks)s - 1) AS i,
         LATERAL (SELECT now() - (%(tasks)s - i) * interval '100 milliseconds' AS moment) AS times;
    SELECT setval(pg_get_serial_sequence('tasks', 'id'), %(tasks)s);
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A filled database. ``users`` is the file that ``mixed.lua`` reads; ``socket`` a directory."""

    name: str
    socket: Path
    users: Path
    tasks: int

    @property
    def url(self) -> str:
        """What libpq and asyncpg take."""
        return f"postgresql://postgres@/{self.name}?host={self.socket}"


@dataclass(frozen=True, slots=True)
class Postgres:
    """The running server, and a directory for what the run leaves behind until it ends."""

    directory: Path
    data: Path
    socket: Path
    programs: Path

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def cpu_seconds(self) -> float:
        """CPU time of the server and all its backends until now."""
        return sample(self.pid).cpu_seconds

    def tidy(self, name: str) -> None:
        """Take away what the last measurement left for vacuum to do."""
        with psycopg.connect(f"postgresql://postgres@/{name}?host={self.socket}", autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE) users, tasks")


@contextmanager
def started() -> Iterator[Postgres]:
    """A server of one's own in a temporary directory, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="todo-bench-") as name, running(Path(name)) as cluster:
        with psycopg.connect(cluster.url, autocommit=True) as connection:
            for setting, value in SETTINGS.items():
                connection.execute(f"ALTER SYSTEM SET {setting} = '{value}'".encode())
        cluster.stop()  # some settings need it
        cluster.start()
        yield Postgres(Path(name), cluster.directory, cluster.link, cluster.programs)


def filled(postgres: Postgres, name: str, tasks: int, *, tasks_per_user: int = TASKS_PER_USER) -> Target:
    """A migrated database with this many tasks, and its file of active users."""
    users = max(1, tasks // tasks_per_user)
    target = Target(name, postgres.socket, postgres.directory / f"{name}.users", users * tasks_per_user)
    with psycopg.connect(f"postgresql://postgres@/postgres?host={postgres.socket}", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    migrations.upgrade(target.url)
    with psycopg.connect(target.url, autocommit=True) as connection, connection.cursor() as cursor:
        psycopg.ClientCursor(connection).execute(LOAD, {"users": users, "tasks": target.tasks})
        cursor.execute("VACUUM (ANALYZE, FREEZE) users, tasks")
        cursor.execute("CHECKPOINT")
        active = [user_id(index * users // ACTIVE_USERS) for index in range(min(ACTIVE_USERS, users))]
        cursor.execute(
            "SELECT user_id, string_agg(id::text, ',') FROM tasks WHERE user_id = ANY(%s) GROUP BY 1 ORDER BY 1",
            (active,),
        )
        lines = [f"{user}\t{token(user)}\t{ids}\n" for user, ids in cursor]
    target.users.write_text("".join(lines))
    return target


def user_id(number: int) -> str:
    """The id of a user: 32 characters, the same as ``md5(number::text)`` in SQL."""
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


def token(user: str) -> str:
    """A token as Better Auth issues it, valid for the whole run."""
    now = int(time.time())
    claims = {"sub": user, "email": f"{user}@example.com", "iat": now, "exp": now + TOKEN_SECONDS}
    return jwt.encode(claims, SECRET, algorithm="HS256")
