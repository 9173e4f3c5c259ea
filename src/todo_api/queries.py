"""Ready-to-use SQLModel statements, one for each operation; every task statement binds its owner.

They are ordinary statements: ``session.exec(SELECT_TASK, params={"owner": "u1", "task_id": 7})`` answers
a ``Task``. Writes answer the row they wrote, or none.
"""

from sqlalchemy import BigInteger, Boolean, Interval, Text, and_, bindparam, cast, func, literal_column, or_, table
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import case, col, delete, insert, select, update

from todo_api.models import Task, User

_owner = bindparam("owner", type_=Text)
_completed = cast(bindparam("completed", type_=Boolean), Boolean)
_is_the_task = (col(Task.id) == bindparam("task_id", type_=BigInteger), col(Task.user_id) == _owner)

# Never equal to what it was: not within one microsecond, not when the clock is set back.
_next_updated_at = func.greatest(
    func.clock_timestamp(), col(Task.updated_at) + literal_column("interval '1 microsecond'", Interval)
)

SELECT_TASK = select(Task).where(*_is_the_task)
"""One task. Binds ``owner``, ``task_id``."""

LIST_TASKS = (
    select(Task)
    .where(
        col(Task.user_id) == _owner,
        or_(
            _completed.is_(None),
            col(Task.completed) == _completed,
        ),
    )
    .order_by(col(Task.created_at).desc(), col(Task.id).desc())
    .limit(bindparam("limit", type_=BigInteger))
)
"""The owner's tasks, newest first. Binds ``owner``, ``completed`` (None: both), ``limit``."""

_email, _name = bindparam("email", type_=Text), bindparam("name", type_=Text)
_known_user = select(User.id).where(
    col(User.id) == _owner,
    col(User.email).is_not_distinct_from(func.coalesce(_email, User.email)),
    col(User.name).is_not_distinct_from(func.coalesce(_name, User.name)),
)
# A user who is known and unchanged costs one index look-up and takes no lock.
_upsert_user = upsert(User).from_select(
    ["id", "email", "name"], select(_owner, _email, _name).where(~_known_user.exists())
)
_upsert_user = _upsert_user.on_conflict_do_update(
    index_elements=[User.id],
    set_={
        "email": func.coalesce(_upsert_user.excluded.email, User.email),
        "name": func.coalesce(_upsert_user.excluded.name, User.name),
    },
)

INSERT_TASK = (
    insert(Task)
    .values(
        user_id=_owner,
        title=bindparam("title", type_=Text),
        description=bindparam("description", type_=Text),
        completed=bindparam("completed", type_=Boolean),
    )
    .add_cte(_upsert_user.cte("upserted_user"))
    .execution_options(dml_strategy="orm")  # one row with its RETURNING, not a session's bulk insert
    .returning(Task)
)
"""Create a task and the user's row, or refresh it from the token's claims: what a token does not
mention keeps its value. Binds ``owner``, ``email``, ``name``, ``title``, ``description``, ``completed``."""

UPDATE_TASK = (
    update(Task)
    .where(*_is_the_task)
    .values(
        title=func.coalesce(bindparam("title", type_=Text), Task.title),
        description=case(
            (bindparam("set_description", type_=Boolean), bindparam("description", type_=Text)),
            else_=Task.description,
        ),
        completed=func.coalesce(_completed, Task.completed),
        updated_at=_next_updated_at,
    )
    .returning(Task)
)
"""Change some fields; None keeps a title or completed as it is. Binds ``owner``, ``task_id``, ``title``,
``description``, ``set_description``, ``completed``."""

COMPLETE_TASK = (
    update(Task)
    .where(*_is_the_task)
    .values(
        completed=func.coalesce(_completed, ~col(Task.completed)),
        updated_at=_next_updated_at,
    )
    .returning(Task)
)
"""Set ``completed``, or toggle it when None. Binds ``owner``, ``task_id``, ``completed``."""

DELETE_TASK = delete(Task).where(*_is_the_task).returning(Task)
"""Delete a task. Binds ``owner``, ``task_id``."""

SCHEMA_STATE = select(
    (literal_column("version_num", Text) == bindparam("head", type_=Text)).label("at_head"),
    and_(
        func.row_security_active(literal_column("'users'")),
        func.row_security_active(literal_column("'tasks'")),
        ~select(Task.id).exists(),
        ~select(User.id).exists(),
    ).label("protected"),
).select_from(table("todo_api_version"))
"""Whether the schema is at ``head``, and whether row-level security shows nobody's rows to nobody.
Binds ``head``; run it for the user ''."""
