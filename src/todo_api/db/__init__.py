"""The path to PostgreSQL: compiled statements, pipelined over a few connections.

Read ``statements`` first (what is sent), then ``connection`` (one connection), ``connector`` (a few
of them, opened when needed) and ``pool`` (which statement goes where). Nothing here knows HTTP,
tables, roles or settings: the pool is handed the transaction preamble, which knows them.
"""

from todo_api.db.connector import Limits
from todo_api.db.errors import DatabaseError, SchemaMissing, StatementCancelled, StatementFailed, Unavailable
from todo_api.db.pool import Pool
from todo_api.db.statements import Row, Statement, Value, compile_statement

__all__ = [
    "DatabaseError",
    "Limits",
    "Pool",
    "Row",
    "SchemaMissing",
    "Statement",
    "StatementCancelled",
    "StatementFailed",
    "Unavailable",
    "Value",
    "compile_statement",
]
