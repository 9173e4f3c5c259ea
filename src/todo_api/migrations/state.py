"""What a database that answers lacks to serve this version, in one sentence for the operator.

``/ready`` and ``todo-api doctor`` report it.
"""

from sqlalchemy import Text, and_, bindparam, func, literal_column, table, text
from sqlmodel import select

from todo_api import queries
from todo_api.db import DatabaseError, Pool, SchemaMissing, StatementFailed, Unavailable, compile_statement
from todo_api.models import IdempotencyKey, Task, User

SELECT_SCHEMA_STATE = select(
    (literal_column("version_num", Text) == bindparam("head", type_=Text)).label("at_head"),
    and_(
        func.row_security_active(literal_column("'users'")),
        func.row_security_active(literal_column("'tasks'")),
        func.row_security_active(literal_column("'idempotency_keys'")),
        ~select(Task.id).exists(),
        ~select(User.id).exists(),
        ~select(IdempotencyKey.key).exists(),
    ).label("protected"),
    func.current_setting(literal_column("'server_encoding'")).label("encoding"),
    func.pg_is_in_recovery().label("read_only"),
).select_from(table("todo_api_version"))
"""Whether the schema is at ``head``, whether row-level security shows nobody's rows to nobody, the
database's encoding, and whether it is a standby, which can only be read. Binds ``head``; run it for
the user ''."""

# For a database without our tables, at least where anybody would look for them.
STRANGE_STATE = compile_statement(
    text(
        """
        SELECT current_setting('server_encoding'), quote_ident(session_user), (
            SELECT string_agg(quote_ident(nspname), ', ' ORDER BY nspname)
            FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE relname = 'todo_api_version' AND relkind = 'r'
        ), to_regproc('todo_api_citus.assume_user') IS NOT NULL
        """
    )
)
SCHEMA_STATE = compile_statement(SELECT_SCHEMA_STATE)
# Of distributed tables: the node that would have the user's rows says who the user is.
USER_AT_ITS_NODE = compile_statement(
    text(f"SELECT current_setting('{queries.USER_SETTING}', true), count(*) FROM users WHERE id = CAST(:owner AS text)")  # noqa: S608 - ours
)
REVISION = compile_statement(text("SELECT version_num FROM todo_api_version"))
ROLE_STATE = compile_statement(
    text(f"SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = '{queries.ROLE}'")  # noqa: S608 - ours
)

ROLE_PRIVILEGED = (
    f"The role {queries.ROLE} is a superuser or bypasses row-level security, so it would see every user's rows: "
    f"as another administrator run `ALTER ROLE {queries.ROLE} RENAME TO {queries.ROLE}_admin`, "
    "use that name where you log in with it, then run `todo-api migrate`."
)
DISTRIBUTED = "The tables are distributed over the nodes of a Citus cluster: set DATABASE_CITUS=true."
NOT_DISTRIBUTED = (
    "DATABASE_CITUS is true, and the tables are not distributed: run `todo-api migrate --distribute`, or unset it."
)
USER_LOST = (
    "The nodes of the Citus cluster are not told whose request they serve, so they serve none: "
    "let DATABASE_URL name the coordinator, run `todo-api migrate`, and put no pooler between the nodes."
)
NODE_UNREACHABLE = (
    f"The Citus coordinator cannot log in at a worker as {queries.ROLE}: is the worker up, and does its pg_hba.conf "
    "(or pg_dist_authinfo on the coordinator) allow it?"
)
PROBE = "todo-api"
"""A user to ask the nodes about."""

NO_FUNCTION = {"SQLSTATE 3F000", "SQLSTATE 42883"}
"""What PostgreSQL answers where the function is missing that begins transactions on Citus."""

NO_SUCH_SETTING = "SQLSTATE 42704"
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
        """Why, without what helps: that names logins and commands, for operators alone."""
        return f"{str(self).partition(': ')[0]}."


async def check(pool: Pool, head: str, *, distributed: bool = False) -> bool:
    """Check that the database can serve the revision ``head``; whether it is read-only.

    Args:
        pool: to the database.
        head: the revision.
        distributed: whether ``pool`` takes the tables for distributed ones.

    Raises:
        DatabaseUnusable: it cannot.
        DatabaseError: it does not answer, or as nobody expects.
    """
    try:
        ((at_head, protected, encoding, read_only),) = await pool.run(SCHEMA_STATE, "", head=head)
        if distributed and await pool.run(USER_AT_ITS_NODE, PROBE) != [(PROBE, 0)]:
            raise DatabaseUnusable(USER_LOST)
    except (SchemaMissing, StatementFailed) as error:
        await _explain(error, pool, distributed=distributed)
        raise
    except Unavailable as error:
        if distributed and error.reason.startswith("SQLSTATE 08"):
            raise DatabaseUnusable(NODE_UNREACHABLE) from None
        raise
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


async def _explain(error: DatabaseError, pool: Pool, *, distributed: bool) -> None:
    """Find out why the database rejects ``SCHEMA_STATE``.

    Raises:
        DatabaseUnusable: with the reason, if it is the database.
    """
    try:
        ((encoding, login, schema, are_distributed),) = await pool.run(STRANGE_STATE, "")
    except SchemaMissing as missing:  # not even the transaction's preamble succeeds
        if missing.reason in NO_FUNCTION:
            raise DatabaseUnusable(NOT_DISTRIBUTED) from None
        sentence = role_missing if missing.reason == NO_SUCH_ROLE else not_a_member
        raise DatabaseUnusable(sentence(pool.login)) from None
    check_encoding(encoding)
    if are_distributed and not distributed:
        raise DatabaseUnusable(DISTRIBUTED)
    if error.reason == NO_SUCH_SETTING:
        raise DatabaseUnusable(USER_LOST)
    if isinstance(error, StatementFailed):
        return
    if schema is None:
        raise DatabaseUnusable("The database is not migrated: run `todo-api migrate`.")
    raise DatabaseUnusable(
        f"The tables are in the schema {schema}, where the login does not look: "
        f"run `ALTER ROLE {login} SET search_path = {schema}`."
    )


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
