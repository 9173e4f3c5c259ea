"""``create_app``: the one place where the rooms are put together.

Settings come in, an application goes out: routes, middleware in the order in which a request meets
it, exception handlers, documentation, and a lifespan that opens and closes the database.
"""

import asyncio
import gc
import logging
import multiprocessing
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import iter_route_contexts
from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import TracerProvider
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp

from todo_api import __version__, migrations, queries
from todo_api.auth import Authentication
from todo_api.db import DatabaseError, Limits, Pool, SchemaMissing, StatementFailed, compile_statement
from todo_api.local import postgres
from todo_api.middleware.access_log import Observer
from todo_api.middleware.cors import Cors
from todo_api.middleware.errors import FaultBoundary, Handler
from todo_api.middleware.fair_queue import TakingTurns
from todo_api.observability import METRICS, DatabaseFailed, configure_logging, observe, tracing
from todo_api.planned.dispatch import Dispatch
from todo_api.problems import Problem, respond, respond_invalid
from todo_api.routes import health, tasks
from todo_api.routes.docs import serve_docs
from todo_api.routes.openapi import DESCRIPTION, describe
from todo_api.settings import Settings
from todo_api.tokens import JwksClient, Verifier

ALLOWED_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
ALLOWED_HEADERS = (
    "Authorization",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "Prefer",
    "X-Request-ID",
)
EXPOSED_HEADERS = (
    "ETag",
    "Link",
    "Location",
    "Retry-After",
    "X-Request-ID",
    "Idempotent-Replayed",
    "Preference-Applied",
)
PREAMBLE = compile_statement(queries.TRANSACTION_PREAMBLE)
SCHEMA_MISSING = "The database is not migrated to this version; run `todo-api migrate`."


def create_app(settings: Settings) -> FastAPI:
    """The service. Connections are opened by its first requests and closed by its lifespan."""
    configure_logging(settings.log_level)
    keys = None if settings.jwks_url is None else JwksClient(settings.jwks_url)
    endpoint = settings.otel_exporter_otlp_endpoint
    spans = None if endpoint is None else tracing.exporting_to(endpoint, __version__)
    app = FastAPI(
        title="Todo API",
        version=__version__,
        description=DESCRIPTION,
        lifespan=_lifespan(settings, keys, spans),
        # As they are, without include_router, which would match each path a second time on every request.
        routes=[*tasks.router.routes, *health.router.routes],
        redirect_slashes=False,
        telemetry=_telemetry(spans),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        exception_handlers=HANDLERS,
    )
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    serve_docs(app, sample_secret=settings.sample_secret())
    app.middleware_stack = _behind_middleware(app, settings, _verifier(settings, keys), traced=spans is not None)
    return app


def _behind_middleware(app: FastAPI, settings: Settings, verifier: Verifier, *, traced: bool) -> ASGIApp:
    """FastAPI's router behind our middleware, from the inside out: a request meets the last one first.

    Not through ``add_middleware``: Starlette's ``ServerErrorMiddleware`` and ``ExceptionMiddleware`` around it
    would be a second way in which exceptions become responses. ``FaultBoundary`` is the only one.
    """
    stack: ASGIApp = Dispatch(AsyncExitStackMiddleware(app.router), routes=tasks.router.routes)
    if settings.request_limit:
        stack = TakingTurns(stack, places=settings.request_limit)
    stack = Authentication(stack, verifier=verifier)
    stack = FaultBoundary(stack, handlers=HANDLERS)
    stack = Cors(
        stack,
        allow_origins=settings.allowed_origins,
        allow_credentials=True,
        allow_methods=ALLOWED_METHODS,
        allow_headers=ALLOWED_HEADERS,
        expose_headers=EXPOSED_HEADERS,
    )
    if traced:
        stack = tracing.Traces(stack, routes=app.routes)
    return Observer(stack, routes=app.routes)


