"""The schema's history, and the one way to bring a database up to date.

Alembic is configured here, in code; the scripts travel inside the package. It is imported when
there is something to migrate: it would cost every start of the service 0.2 s and 6 MB.
"""

from pathlib import Path

import psycopg
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from todo_api.migrations import distribution, protection
from todo_api.migrations.state import DatabaseUnusable, check_encoding, newer

SCRIPTS = Path(__file__).parent

# Any number will do, as long as every version of this service uses the same.
LOCK = 7_306_090_421
LOCK_TIMEOUT = "10s"


class MigrationFailed(Exception):
    """The database could not be migrated; the message is one sentence for the operator."""


def head() -> str:
    """The revision that this version of the service needs.

    Scripts are named by theirs, in their order.
    """
    return max(path.name for path in SCRIPTS.glob("versions/[0-9]*.py")).partition("_")[0]


def upgrade(url: str, *, login: str | None = None, distribute: bool = False) -> None:
    """Bring the database at ``url`` to ``head``, with its role, policies and grants.

    All in one transaction.

    A concurrent upgrade is waited for. On Neon, give the direct host: work of this kind takes
    locks.

    Args:
        url: of a login that owns the tables, or will.
        login: as whom the service will connect, if that is another.
        distribute: distribute the tables over the Citus cluster whose coordinator ``url`` names.

    Raises:
        MigrationFailed: the database is out of reach, unusable, or its login lacks a right.
    """
    engine = engine_for(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            distribution.allow_schema_changes(connection)
            protection.ensure_role(connection, login)
            if _revision(connection) != head():
                _run_scripts(connection)
            protection.ensure_policies(connection)
            distribution.ensure_distribution(connection, wanted=distribute)
    except DatabaseUnusable as error:
        raise MigrationFailed(str(error)) from None
    except (DBAPIError, psycopg.Error) as error:
        reason = str(getattr(error, "orig", error)).partition("\n")[0]
        raise MigrationFailed(f"The database could not be migrated: {reason}") from None
    finally:
        engine.dispose()


def engine_for(url: str) -> Engine:
    """A SQLAlchemy engine whose connections libpq opens from ``url`` as it stands."""
    return create_engine("postgresql+psycopg://", creator=lambda: _connect(url), poolclass=NullPool)


def _connect(url: str) -> psycopg.Connection:
    """A connection; SQLAlchemy's first queries fail in ways of their own unless texts are UTF-8."""
    connection = psycopg.connect(url, prepare_threshold=None)
    try:
        check_encoding(connection.info.parameter_status("server_encoding") or "unknown")
    except DatabaseUnusable:
        connection.close()
        raise
    return connection


def _revision(connection: Connection) -> str | None:
    """The revision of the database, if it has one.

    Raises:
        DatabaseUnusable: this version of the service does not know it.
    """
    if connection.scalar(text("SELECT to_regclass('todo_api_version')")) is None:
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM todo_api_version"))
    if revision is not None and revision > head():
        raise DatabaseUnusable(newer(revision))
    return revision


def _run_scripts(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - the module's docstring says why
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise MigrationFailed(f"The database could not be migrated: {error}") from None
