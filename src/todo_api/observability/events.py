"""The closed list of what can happen; the log and the metrics are its two readers."""

from contextvars import ContextVar
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being served."""


class TaskEventName(StrEnum):
    """What can happen to a task."""

    CREATED = "task.created"
    UPDATED = "task.updated"
    COMPLETED = "task.completed"
    REOPENED = "task.reopened"
    DELETED = "task.deleted"


class TaskEvent(Struct, frozen=True):
    """A committed write. Never the title, never the description."""

    event: TaskEventName
    user_id: str
    task_id: int


class AuthRejected(Struct, frozen=True, omit_defaults=True, tag_field="event", tag="auth.refused"):
    """A request without a usable token, or with another user's.

    Then ``user_id`` is whose token it was.
    """

    reason: str
    user_id: str | None = None


class DatabaseFailed(Struct, frozen=True, tag_field="event", tag="database.failed"):
    """A statement that brought no result."""

    reason: str


class AuthUnavailable(Struct, frozen=True, tag_field="event", tag="auth.unavailable"):
    """A token that could not be checked, because there is no JWKS."""

    reason: str


class RequestFailed(Struct, frozen=True, tag_field="event", tag="request.failed"):
    """A fault of ours: which kind, and where; not what it said, because that may quote values."""

    error: str
    where: str


class RequestServed(Struct, frozen=True, tag_field="event", tag="request"):
    """One answered request; ``route`` is the template, never the path."""

    method: str
    route: str
    status: int
    milliseconds: float


Event = TaskEvent | AuthRejected | DatabaseFailed | AuthUnavailable | RequestFailed | RequestServed


def failure_event(error: BaseException) -> RequestFailed:
    """The event for an unexpected exception: its type, and the last line of our code it passed."""
    where = "unknown"
    trace = error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if "todo_api" in path.parts:
            where = f"{path.parent.name}/{path.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return RequestFailed(type(error).__name__, where)