def _telemetry(spans: tracing.Provider | None) -> TelemetryConfig:
    """What FastAPI records itself: one span for each request, if any. Logs and metrics are ours."""
    return {
        "tracing": spans is not None,
        "tracer_provider": cast(TracerProvider, spans),
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
    }


def _verifier(settings: Settings, keys: JwksClient | None) -> Verifier:
    secret = settings.signing_secret()
    return Verifier(
        None if secret is None else secret.get_secret_value(),
        keys=keys,
        issuers=settings.issuers,
        audiences=settings.audiences,
    )


def _lifespan(
    settings: Settings, keys: JwksClient | None, spans: tracing.Provider | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[dict[str, Any]]]:
    schema_head = migrations.head()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        local = None
        if settings.database_url is not None:
            url = settings.database_url.get_secret_value()
        elif settings.embedded_database_url is not None:
            url = settings.embedded_database_url
        else:
            local = await asyncio.to_thread(_start_local, settings.data_dir)
            url = local.url
        database = _database(settings, url, spans)
        _spare_the_collector()
        _end_with_the_parent()
        try:
            yield {"database": database, "schema_head": schema_head}  # what requests find in their state
        finally:
            METRICS.write()
            await database.close()
            if keys is not None:
                await keys.close()
            if spans is not None:
                await asyncio.to_thread(tracing.export_the_rest, spans)
            if local is not None:
                await asyncio.to_thread(local.stop)

    return lifespan


def _database(settings: Settings, url: str, spans: tracing.Provider | None) -> Pool:
    limits = Limits(
        connections=settings.database_connections,
        connect_timeout_seconds=settings.database_connect_timeout_seconds,
        wait_seconds=settings.database_wait_seconds,
        statement_timeout_milliseconds=settings.statement_timeout_milliseconds,
        pending=settings.database_pending_limit,
    )
    pool = Pool if spans is None else partial(tracing.TracedPool, provider=spans)
    return pool(url, preamble=PREAMBLE, application_name="todo-api", pooled=settings.pooled, limits=limits)


def _start_local(directory: Path) -> postgres.LocalPostgres:
    """Start and migrate the embedded PostgreSQL; what is missing is said in the log, in one sentence."""
    local = None
    try:
        local = postgres.start(directory)
        migrations.upgrade(local.url)
    except (postgres.LocalPostgresFailed, migrations.MigrationFailed) as error:
        if local is not None:
            local.stop()
        logging.getLogger(__name__).error(str(error))  # noqa: TRY400 - a sentence, not a traceback
        raise
    return local


def _end_with_the_parent() -> None:
    """Let a worker shut down when the process that started it is gone, so that it does not keep the port."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        asyncio.get_running_loop().add_reader(parent.sentinel, signal.raise_signal, signal.SIGTERM)


def _spare_the_collector() -> None:
    """Take what start-up made out of garbage collection: it stays, and walking it stalls requests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail if isinstance(error, Problem) else None  # a framework's own sentence is no sentence
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = _allowed_methods(request)
    return respond(request.scope, error.status_code, detail, headers=headers)


async def _refuse_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return respond_invalid(request.scope, error)


async def _refuse_database(request: Request, error: Exception) -> Response:
    assert isinstance(error, DatabaseError)
    observe(DatabaseFailed(error.reason))
    if isinstance(error, StatementFailed):
        return respond(request.scope, 500)
    return respond(request.scope, 503, SCHEMA_MISSING if isinstance(error, SchemaMissing) else None)


HANDLERS: dict[int | type[Exception], Handler] = {
    HTTPException: _refuse,
    RequestValidationError: _refuse_invalid,
    DatabaseError: _refuse_database,
}


def _allowed_methods(request: Request) -> str:
    """The methods of every route that the path matches (RFC 9110 §10.2.1)."""
    allowed: set[str] = set()
    for context in iter_route_contexts(request.app.routes):
        original = context.original_route
        if isinstance(original, Route) and original.path_regex.match(request.scope["path"]):
            allowed |= context.methods or set()
    if "GET" in allowed:
        allowed.add("HEAD")
    return ", ".join(sorted(allowed))
