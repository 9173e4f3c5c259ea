"""Every exception becomes a problem response, here and nowhere else.

``HANDLERS`` are FastAPI's exception handlers. What has no handler is a bare 500, and its kind is
logged.
"""

from collections.abc import Callable, Coroutine, Mapping
from inspect import iscoroutinefunction
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler, Receive, Scope

from todo_api.db import DatabaseError, SchemaMissing, StatementCancelled, StatementFailed
from todo_api.observability import DatabaseFailed, failure_event, observe
from todo_api.problems import Problem, respond, respond_invalid

SHUTTING_DOWN: Final = "The service is shutting down; please try again."
SCHEMA_OUTDATED: Final = "The service is being updated; please try again later."
STATEMENT_CANCELLED: Final = "This took the database too long; please ask for less, or try again."


async def response_to(
    error: Exception, scope: Scope, receive: Receive, handlers: Mapping[Any, ExceptionHandler], *, started: bool
) -> Response | None:
    """The response that an exception in the application becomes.

    Args:
        error: what was raised.
        scope: of the request.
        receive: of the request.
        handlers: FastAPI's exception handlers; one by status wins over those by class.
        started: whether another response has been started; then there is none, and the exception is
            logged.
    """
    handler = handlers.get(error.status_code) if isinstance(error, HTTPException) else None
    if handler is None:
        handler = next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), None)
    if handler is None or started:
        observe(failure_event(error))
        return None if started else respond(scope, 500)
    try:
        return await _call(handler, Request(scope, receive), error)
    except Exception as fault:  # noqa: BLE001 - the process edge: a handler that failed itself
        observe(failure_event(fault))
        return respond(scope, 500)


async def _call(handler: Any, request: Request, error: Exception) -> Response:
    if iscoroutinefunction(handler):
        response: Response = await handler(request, error)
        return response
    return await run_in_threadpool(handler, request, error)


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail if isinstance(error, Problem) else None  # a framework's own words are for programmers
    return respond(request.scope, error.status_code, detail, headers=error.headers)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return respond_invalid(request.scope, error)


async def _answer_database(request: Request, error: Exception) -> Response:
    assert isinstance(error, DatabaseError)
    if isinstance(error, SchemaMissing):
        observe(DatabaseFailed(f"{error.reason}; `todo-api migrate` brings the schema up to date"))
        return respond(request.scope, 503, SCHEMA_OUTDATED)
    observe(DatabaseFailed(error.reason))
    if isinstance(error, StatementFailed):
        return respond(request.scope, 500)
    return respond(request.scope, 503, STATEMENT_CANCELLED if isinstance(error, StatementCancelled) else None)


HANDLERS: Final[dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]]] = {
    HTTPException: _answer_http,
    RequestValidationError: _answer_invalid,
    DatabaseError: _answer_database,
}
