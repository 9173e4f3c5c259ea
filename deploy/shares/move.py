"""Move a user from one share's database to another's, while the user goes on.

The user's rows are locked in the old database until requests go to the new one: nothing that was
acknowledged is lost, reads are answered all the time, and a write in between waits or answers 503.
FROM_DATABASE_URL and TO_DATABASE_URL name both databases by their direct hosts, with the login that
migrates them.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from todo_api.models import Table
from todo_api.queries import USER_SETTING
from todo_api.settings.database_url import normalise

OWNER_COLUMNS = {"users": "id", "tasks": "user_id", "idempotency_keys": "user_id"}
"""The tables with rows of users, in an order in which rows can be inserted."""

DRAIN_SECONDS = 20.0
"""How long requests may still reach the old share once nginx is told of the new one: nginx's
``worker_shutdown_timeout`` (10 s), then what the service waits for a connection and a statement."""

LOCK_TIMEOUT = "10s"
ENTRY = re.compile(r"(?P<key>[0-9a-f]+) (?P<share>\w+);")
NUMBERS = """
    SELECT seqincrement, pg_sequence_last_value(seqrelid) % seqincrement
    FROM pg_sequence WHERE seqrelid = CAST(pg_get_serial_sequence('tasks', 'id') AS regclass)
"""
LAST_CHANGE = "SELECT max(updated_at) FROM tasks WHERE user_id = %s"
MAX_SHARES = 16
"""What ids are counted by, so that each share has a remainder of its own."""


class MoveFailed(Exception):
    """The user's rows are where they were; the message says why, and what helps."""


class MovedUsers:
    """The file of nginx's ``map`` that says which users were moved, and to which share."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def share(self, user: str) -> str | None:
        """The share that a user was moved to, if any."""
        return self._entries().get(user.encode().hex())

    def write(self, user: str, share: str | None) -> None:
        """Write down the share that a user was moved to, if any: all of the file or nothing."""
        entries = {**self._entries(), user.encode().hex(): share}
        draft = self.path.with_name(f"{self.path.name}.new")
        draft.write_text("".join(f"{key} {name};\n" for key, name in entries.items() if name))
        draft.replace(self.path)

    def _entries(self) -> dict[str, str]:
        return {entry["key"]: entry["share"] for entry in ENTRY.finditer(self.path.read_text())}


def move(
    user: str, source: str, target: str, switch: Callable[[], None], *, drain_seconds: float, replace: bool = False
) -> int:
    """Move a user's rows; how many tasks there are.

    Args:
        user: the user's id.
        source: the URL of the database that has the rows.
        target: the URL of the other one.
        switch: makes new requests of the user go to the share of ``target``.
        drain_seconds: how long older requests may still go to that of ``source``.
        replace: whether rows of the user in ``target`` may be deleted there.

    Raises:
        MoveFailed: there is nothing to move, or a row might be lost.
    """
    with psycopg.connect(source) as old, psycopg.connect(target) as new:
        for connection in (old, new):
            _see_rows_of(connection, user)
        if _numbers(old) & _numbers(new):
            raise MoveFailed("Both databases may give the same ids: docs/deploy.md has the statements that part them.")
        rows = {table: _lock_rows(old, table, user) for table in OWNER_COLUMNS}
        if not rows["users"]:
            raise MoveFailed("The user has nothing in the old database.")
        _check_rows_there(old, new, user, replace=replace)
        _delete_rows(new, user)
        for table, found in rows.items():
            _insert_rows(new, table, found)
        new.commit()
        switch()
        time.sleep(drain_seconds)
        _delete_rows(old, user)
    return len(rows["tasks"])


def finish(user: str, source: str, *, drain_seconds: float) -> None:
    """Delete what a move leaves in the old database if it is interrupted after its switch."""
    time.sleep(drain_seconds)
    with psycopg.connect(source) as old:
        _see_rows_of(old, user)
        _delete_rows(old, user)


def _see_rows_of(connection: psycopg.Connection, user: str) -> None:
    """Begin a transaction that row-level security holds to this user's rows."""
    connection.execute(
        "SELECT set_config(%s, %s, true), set_config('lock_timeout', %s, true)", [USER_SETTING, user, LOCK_TIMEOUT]
    )


def _numbers(connection: psycopg.Connection) -> set[int]:
    """The remainders, when divided by MAX_SHARES, of the ids that a database gives."""
    row = connection.execute(NUMBERS).fetchone()
    return {row[1]} if row and row[0] == MAX_SHARES else set(range(MAX_SHARES))


