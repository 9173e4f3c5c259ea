"""The six task endpoints.

Each reads its input, runs one statement, logs what was written and answers. What it takes is in its
signature; what it refuses is in its ``responses``.
"""

import re
from collections.abc import Sequence
from itertools import starmap
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response
from msgspec import defstruct
from msgspec.json import Encoder
from pydantic import BeforeValidator, Field, WithJsonSchema

from todo_api import queries
from todo_api.auth import Owner
from todo_api.db import Database, Row, compile_statement
from todo_api.models import TaskComplete, TaskCreate, TaskRead, TaskUpdate
from todo_api.observability import TaskEvent, TaskEventName, observe
from todo_api.problems import Problem, documented
from todo_api.routes.compiled import CompiledRoute

MAXIMUM_LIMIT = 1000
LONGEST_ID = 18  # digits; every such number is a bigint, and a bigint of more is never reached
COMPLETED_BY_STATUS = {"all": None, "pending": False, "completed": True}
RawHeaders = Sequence[tuple[bytes, bytes]]
HEADERS: RawHeaders = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"Authorization"),
)

SELECT_TASK = compile_statement(queries.SELECT_TASK)
LIST_TASKS = compile_statement(queries.LIST_TASKS)
INSERT_TASK = compile_statement(queries.INSERT_TASK)
UPDATE_TASK = compile_statement(queries.UPDATE_TASK)
COMPLETE_TASK = compile_statement(queries.COMPLETE_TASK)
DELETE_TASK = compile_statement(queries.DELETE_TASK)


def _database(request: Request) -> Database:
    database: Database = request.scope["state"]["database"]
    return database


def _decimal(text: Any) -> int:
    """Digits as a number; 0, which names no task, when they exceed what PostgreSQL can number."""
    digits = str(text)
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("must be decimal digits")
    if len(digits) > LONGEST_ID:
        digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= LONGEST_ID else 0


Task = defstruct("Task", list(TaskRead.model_fields), frozen=True, gc=False)
"""A row on its way to JSON: what ``TaskRead`` describes, in the form that is fastest to encode."""

_encode = Encoder().encode
# The encoder leaves out a fraction of zero. No string can look like this: its quotes are escaped.
_WHOLE_SECOND = re.compile(rb'(_at":"[0-9T:-]{19})Z')


def _whole_number(text: Any) -> Any:
    """Digits and nothing else: Pydantic would take 1_0, +5 and 5.0 as well."""
    if not (str(text).isascii() and str(text).isdigit()):
        raise ValueError("must be a whole number")
    return text


Connections = Annotated[Database, Depends(_database)]
Limit = Annotated[
    int,
    Field(ge=1, le=MAXIMUM_LIMIT),
    BeforeValidator(_whole_number),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAXIMUM_LIMIT}),
]
TaskId = Annotated[
    int,
    BeforeValidator(_decimal),
    WithJsonSchema({"type": "integer", "minimum": 0}),
    Path(description="The task's id."),
]


router = APIRouter(
    prefix="/api/{user_id}/tasks",
    tags=["tasks"],
    route_class=CompiledRoute,
    responses=documented(400, 401, 403, 500, 503),
)


@router.get("", operation_id="list_tasks", response_model=list[TaskRead])
async def list_tasks(
    owner: Owner,
    database: Connections,
    status: Annotated[Literal["all", "pending", "completed"], Query(description="Which tasks.")] = "all",
    limit: Annotated[Limit, Query(description="How many at most.")] = MAXIMUM_LIMIT,
) -> Response:
    """The user's tasks, newest first."""
    rows = await database.run(LIST_TASKS, owner.subject, completed=COMPLETED_BY_STATUS[status], limit=limit)
    return Json(list(starmap(Task, rows)))


@router.post(
    "",
    operation_id="create_task",
    status_code=201,
    response_model=TaskRead,
    responses=documented(413, 415)
    | {201: {"headers": {"Location": {"description": "The task's path.", "schema": {"type": "string"}}}}},
)
async def create_task(owner: Owner, database: Connections, body: TaskCreate) -> Response:
    """Create a task."""
    rows = await database.run(
        INSERT_TASK,
        owner.subject,
        email=owner.email,
        name=owner.name,
        title=body.title,
        description=body.description,
        completed=body.completed,
    )
    task = _task(rows)
    _written(TaskEventName.CREATED, owner, task)
    location = f"/api/{quote(owner.subject, safe='')}/tasks/{task.id}"
    return Json(task, status=201, headers=[(b"location", location.encode())])


@router.get("/{id}", operation_id="read_task", response_model=TaskRead, responses=documented(404))
async def read_task(owner: Owner, database: Connections, id: TaskId) -> Response:
    """One task."""
    return Json(_task(await database.run(SELECT_TASK, owner.subject, task_id=id)))


@router.put("/{id}", operation_id="update_task", response_model=TaskRead, responses=documented(404, 413, 415))
async def update_task(owner: Owner, database: Connections, id: TaskId, body: TaskUpdate) -> Response:
    """Change a task: the fields in the body, and no others."""
    sent = body.model_fields_set
    rows = await database.run(
        UPDATE_TASK,
        owner.subject,
        task_id=id,
        title=body.title if "title" in sent else None,
        description=body.description,
        set_description="description" in sent,
        completed=body.completed if "completed" in sent else None,
    )
    task = _task(rows)
    _written(TaskEventName.UPDATED, owner, task)
    return Json(task)


@router.delete("/{id}", operation_id="delete_task", response_model=TaskRead, responses=documented(404))
async def delete_task(owner: Owner, database: Connections, id: TaskId) -> Response:
    """Delete a task; the answer is the task as it was, so that a client can offer undo."""
    task = _task(await database.run(DELETE_TASK, owner.subject, task_id=id))
    _written(TaskEventName.DELETED, owner, task)
    return Json(task)


@router.patch(
    "/{id}/complete", operation_id="complete_task", response_model=TaskRead, responses=documented(404, 413, 415)
)
async def complete_task(
    owner: Owner, database: Connections, id: TaskId, body: Annotated[TaskComplete, Body()] = TaskComplete()
) -> Response:
    """Complete or reopen a task: `completed` sets it, no body (or an empty one) toggles it."""
    completed = body.completed if body.model_fields_set else None
    task = _task(await database.run(COMPLETE_TASK, owner.subject, task_id=id, completed=completed))
    _written(TaskEventName.COMPLETED if task.completed else TaskEventName.REOPENED, owner, task)
    return Json(task)


def _task(rows: list[Row]) -> Any:
    """The task of a statement that is about one.

    Raises:
        Problem: 404, whether the task is another user's or does not exist.
    """
    if not rows:
        raise Problem(404, "There is no such task.")
    return Task(*rows[0])


def _written(event: TaskEventName, owner: Owner, task: Any) -> None:
    observe(TaskEvent(event, owner.subject, task.id))


class Json(Response):
    """A task, or a list of them, as ``TaskRead`` describes it; what all answers share is made once."""

    def __init__(self, content: Any, *, status: int = 200, headers: RawHeaders = ()) -> None:
        self.body = _encode(content)
        if _has_whole_second(content):
            self.body = _WHOLE_SECOND.sub(rb"\1.000000Z", self.body)
        self.status_code = status
        self.background = None
        self.raw_headers = [*HEADERS, (b"content-length", b"%d" % len(self.body)), *headers]


def _has_whole_second(content: Any) -> bool:
    tasks = content if isinstance(content, list) else (content,)
    return not all([task.created_at.microsecond and task.updated_at.microsecond for task in tasks])  # noqa: C419 - faster
