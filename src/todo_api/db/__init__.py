"""The path to PostgreSQL: compiled statements, pipelined over a few connections.

Read ``statements`` first (what is sent), then ``pipeline`` (one connection), then ``database``
(a few of them, opened when needed). Nothing here knows HTTP, tasks or settings.
"""

from todo_api.db.errors import DatabaseError, SchemaMissing, StatementFailed, Unavailable
from todo_api.db.pool import Database, Limits
from todo_api.db.statements import ROLE, USER_SETTING, Row, Statement, Value, compile_statement

__all__ = [
    "ROLE",
    "USER_SETTING",
    "Database",
    "DatabaseError",
    "Limits",
    "Row",
    "SchemaMissing",
    "Statement",
    "StatementFailed",
    "Unavailable",
    "Value",
    "compile_statement",
]
