"""``todo-api migrate --distribute``: the tables on the nodes of a Citus cluster, divided by user.

All rows of one user are on one node. The coordinator, which ``DATABASE_URL`` names, logs in there
as our role and sends the statement on; docs/decisions/0020 says what that requires, and why.
"""

from sqlalchemy import Connection, text

from todo_api.migrations import protection
from todo_api.migrations.state import DatabaseUnusable
from todo_api.queries import ROLE, USER_SETTING

FUNCTION = "todo_api_citus.assume_user"

TRANSACTION_PREAMBLE = text(
    f"SELECT WHERE {FUNCTION}(:owner, :statement_timeout_milliseconds, :plan_cache_mode) IS NULL"
)
"""What ``queries.TRANSACTION_PREAMBLE`` is elsewhere. It has to stand in a transaction block."""

# Citus repeats a SET LOCAL on the node that carries out the statement, but no set_config. Which
# plans may be generic it decides itself: of others it makes none, and fails.
CREATE_FUNCTION = text(f"""
    CREATE OR REPLACE FUNCTION {FUNCTION}(owner text, statement_timeout text, plan_cache_mode text)
    RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM set_config('search_path', replace(replace(
                    set_config('search_path', NULL, true), '"$user"', '$user'), '$user', quote_ident(session_user)), true),
                set_config('role', '{ROLE}', true),
                set_config('statement_timeout', statement_timeout, true),
                set_config('plan_cache_mode', replace(plan_cache_mode, 'force_generic_plan', 'auto'), true),
                set_config('citus.propagate_set_commands', 'local', true);
        EXECUTE format('SET LOCAL {USER_SETTING} = %L', owner);
        RETURN true;
    END $$
""")

IS_DISTRIBUTED = text("SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = CAST(:table AS regclass))")
HAS_CITUS = text("SELECT to_regclass('pg_dist_partition') IS NOT NULL")
MAY_LOG_IN = text("SELECT rolcanlogin FROM pg_roles WHERE rolname = :role")
REQUIRES_A_USER = text("""
    SELECT pg_get_expr(polqual, polrelid) LIKE '%CURRENT_USER%' FROM pg_policy
    WHERE polrelid = CAST(:table AS regclass) AND polname = :table || '_of_the_user'
""")
OWN_KEY = text("""
    SELECT array_length(conkey, 1) = 1 FROM pg_constraint
    WHERE conrelid = CAST('tasks' AS regclass) AND contype = 'p'
""")


def allow_schema_changes(connection: Connection) -> None:
    """Let this transaction change the schema of distributed tables more than once."""
    if connection.scalar(HAS_CITUS):
        connection.execute(text("SET LOCAL citus.multi_shard_modify_mode = 'sequential'"))


def ensure_distribution(connection: Connection, *, wanted: bool) -> None:
    """Distribute the tables if ``wanted``; if they are, put back what they need.

    Raises:
        DatabaseUnusable: it cannot be done; with the statement for an administrator.
    """
    if not connection.scalar(HAS_CITUS):
        if wanted:
            raise DatabaseUnusable(
                "The database has no Citus: on every node run `CREATE EXTENSION citus`, and on the coordinator "
                "`SELECT citus_add_node('name', 5432)` for each worker."
            )
        return
    if not (wanted or connection.scalar(IS_DISTRIBUTED, {"table": "tasks"})):
        return
    _allow_login(connection)
    is_new = not connection.scalar(IS_DISTRIBUTED, {"table": "users"})
    if connection.scalar(OWN_KEY):
        connection.execute(
            text("ALTER TABLE tasks DROP CONSTRAINT tasks_pkey, ADD CONSTRAINT tasks_pkey PRIMARY KEY (user_id, id)")
        )
    for table, column in protection.OWNER_COLUMNS.items():
        _distribute(connection, table, column)
        _require_a_user(connection, table, column)
    if is_new:  # what was copied to the nodes, of all three tables
        connection.execute(text("SELECT truncate_local_data_after_distributing_table('users')"))
    connection.execute(text("CREATE SCHEMA IF NOT EXISTS todo_api_citus"))
    connection.execute(CREATE_FUNCTION)
    connection.execute(text("GRANT USAGE ON SCHEMA todo_api_citus TO PUBLIC"))


def _allow_login(connection: Connection) -> None:
    """Let the coordinator log in at workers as the role that a transaction has assumed."""
    database = connection.scalar(text("SELECT quote_ident(current_database())"))
    connection.execute(text(f"GRANT CONNECT ON DATABASE {database} TO {ROLE}"))
    if not connection.scalar(MAY_LOG_IN, {"role": ROLE}):
        statement = f"ALTER ROLE {ROLE} LOGIN"
        if not protection.attempt(connection, statement):
            raise DatabaseUnusable(
                f"The Citus coordinator has to log in at the workers as {ROLE}: "
                f"as an administrator run `{statement};`, then `todo-api migrate --distribute`."
            )


def _distribute(connection: Connection, table: str, column: str) -> None:
    """Distribute a table, with the rows that it has."""
    if connection.scalar(IS_DISTRIBUTED, {"table": table}):
        return
    # Its owner, who copies the rows, has to see them.
    connection.execute(text(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"))
    connection.execute(
        text("SELECT create_distributed_table(:table, :column, colocate_with => :colocate_with)"),
        {"table": table, "column": column, "colocate_with": "default" if table == "users" else "users"},
    )
    connection.execute(text(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"))


def _require_a_user(connection: Connection, table: str, column: str) -> None:
    """Let a statement fail on a node that does not know its user, instead of finding nothing there.

    That is for our role; foreign keys are checked as the owner, who finds nothing. A second policy
    would not do: Citus 13.2.2 sends a RESTRICTIVE one on as a permissive one.
    """
    if connection.scalar(REQUIRES_A_USER, {"table": table}):
        return
    user = f"NULLIF(current_setting('{USER_SETTING}', current_user <> '{ROLE}'), '')"
    connection.execute(text(f"ALTER POLICY {table}_of_the_user ON {table} USING ({column} = {user})"))
