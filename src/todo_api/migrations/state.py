"""What a database that answers lacks to serve this version, in one sentence for the operator.

``/ready`` and ``todo-api doctor`` report it.
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
REVISION = compile_statement(text("SELECT version_num FROM todo_api_version"))
ROLE_STATE = compile_statement(
    text(f"SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = '{queries.ROLE}'")  # noqa: S608 - ours
)

ROLE_PRIVILEGED = (
    f"The role {queries.ROLE} is a superuser or bypasses row-level security, so it would see every user's rows: "
    f"as another administrator run `ALTER ROLE {queries.ROLE} RENAME TO {queries.ROLE}_admin`, "
    "use that name where you log in with it, then run `todo-api migrate`."
)
NO_SUCH_ROLE = "SQLSTATE 22023"
"""What PostgreSQL answers to a SET ROLE whose role is missing."""


def role_missing(login: str) -> str:
    """The sentence for a database server without our role, and a login that may not create it."""
    return (
        f"The role {queries.ROLE} is missing: as an administrator run "
        f"`CREATE ROLE {queries.ROLE} NOLOGIN; GRANT {queries.ROLE} TO {login};`, then `todo-api migrate`."
    )


def not_a_member(login: str) -> str:
    """The sentence for a login that may not assume our role."""
    return (
        f"The login may not assume the role {queries.ROLE}: as an administrator run `GRANT {queries.ROLE} TO {login};`."
    )


def newer(revision: str) -> str:
    """The sentence for a database that a newer version has migrated."""
    return (
        f"The database is at revision {revision}, which a newer version of the service made: "
        "install that version, or set DATABASE_URL to another database."
    )


class DatabaseUnusable(Exception):
    """The database answers, but cannot be used. The message says why: and then what helps."""

    @property
    def reason(self) -> str:
        """Why, without what helps: that names logins, schemas and commands, for operators alone."""
        return f"{str(self).partition(': ')[0]}."


async def check(pool: Pool, head: str) -> bool:
    """Check that the database can serve the revision ``head``; whether it is read-only.

    Raises:
        DatabaseUnusable: it cannot.
        DatabaseError: it does not answer, or as nobody expects.
    """
    try:
        ((at_head, protected, encoding, read_only),) = await pool.run(SCHEMA_STATE, "", head=head)
    except SchemaMissing:
        encoding, login, schema = await _look_around(pool)
        check_encoding(encoding)
        if schema is None:
            raise DatabaseUnusable("The database is not migrated: run `todo-api migrate`.") from None
        raise DatabaseUnusable(
            "The tables are in a schema where the login does not look: "
            f"run `ALTER ROLE {login} SET search_path = {schema}`."
        ) from None
    check_encoding(encoding)
    if not at_head:
        ((revision,),) = await pool.run(REVISION, "")
        if revision > head:
            raise DatabaseUnusable(newer(revision))
        raise DatabaseUnusable("The database's schema is of another version: run `todo-api migrate`.")
    if not protected:
        if await pool.run(ROLE_STATE, "") == [(True,)]:
            raise DatabaseUnusable(ROLE_PRIVILEGED)
        raise DatabaseUnusable(
            "Row-level security is not in force: run `todo-api migrate`, and let nothing else own the tables."
        )
    return bool(read_only)


async def _look_around(pool: Pool) -> tuple[str, str, str | None]:
    """The encoding, the login, and the schema in which our tables are, if any."""
    try:
        ((encoding, login, schema),) = await pool.run(STRANGE_STATE, "")
    except SchemaMissing as error:  # not even the transaction's preamble succeeds
        sentence = role_missing if error.reason == NO_SUCH_ROLE else not_a_member
        raise DatabaseUnusable(sentence(pool.login)) from None
    return encoding, login, schema


def check_encoding(encoding: str) -> None:
    """See that the database can hold every text.

    Raises:
        DatabaseUnusable: its encoding is not UTF8.
    """
    if encoding != "UTF8":
        raise DatabaseUnusable(
            f"The database's encoding is {encoding}, and UTF8 is needed: "
            "`CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8'` makes one that has it."
        )