def _check_rows_there(old: psycopg.Connection, new: psycopg.Connection, user: str, *, replace: bool) -> None:
    """See that the new database has no rows of the user, or only a copy that may be replaced.

    Raises:
        MoveFailed: they are not to be replaced, or it looks as if the user lived there.
    """
    if not new.execute("SELECT FROM users WHERE id = %s", [user]).rowcount:
        return
    if not replace:
        raise MoveFailed(
            "The new database has rows of the user already: if they are a copy, "
            "of an interrupted move or from when the shares were made, --replace deletes them."
        )
    (there,), (here,) = (connection.execute(LAST_CHANGE, [user]).fetchone() or (None,) for connection in (new, old))
    if there is not None and (here is None or there > here):
        raise MoveFailed("The user's rows in the new database are newer than in the old one: are the two mixed up?")


def _lock_rows(connection: psycopg.Connection, table: str, user: str) -> list[tuple[Any, ...]]:
    """The user's rows, which nobody can change until the transaction ends.

    Nor can a row be added: each refers to the row of ``users``, which is locked first.
    """
    query = sql.SQL("SELECT {} FROM {} WHERE {} = %s FOR UPDATE").format(
        _columns(table), sql.Identifier(table), sql.Identifier(OWNER_COLUMNS[table])
    )
    return connection.execute(query, [user]).fetchall()


def _insert_rows(connection: psycopg.Connection, table: str, rows: list[tuple[Any, ...]]) -> None:
    values = sql.SQL(", ").join(sql.Placeholder() for _ in Table.metadata.tables[table].columns)
    query = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})").format(
        sql.Identifier(table), _columns(table), values
    )
    connection.cursor().executemany(query, rows)


def _columns(table: str) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in Table.metadata.tables[table].columns)


def _delete_rows(connection: psycopg.Connection, user: str) -> int:
    """Delete a user with everything; how many there were."""
    return connection.execute("DELETE FROM users WHERE id = %s", [user]).rowcount


def _tell_nginx(moved: MovedUsers, user: str, share: str, reload: list[str]) -> None:
    """Lead the user's requests to a share, or on to where they went if nginx does not take it.

    Raises:
        MoveFailed: the command that reloads nginx failed.
    """
    before = moved.share(user)
    moved.write(user, share)
    if subprocess.run(reload, check=False).returncode:
        moved.write(user, before)
        raise MoveFailed("nginx was not reloaded, so the user stays; --replace deletes the copy when you try again.")


def _url(name: str) -> str:
    try:
        return normalise(os.environ.get(name, ""))
    except ValueError as error:
        raise MoveFailed(f"{name} {error}.") from None


def _move_or_finish(options: argparse.Namespace) -> str:
    """Do what the command line says; what there is to say of it."""
    source, target = map(_url, ("FROM_DATABASE_URL", "TO_DATABASE_URL"))
    user, moved = options.user, MovedUsers(options.map)
    if options.finish:
        finish(user, source, drain_seconds=options.drain_seconds)
        return "What was left in the old database is deleted."
    if moved.share(user) == options.share:
        raise MoveFailed(
            f"The user was moved to {options.share}: if that was interrupted, --finish deletes what it left behind."
        )
    switch = partial(_tell_nginx, moved, user, options.share, shlex.split(options.reload))
    tasks = move(user, source, target, switch, drain_seconds=options.drain_seconds, replace=options.replace)
    return f"The user is in {options.share}, with {tasks} tasks."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.shares.move", description=__doc__)
    parser.add_argument("user", help="the user's id")
    parser.add_argument("share", help="the share to move to, as nginx names it")
    parser.add_argument("--map", type=Path, default=Path("/etc/nginx/todo-api/moved.map"))
    parser.add_argument("--reload", default="nginx -s reload", help="the command that makes nginx read the map")
    parser.add_argument("--drain-seconds", type=float, default=DRAIN_SECONDS)
    parser.add_argument("--replace", action="store_true", help="delete the user's rows in the new database first")
    parser.add_argument("--finish", action="store_true", help="only delete what is left in the old database")
    try:
        print(_move_or_finish(parser.parse_args(arguments)))
    except (MoveFailed, psycopg.Error) as error:
        print(str(error).partition("\n")[0], file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
