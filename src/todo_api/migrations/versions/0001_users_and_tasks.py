"""Users and tasks, and row-level security behind every statement's own condition."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Not set and '' are the same to PostgreSQL here, and both mean: nobody.
USER = "NULLIF(current_setting('todo_api.user_id', true), '')"


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("name", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="users_pkey"),
        sa.CheckConstraint("char_length(id) BETWEEN 1 AND 255", name=op.f("users_id_length_check")),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("completed", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="tasks_pkey"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="tasks_user_id_fkey", ondelete="CASCADE"),
        sa.CheckConstraint("char_length(title) <= 255", name=op.f("tasks_title_length_check")),
        sa.CheckConstraint(r"btrim(title, E' \t\n\x0B\f\r') <> ''", name=op.f("tasks_title_not_blank_check")),
        sa.CheckConstraint("char_length(description) <= 1000", name=op.f("tasks_description_length_check")),
        sa.CheckConstraint("updated_at >= created_at", name=op.f("tasks_updated_at_not_before_created_at_check")),
    )
    op.create_index(
        "tasks_user_id_created_at_id_idx", "tasks", ["user_id", sa.text("created_at DESC"), sa.text("id DESC")]
    )
    # The role todo_api is there: migrations.protection has made it, before anything else.
    for table, column in (("users", "id"), ("tasks", "user_id")):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY {table}_of_the_user ON {table} USING ({column} = {USER})")
    op.execute("DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO todo_api', current_schema()); END $$")
    op.execute("GRANT SELECT, INSERT, UPDATE ON users TO todo_api")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON tasks TO todo_api")
    op.execute("GRANT SELECT ON todo_api_version TO todo_api")


def downgrade() -> None:
    """Drop both tables. The role stays: other databases of the server may use it."""
    op.drop_table("tasks")
    op.drop_table("users")
