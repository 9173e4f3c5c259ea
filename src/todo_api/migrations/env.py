"""Run by Alembic: only our own tables are ever looked at, whatever else is in the database."""

from alembic import context

from todo_api.models import Table

OURS = set(Table.metadata.tables)


def _is_ours(name: str | None, kind: str, parents: object) -> bool:  # noqa: ARG001 - Alembic's signature
    return kind != "table" or name in OURS


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    include_name=_is_ours,
    version_table="todo_api_version",
)
with context.begin_transaction():
    context.run_migrations()
