"""The schema's history, and the one way to bring a database up to date.

Alembic is configured here, in code; the scripts travel inside the package.
"""

from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

# Any number will do, as long as every version of this service uses the same.
LOCK = 7_306_090_421
LOCK_TIMEOUT = "10s"


class MigrationFailed(Exception):
    """The database could not be migrated; the message is one sentence for the operator."""


def head() -> str:
    """The revision that this version of the service needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def upgrade(url: str) -> None:
    """Bring the database at ``url`` to ``head``, in one transaction.

    A concurrent upgrade is waited for. On Neon, give the direct host: work of this kind takes locks.

    Raises:
        MigrationFailed: the database is out of reach, or its login lacks a right.
    """
    engine = engine_for(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except (DBAPIError, psycopg.Error, CommandError) as error:
        reason = str(getattr(error, "orig", error)).partition("\n")[0]
        raise MigrationFailed(f"The database could not be migrated: {reason}") from None
    finally:
        engine.dispose()


def engine_for(url: str) -> Engine:
    """A SQLAlchemy engine whose connections libpq opens from ``url`` as it stands."""
    return create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url, prepare_threshold=None), poolclass=NullPool
    )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
