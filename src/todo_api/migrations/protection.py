"""What stands behind every statement: the role, its grants, and row-level security.

The migrations make them; here they are put back where somebody took them away, after every
migration. Nothing is touched, and nothing locked, that is as it should be.
"""

from psycopg import AsyncConnection
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from todo_api.migrations.state import ROLE_PRIVILEGED, DatabaseUnusable, not_a_member, role_missing
from todo_api.queries import ROLE

OWNER_COLUMNS = {"users": "id", "tasks": "user_id", "idempotency_keys": "user_id"}
GRANTS = {
    "users": ("SELECT", "INSERT", "UPDATE"),
    "tasks": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "idempotency_keys": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "todo_api_version": ("SELECT",),
}
USER = "NULLIF(current_setting('todo_api.user_id', true), '')"

ROLE_STATE = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = :role")
# What SET ROLE requires; since PostgreSQL 16 a member may lack it, and get it by a grant.
IS_MEMBER = text("""
    SELECT pg_has_role(:login, :role, CASE WHEN current_setting('server_version_num')::int < 160000
                                      THEN 'MEMBER' ELSE 'SET' END)
    FROM pg_roles WHERE rolname = :login
""")
TABLE_STATE = text("""
    SELECT relrowsecurity, relforcerowsecurity,
           EXISTS (SELECT FROM pg_policy WHERE polrelid = pg_class.oid AND polname = :policy)
    FROM pg_class WHERE oid = CAST(:table AS regclass)
""")

HAS_TABLE_PRIVILEGE = text("SELECT has_table_privilege(:role, :table, :privilege)")
OTHER_PRIVILEGES = text("""
    SELECT quote_ident(nspname), has_schema_privilege(:role, pg_namespace.oid, 'USAGE'),
           sequence, has_sequence_privilege(:role, sequence, 'USAGE')
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace,
         pg_get_serial_sequence('tasks', 'id') AS sequence
    WHERE pg_class.oid = CAST('tasks' AS regclass)
""")

# Logins that may assume the role here and are neither this one, nor the tables' owner, nor a
# superuser.
OTHER_MEMBERS = """
    SELECT quote_ident(current_database()), string_agg(quote_ident(rolname), ', ' ORDER BY rolname)
    FROM pg_roles
    WHERE rolcanlogin AND NOT rolsuper AND rolname NOT IN (session_user, %(role)s)
      AND oid NOT IN (SELECT relowner FROM pg_class WHERE relname IN ('users', 'tasks') AND relkind IN ('r', 'p'))
      AND has_database_privilege(oid, current_database(), 'CONNECT')
      AND EXISTS (
          SELECT FROM pg_roles AS ours
          WHERE ours.rolname = %(role)s AND pg_has_role(pg_roles.oid, ours.oid, 'MEMBER')
      )
"""


def ensure_role(connection: Connection, login: str | None) -> None:
    """See that the role exists, and that this login and ``login`` may assume it.

    Raises:
        DatabaseUnusable: it cannot be made so; with the statement for an administrator.
    """
    own = str(connection.scalar(text("SELECT current_user")))
    privileged = connection.scalar(ROLE_STATE, {"role": ROLE})
    if privileged:
        raise DatabaseUnusable(ROLE_PRIVILEGED)
    if privileged is None:
        attempt(connection, f"CREATE ROLE {ROLE} NOLOGIN")
    if connection.scalar(ROLE_STATE, {"role": ROLE}) is None:
        raise DatabaseUnusable(role_missing(_quoted(connection, own)))
    for name in dict.fromkeys([own, login or own]):
        if connection.scalar(IS_MEMBER, {"login": name, "role": ROLE}) is False:
            quoted = _quoted(connection, name)
            if not attempt(connection, f"GRANT {ROLE} TO {quoted}"):
                raise DatabaseUnusable(not_a_member(quoted))


def ensure_policies(connection: Connection) -> None:
    """Put back grants, row-level security and its policies, where they are missing."""
    for table, column in OWNER_COLUMNS.items():
        policy = f"{table}_of_the_user"
        enabled, forced, has_policy = connection.execute(TABLE_STATE, {"table": table, "policy": policy}).one()
        if not enabled:
            connection.execute(text(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"))
        if not forced:
            connection.execute(text(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"))
        if not has_policy:
            connection.execute(text(f"CREATE POLICY {policy} ON {table} USING ({column} = {USER})"))
    _ensure_grants(connection)


def _ensure_grants(connection: Connection) -> None:
    for table, privileges in GRANTS.items():
        for privilege in privileges:
            if not connection.scalar(HAS_TABLE_PRIVILEGE, {"role": ROLE, "table": table, "privilege": privilege}):
                connection.execute(text(f"GRANT {privilege} ON {table} TO {ROLE}"))
    schema, usage, sequence, next_value = connection.execute(OTHER_PRIVILEGES, {"role": ROLE}).one()
    if not usage:
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {ROLE}"))
    if not next_value:
        connection.execute(text(f"GRANT USAGE ON SEQUENCE {sequence} TO {ROLE}"))


async def other_members(connection: AsyncConnection) -> str:
    """A sentence about logins of other deployments on the same server, which share our role."""
    cursor = await connection.execute(OTHER_MEMBERS, {"role": ROLE})
    database, logins = await cursor.fetchone() or ("", None)
    if logins is None:
        return ""
    return (
        f"Logins besides yours may connect to this database and assume the role {ROLE}, so they may read every "
        f"task: {logins}. Unless they are meant to, run `REVOKE CONNECT ON DATABASE {database} FROM PUBLIC`, and grant "
        "it to those who are."
    )


def attempt(connection: Connection, statement: str) -> bool:
    """Execute a statement; whether this login may."""
    try:
        with connection.begin_nested():
            connection.execute(text(statement))
    except DBAPIError:  # no right to do so, or another migration of the same server was faster
        return False
    return True


def _quoted(connection: Connection, name: str) -> str:
    return str(connection.scalar(text("SELECT quote_ident(:name)"), {"name": name}))
