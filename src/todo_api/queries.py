"""Ready-to-use SQLModel statements, one for each operation; every task statement binds its owner.

They are ordinary statements: ``session.exec(SELECT_TASK, params={"owner": "u1", "task_id": 7})``
answers a ``Task``. Writes answer the row they wrote, or none.
"""

from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    Delete,
    Interval,
    Text,
    Update,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    text,
    true,
    tuple_,
)
from sqlalchemy import select as select_columns
from sqlalchemy.dialects.postgresql import ARRAY, REGCLASS
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import aliased
from sqlmodel import case, col, collate, delete, insert, select, update
from sqlmodel.sql.expression import SelectOfScalar

from todo_api.models import IdempotencyKey, Task, User

_owner = bindparam("owner", type_=Text)
_completed = cast(bindparam("completed", type_=Boolean), Boolean)
_is_the_task = (col(Task.id) == bindparam("task_id", type_=BigInteger), col(Task.user_id) == _owner)

# Never equal to what it was: not within one microsecond, not when the clock is set back. Nothing
# but immutable functions is applied to the column, because Citus runs others before it knows the
# row; and to add an interval to a time is immutable only without a time zone.
_UTC = literal_column("'UTC'", Text)
_next_updated_at = func.greatest(
    func.now(),
    func.timezone(
        _UTC, func.timezone(_UTC, col(Task.updated_at)) + literal_column("interval '1 microsecond'", Interval)
    ),
)

SELECT_TASK = select(Task).where(*_is_the_task)
"""One task. Binds ``owner``, ``task_id``."""

SORT_KEYS: dict[str, tuple[Any, Any]] = {
    "created_at": (col(Task.created_at), DateTime(timezone=True)),
    "updated_at": (col(Task.updated_at), DateTime(timezone=True)),
    # Lower case of the ASCII letters, then bytes: other rules differ from machine to machine.
    "title": (func.lower(collate(col(Task.title), "C")), Text),
}
"""What a list may be sorted by: the expression, and the type of its values."""

INDEXED_SORT_KEYS = {"created_at"}
"""The keys whose order comes from an index. One plan of such a list, if it has no condition but its
owner, is best for every user. Of any other list the best plan depends on how many tasks the user
has, and how many it leaves out: for a user with half of ten million tasks a generic plan took three
times as long."""


def select_tasks(
    sort: str = "created_at",
    *,
    descending: bool = True,
    by_completed: bool = False,
    by_search: bool = False,
    start: Literal["first", "cursor", "offset"] = "first",
) -> SelectOfScalar[Task]:
    """The owner's tasks in a total order: by ``SORT_KEYS[sort]``, then by id.

    Binds ``owner`` and ``limit``; ``completed`` when it is filtered by; ``search`` likewise, a
    pattern of ``search_pattern``. A list starts with its first task, behind the position that
    ``after_key`` and ``after_id`` bind ("cursor"), or after ``offset`` tasks. Each combination is a
    statement of its own, because PostgreSQL plans it once for all values: a condition that is not
    there cannot spoil the plan, and costs nothing.
    """
    key, type_ = SORT_KEYS[sort]
    position = tuple_(key, col(Task.id))
    statement = select(Task).where(col(Task.user_id) == _owner)
    if by_completed:
        statement = statement.where(col(Task.completed) == _completed)
    if by_search:
        statement = statement.where(or_(_matches(Task.title), _matches(Task.description)))
    if start == "cursor":
        after = tuple_(bindparam("after_key", type_=type_), bindparam("after_id", type_=BigInteger))
        statement = statement.where(position < after if descending else position > after)
    order = [part.desc() if descending else part.asc() for part in position]
    statement = statement.order_by(*order).limit(bindparam("limit", type_=BigInteger))
    return statement.offset(bindparam("offset", type_=BigInteger)) if start == "offset" else statement


def _matches(text: Any) -> ColumnElement[bool]:
    # The collation decides what a class such as [[:alpha:]] holds; the pattern uses none.
    return collate(col(text), "C").regexp_match(bindparam("search", type_=Text))


_title, _description = bindparam("title", type_=Text), bindparam("description", type_=Text)
_email, _name = bindparam("email", type_=Text), bindparam("name", type_=Text)
_known_user = select(User.id).where(
    col(User.id) == _owner,
    col(User.email).is_not_distinct_from(func.coalesce(_email, User.email)),
    col(User.name).is_not_distinct_from(func.coalesce(_name, User.name)),
)
# A user who is known and unchanged costs one index look-up and takes no lock.
_upsert_user = upsert(User).from_select(
    ["id", "email", "name"], select_columns(_owner, _email, _name).where(~_known_user.exists())
)
_upsert_user = _upsert_user.on_conflict_do_update(
    index_elements=[User.id],
    set_={
        "email": func.coalesce(_upsert_user.excluded.email, User.email),
        "name": func.coalesce(_upsert_user.excluded.name, User.name),
    },
)

_upserted_user = _upsert_user.cte("upserted_user")

INSERT_TASK = (
    insert(Task)
    .values(user_id=_owner, title=_title, description=_description, completed=_completed)
    .add_cte(_upserted_user)
    .execution_options(dml_strategy="orm")  # one row with its RETURNING, not a session's bulk insert
    .returning(Task)
)
"""Create a task and the user's row, or refresh it from the token's claims: what a token does not
mention keeps its value. Binds ``owner``, ``email``, ``name``, ``title``, ``description``,
``completed``."""

