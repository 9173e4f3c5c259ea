"""What a database that answers lacks to serve this version, in one sentence for the operator.

``/ready`` and ``todo-api doctor`` ask here.
"""

from sqlalchemy import text

from todo_api import queries
from todo_api.db import Pool, SchemaMissing, compile_statement

# For a database without our tables, at least where anybody would look for them.
STRANGE_STATE = compile_statement(
    text(
        """
        SELECT current_setting('server_encoding'), quote_ident(session_user), (
            SELECT string_agg(quote_ident(nspname), ', ' ORDER BY nspname)
            FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE relname = 'todo_api_version' AND relkind = 'r'
        )
        """
    )
)
SCHEMA_STATE = compile_statement(queries.SCHEMA_STATE)


class DatabaseUnusable(Exception):
    """The database answers, but cannot be used; the message says why and what helps."""


async def check(pool: Pool, head: str) -> bool:
    """Look whether the database can serve the schema's revision ``head``; whether it can only be read.

    Raises:
        DatabaseUnusable: it cannot.
        DatabaseError: it does not answer, or as nobody expects.
    """
    try:
        ((at_head, protected, encoding, read_only),) = await pool.run(SCHEMA_STATE, "", head=head)
    except SchemaMissing:
        ((encoding, login, schema),) = await pool.run(STRANGE_STATE, "")
        _check_encoding(encoding)
        if schema is None:
            raise DatabaseUnusable("The database is not migrated: run `todo-api migrate`.") from None
        raise DatabaseUnusable(
            f"The tables are in the schema {schema}, and the login {login} does not look there: "
            f"run `ALTER ROLE {login} SET search_path = {schema}`."
        ) from None
    _check_encoding(encoding)
    if not at_head:
        raise DatabaseUnusable("The database's schema is of another version: run `todo-api migrate`.")
    if not protected:
        raise DatabaseUnusable(
            "Row-level security is not in force: run `todo-api migrate`, and let nothing else own the tables."
        )
    return bool(read_only)


def _check_encoding(encoding: str) -> None:
    if encoding != "UTF8":
        raise DatabaseUnusable(
            f"The database's encoding is {encoding}, and UTF8 is needed: "
            "`CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8'` makes one that has it."
        )
