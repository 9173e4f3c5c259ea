"""SQLModel statements, compiled once to SQL text with numbered parameters."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.visitors import iterate

Value = str | int | bool | datetime | Sequence[datetime] | None
Row = tuple[Any, ...]

# asyncpg's dialect renders what the wire protocol wants: $1, $2, … each with its type.
_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement, ready to send.

    ``sql`` has parameters ``$1 …`` in the order of ``binds``; ``name`` is its name as a prepared
    statement, the same in every process; ``repeatable`` tells whether it may be sent again when
    nobody knows whether it was carried out; ``plan_cache_mode`` is PostgreSQL's setting of that
    name; ``only_reads`` tells that it writes nothing; ``is_short`` that its plan suits all values,
    so that it takes little time.
    """

    sql: bytes
    binds: tuple[str, ...]
    name: bytes
    repeatable: bool
    plan_cache_mode: bytes
    only_reads: bool
    is_short: bool

    def parameters(self, values: dict[str, Value]) -> list[bytes | None]:
        """``values`` in PostgreSQL's text format, in the order of the placeholders.

        Raises:
            KeyError: a bind has no value.
        """
        return [encode(values[bind]) for bind in self.binds]


def compile_statement(statement: Any, *, repeatable: bool = False, generic_plan: bool = True) -> Statement:
    """Compile a SQLModel or SQLAlchemy statement all of whose binds are named.

    One that only reads is ``repeatable``; of one that writes the caller may know it. A generic plan
    is made once for each connection; without it, PostgreSQL plans for the values of each execution,
    which costs it as much as carrying out a short list, and pays where the best plan depends on
    them.
    """
    compiled = statement.compile(dialect=_DIALECT)
    sql = str(compiled).encode()
    only_reads = not any(isinstance(part, UpdateBase) for part in iterate(statement))
    return Statement(
        sql=sql,
        binds=tuple(compiled.positiontup or ()),
        name=hashlib.sha256(sql).hexdigest()[:16].encode(),
        repeatable=repeatable or only_reads,
        plan_cache_mode=b"force_generic_plan" if generic_plan else b"force_custom_plan",
        only_reads=only_reads,
        is_short=generic_plan,
    )


def encode(value: Value) -> bytes | None:
    """A value in PostgreSQL's text format. A string must not contain U+0000 or a lone surrogate."""
    if value is None:
        return None
    if isinstance(value, str | int):  # a bool is an int, and PostgreSQL reads True and False
        return str(value).encode()
    if isinstance(value, datetime):
        return value.isoformat().encode()
    return b'{"%b"}' % b'","'.join(moment.isoformat().encode() for moment in value) if value else b"{}"
