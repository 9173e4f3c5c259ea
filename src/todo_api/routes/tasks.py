"""The six task endpoints.

Each reads its input, runs one statement, logs what was written and answers. What it takes is in its
signature; its error responses are in ``responses``.
"""

import hashlib
import secrets
from dataclasses import dataclass
from functools import cache
from itertools import starmap
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Response
from msgspec.json import encode

from todo_api import queries
from todo_api.auth import Owner
from todo_api.db import Pool, Row, Statement, Value, compile_statement
from todo_api.models import TaskComplete, TaskCreate, TaskRead, TaskUpdate
from todo_api.observability import TaskEvent, TaskEventName, observe
from todo_api.planned.route import PlannedRoute
from todo_api.problems import MAX_BODY_BYTES, Problem, problem_responses
from todo_api.routes.dependencies import Connections, RequestPath, TaskId
from todo_api.routes.list_parameters import COMPLETED_PARAMETER, LIST_PARAMETERS, CompletedInQuery, invalid_parameters
from todo_api.routes.preconditions import (
    IdempotencyKey,
    IfMatch,
    IfNoneMatch,
    Prefer,
    unless_matched,
    versions,
    wants_minimal,
)
from todo_api.routes.representations import Empty, Json, Task, response_headers
from todo_api.routes.task_list import Page


@dataclass(frozen=True, slots=True)
class Write:
    """A write of one task, without a precondition and with one."""

    plain: Statement
    if_unchanged: Statement


SELECT_TASK = compile_statement(queries.SELECT_TASK)
INSERT_TASK = compile_statement(queries.INSERT_TASK)
INSERT_TASK_ONCE = compile_statement(queries.INSERT_TASK_ONCE, repeatable=True)  # its key makes it so
UPDATE_TASK = Write(compile_statement(queries.UPDATE_TASK), compile_statement(queries.UPDATE_UNCHANGED_TASK))
COMPLETE_TASK = Write(compile_statement(queries.COMPLETE_TASK), compile_statement(queries.COMPLETE_UNCHANGED_TASK))
DELETE_TASK = Write(compile_statement(queries.DELETE_TASK), compile_statement(queries.DELETE_UNCHANGED_TASK))


router = APIRouter(
    prefix="/api/{user_id}/tasks",
    tags=["tasks"],
    route_class=PlannedRoute,
    max_body_size=MAX_BODY_BYTES,
    responses=problem_responses(400, 401, 403, 500, 503),
)


@router.get(
    "",
    operation_id="list_tasks",
    summary="List, search and page through tasks",
    response_model=list[TaskRead],
    responses={200: response_headers("ETag", "Link"), 304: response_headers("ETag", "Link")},
    openapi_extra={"parameters": LIST_PARAMETERS},
)
async def list_tasks(
    owner: Owner, database: Connections, path: RequestPath, page: Page, if_none_match: IfNoneMatch = None
) -> Response:
    """The user's tasks, newest first unless `sort` says otherwise.

    Of more than `limit` tasks the first are answered; `Link` leads to the next.
    """
    statement = _list_statement(
        page.sort, page.descending, page.completed is not None, page.search is not None, page.start
    )
    tasks = list(starmap(Task, await database.run(statement, owner.subject, **page.values)))
    headers = []
    if len(tasks) > page.limit:
        tasks.pop()
        headers = [(b"link", page.next_link(tasks[-1], path))]
    return unless_matched(Json(tasks, headers=headers), if_none_match)


@cache
def _list_statement(
    sort: str,
    descending: bool,  # noqa: FBT001 - a key
    by_completed: bool,  # noqa: FBT001
    by_search: bool,  # noqa: FBT001
    start: Literal["first", "cursor", "offset"],
) -> Statement:
    """One of 72 statements, compiled at its first use: all of them would delay the start."""
    return compile_statement(
        queries.select_tasks(sort, descending=descending, by_completed=by_completed, by_search=by_search, start=start),
        generic_plan=sort in queries.INDEXED_SORT_KEYS and not (by_completed or by_search),
    )