_key, _digest, _attempt = (bindparam(name, type_=Text) for name in ("key", "payload_digest", "attempt"))
_proposed = select_columns(
    func.nextval(cast(func.pg_get_serial_sequence(literal_column("'tasks'"), literal_column("'id'")), REGCLASS)).label(
        "id"
    )
).cte("proposed")
# What is written down first, by whichever process, is what everyone gets: a second one waits here.
_insert_key = upsert(IdempotencyKey).from_select(
    ["user_id", "key", "payload_digest", "attempt", "task_id"],
    select_columns(_owner, _key, _digest, _attempt, _proposed.c.id),
)
_key_row = (
    _insert_key.on_conflict_do_update(
        index_elements=[IdempotencyKey.user_id, IdempotencyKey.key], set_={"key": _insert_key.excluded.key}
    )
    .returning(IdempotencyKey)
    .cte("key_row")
)
_inserted = (
    insert(Task)
    .from_select(
        ["id", "user_id", "title", "description", "completed"],
        select_columns(_key_row.c.task_id, _owner, _title, _description, _completed).where(
            _key_row.c.task_id == _proposed.c.id
        ),
    )
    .returning(col(Task.id))  # without it, Citus would write the row by COPY, which row-level security forbids
    .cte("inserted")
)
_expired_keys = (
    select(IdempotencyKey.key)
    .where(
        col(IdempotencyKey.user_id) == _owner,
        col(IdempotencyKey.key) != _key,
        col(IdempotencyKey.created_at) < func.now() - literal_column("interval '24 hours'", Interval),
    )
    .limit(literal_column("100", BigInteger))
    .with_for_update(skip_locked=True)  # two at once never wait for each other here
)
_deleted_keys = (
    delete(IdempotencyKey)
    .where(col(IdempotencyKey.user_id) == _owner, col(IdempotencyKey.key).in_(_expired_keys))
    .cte("deleted_keys")
)

INSERT_TASK_ONCE = select_columns(
    _key_row.c.task_id,
    cast(_owner, Text),
    cast(_title, Text),
    cast(_description, Text),
    _completed,
    _key_row.c.created_at,
    _key_row.c.created_at,
    _key_row.c.payload_digest == _digest,
    _key_row.c.attempt == _attempt,
).add_cte(_upserted_user, _inserted, _deleted_keys)
"""Create a task unless the owner's ``key`` has created one; the task as it was created, whether the
payload is the one it was created from, and whether it was created by this very ``attempt``.

Concurrent statements with one key create one task between them. Keys older than 24 hours are
deleted in passing. Binds what ``INSERT_TASK`` does, and ``key``, ``payload_digest``, ``attempt``.
"""

_update = (
    update(Task)
    .where(*_is_the_task)
    .values(
        title=func.coalesce(_title, Task.title),
        description=case((bindparam("set_description", type_=Boolean), _description), else_=Task.description),
        completed=func.coalesce(_completed, Task.completed),
        updated_at=_next_updated_at,
    )
)
_complete = (
    update(Task)
    .where(*_is_the_task)
    .values(completed=func.coalesce(_completed, ~col(Task.completed)), updated_at=_next_updated_at)
)
_delete = delete(Task).where(*_is_the_task)

UPDATE_TASK = _update.returning(Task)
"""Change some fields; None keeps a title or completed as it is. Binds ``owner``, ``task_id``,
``title``, ``description``, ``set_description``, ``completed``."""

COMPLETE_TASK = _complete.returning(Task)
"""Set ``completed``, or toggle it when None. Binds ``owner``, ``task_id``, ``completed``."""

DELETE_TASK = _delete.returning(Task)
"""Delete a task. Binds ``owner``, ``task_id``."""


def _if_unchanged(write: Update | Delete) -> SelectOfScalar[Task]:
    """The same write, only while the task's ``updated_at`` is among ``versions``.

    No row: there is no such task. A row without a task: it has changed since. Both the look and the
    write are one statement, and PostgreSQL looks at the version again once it holds the row.
    """
    versions = bindparam("versions", type_=ARRAY(DateTime(timezone=True)))
    written = write.where(col(Task.updated_at) == any_(versions)).returning(Task).cte("written")
    found = select(Task.id).where(*_is_the_task).subquery("found")
    return select(aliased(Task, written)).select_from(found.outerjoin(written, true()))


UPDATE_UNCHANGED_TASK = _if_unchanged(_update)
"""``UPDATE_TASK`` under a precondition. Binds ``versions`` too, a list of times."""

COMPLETE_UNCHANGED_TASK = _if_unchanged(_complete)
"""``COMPLETE_TASK`` under a precondition. Binds ``versions`` too, a list of times."""

DELETE_UNCHANGED_TASK = _if_unchanged(_delete)
"""``DELETE_TASK`` under a precondition. Binds ``versions`` too, a list of times."""

ROLE = "todo_api"
"""The role that every transaction assumes: it owns nothing and bypasses no row-level security."""

USER_SETTING = "todo_api.user_id"
"""The transaction-local setting on which the row-level security policies stand."""


TRANSACTION_PREAMBLE = text(
    f"""
    SELECT WHERE num_nulls(
        set_config('search_path', replace(replace(
            set_config('search_path', NULL, true), '"$user"', '$user'), '$user', quote_ident(session_user)), true),
        set_config('role', '{ROLE}', true),
        set_config('{USER_SETTING}', :owner, true),
        set_config('statement_timeout', :statement_timeout_milliseconds, true),
        set_config('plan_cache_mode', :plan_cache_mode, true)
    ) > 0
    """
)
"""What precedes each statement in its transaction and in the same round trip. Binds ``owner``,
``statement_timeout_milliseconds`` (a number in a string), ``plan_cache_mode``. It answers neither
rows nor columns, which nobody would look at.

The search path becomes the one that the login begins with, which NULL restores: behind a pooler,
another client may have changed it (what pg_dump writes begins by emptying it). In it ``$user`` is
the login, as it is for migrations; once the role is assumed, PostgreSQL would take it for the role.
"""