@router.post(
    "",
    operation_id="create_task",
    summary="Create a task, once for each Idempotency-Key",
    status_code=201,
    response_model=TaskRead,
    responses=problem_responses(413, 415, 422) | {201: response_headers("ETag", "Location", "Idempotent-Replayed")},
)
async def create_task(
    owner: Owner,
    database: Connections,
    path: RequestPath,
    body: TaskCreate,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """With an `Idempotency-Key` the request can be repeated.

    Every repetition answers with the first one's task.
    """
    values: dict[str, Value] = {
        "email": owner.email,
        "name": owner.name,
        "title": body.title,
        "description": body.description,
        "completed": body.completed,
    }
    if idempotency_key is None:
        task, created = _task(await database.run(INSERT_TASK, owner.subject, **values)), True
    else:
        task, created = await _create_once(database, owner.subject, idempotency_key, values)
    if created:
        _written(TaskEventName.CREATED, owner, task)
    # Relative (RFC 9110 §10.2.2): it holds behind a proxy that strips a prefix.
    headers = [(b"location", b"%b%d" % (b"" if path.endswith(b"/") else b"tasks/", task.id))]
    if not created:
        headers.append((b"idempotent-replayed", b"true"))
    return Json(task, status=201, headers=headers)


async def _create_once(database: Pool, owner: str, key: str, values: dict[str, Value]) -> tuple[Any, bool]:
    """The task that this key created, and whether it was created by this request.

    Raises:
        Problem: 422, the key has created a task from another payload.
    """
    payload = encode([values["title"], values["description"], values["completed"]])
    digest, attempt = hashlib.sha256(payload).hexdigest(), secrets.token_hex(8)
    rows = await database.run(INSERT_TASK_ONCE, owner, key=key, payload_digest=digest, attempt=attempt, **values)
    *columns, same_payload, this_attempt = rows[0]
    if not same_payload:
        raise Problem(422)
    return Task(*columns), this_attempt


@router.get(
    "/{id}",
    operation_id="read_task",
    summary="Read one task",
    response_model=TaskRead,
    responses=problem_responses(404) | {200: response_headers("ETag"), 304: response_headers("ETag")},
)
async def read_task(owner: Owner, database: Connections, id: TaskId, if_none_match: IfNoneMatch = None) -> Response:
    """The task with its `ETag`.

    `If-Match` takes the tag in a later write, `If-None-Match` in a later read.
    """
    task = _task(await database.run(SELECT_TASK, owner.subject, task_id=id))
    return unless_matched(Json(task), if_none_match)


@router.put(
    "/{id}",
    operation_id="update_task",
    summary="Change only the fields that are sent",
    response_model=TaskRead,
    responses=problem_responses(404, 412, 413, 415) | {200: response_headers("ETag")},
)
async def update_task(
    owner: Owner, database: Connections, id: TaskId, body: TaskUpdate, if_match: IfMatch = None
) -> Response:
    """Fields absent from the body keep their values; `"description": null` clears it."""
    sent = body.model_fields_set
    task = await _write(
        database,
        UPDATE_TASK,
        owner.subject,
        if_match,
        task_id=id,
        title=body.title if "title" in sent else None,
        description=body.description,
        set_description="description" in sent,
        completed=body.completed if "completed" in sent else None,
    )
    _written(TaskEventName.UPDATED, owner, task)
    return Json(task)


@router.delete(
    "/{id}",
    operation_id="delete_task",
    summary="Delete a task and return it as it was",
    response_model=TaskRead,
    responses=problem_responses(404, 412)
    | {200: response_headers("ETag"), 204: response_headers("Preference-Applied")},
)
async def delete_task(
    owner: Owner, database: Connections, id: TaskId, if_match: IfMatch = None, prefer: Prefer = None
) -> Response:
    """The answer is the task as it was, so that a client can offer undo.

    `Prefer: return=minimal` omits it.
    """
    task = await _write(database, DELETE_TASK, owner.subject, if_match, task_id=id)
    _written(TaskEventName.DELETED, owner, task)
    if wants_minimal(prefer):
        return Empty(204, [(b"preference-applied", b"return=minimal")])
    return Json(task)


@router.patch(
    "/{id}/complete",
    operation_id="complete_task",
    summary="Complete, reopen or toggle a task",
    response_model=TaskRead,
    responses=problem_responses(404, 412, 413, 415) | {200: response_headers("ETag")},
    openapi_extra={"parameters": [COMPLETED_PARAMETER]},
)
async def complete_task(
    owner: Owner,
    database: Connections,
    id: TaskId,
    *,
    in_query: CompletedInQuery,
    body: Annotated[TaskComplete, Body()] = TaskComplete(),
    if_match: IfMatch = None,
) -> Response:
    """`completed` sets it, in the body or the query; without either, the task is toggled."""
    completed = _requested(body, in_query)
    task = await _write(database, COMPLETE_TASK, owner.subject, if_match, task_id=id, completed=completed)
    _written(TaskEventName.COMPLETED if task.completed else TaskEventName.REOPENED, owner, task)
    return Json(task)


def _requested(body: TaskComplete, in_query: bool | None) -> bool | None:  # noqa: FBT001 - a value
    """What ``completed`` is to be; None toggles."""
    if not body.model_fields_set:
        return in_query
    if in_query not in {None, body.completed}:
        raise invalid_parameters({"completed": "contradicts the body"})
    return body.completed


async def _write(database: Pool, write: Write, owner: str, if_match: str | None, **values: Value) -> Any:
    """The task after the write, or before it if it deletes.

    Raises:
        Problem: 404, there is no such task; 412, it is not the one that ``If-Match`` names.
    """
    if if_match is None or if_match == "*":
        return _task(await database.run(write.plain, owner, **values))
    return _task(await database.run(write.if_unchanged, owner, versions=versions(if_match), **values))


def _task(rows: list[Row]) -> Any:
    """The task of a statement that is about one.

    Raises:
        Problem: 404, whether the task is another user's or does not exist; 412, it was not written.
    """
    if not rows:
        raise Problem(404, "There is no such task.")
    if rows[0][0] is None:
        raise Problem(412)
    return Task(*rows[0])


def _written(event: TaskEventName, owner: Owner, task: Any) -> None:
    observe(TaskEvent(event, owner.subject, task.id))
