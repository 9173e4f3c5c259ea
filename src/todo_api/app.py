"""``create_app``: the one place where the parts are put together.

Settings come in, an application goes out: routes, middleware in the order in which a request meets
it, exception handlers, documentation, and a lifespan that opens and closes the database.
"""

import asyncio
import gc
import logging
import multiprocessing
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import TracerProvider
from pydantic import SecretStr
from starlette.types import ASGIApp
from typing_extensions import override

from todo_api import __version__, migrations, queries
from todo_api.auth import Authentication
from todo_api.db import Limits, Pool, compile_statement
from todo_api.local import postgres
from todo_api.middleware.cors import Cors
from todo_api.middleware.errors import HANDLERS
from todo_api.middleware.fair_queue import FairQueue
from todo_api.middleware.request import RequestMiddleware
from todo_api.middleware.requester import key_of
from todo_api.migrations import distribution
from todo_api.observability import METRICS, tracing
from todo_api.planned.dispatch import Dispatch
from todo_api.routes import health, tasks
from todo_api.routes.docs import serve_docs, serve_home
from todo_api.routes.openapi import DESCRIPTION, openapi_document
from todo_api.settings import Settings
from todo_api.tokens import JwksClient, Verifier

PREAMBLE = compile_statement(queries.TRANSACTION_PREAMBLE)
CITUS_PREAMBLE = compile_statement(distribution.TRANSACTION_PREAMBLE)
CITUS_SHARED_TIMEOUT_MILLISECONDS = 250
"""On Citus a statement takes several messages between two nodes, and time while they connect."""

ALIASES = {
    "/api/tasks": "/api/{user_id}/tasks",
    "/api/tasks/{id}": "/api/{user_id}/tasks/{id}",
    "/api/tasks/{id}/complete": "/api/{user_id}/tasks/{id}/complete",
}
"""Paths without a user are those of the token's own user."""


class TodoApi(FastAPI):
    """FastAPI with ``RequestMiddleware`` around its router, instead of Starlette's middlewares.

    Exception handlers, further middleware, routers and dependencies work as in any FastAPI
    application.

    Args:
        middleware: makes the middleware, given the router's dispatch and FastAPI's exception
            handlers.
        options: FastAPI's.
    """

    def __init__(self, middleware: Callable[..., ASGIApp], **options: Any) -> None:
        super().__init__(redirect_slashes=False, openapi_url=None, docs_url=None, redoc_url=None, **options)
        self._middleware = middleware

    @override
    def build_middleware_stack(self) -> ASGIApp:
        """Added middleware, ours, and the router, in the order in which a request meets them."""
        if self.max_body_size is not None or self.root_path:
            raise TypeError("max_body_size and root_path of the application are not supported")
        router = AsyncExitStackMiddleware(self.router)
        dispatch = Dispatch(router, self.routes, ALIASES)
        stack = self._middleware(router, dispatch=dispatch, handlers=self.exception_handlers)
        for added in reversed(self.user_middleware):
            stack = added.cls(stack, *added.args, **added.kwargs)
        return stack

    @override
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return openapi_document(self)


def create_app(settings: Settings, *, sample_secret: SecretStr | None = None) -> FastAPI:
    """The service. Connections are opened by its first requests and closed by its lifespan.

    Args:
        settings: what was set.
        sample_secret: signs tokens for anybody who opens ``/docs`` where no secret was set; only
            loopback names are answered then.
    """
    keys = None if settings.jwks_url is None else JwksClient(settings.jwks_url)
    verifier = make_verifier(settings, keys, sample_secret or settings.better_auth_secret)
    endpoint = settings.otel_exporter_otlp_endpoint
    spans = None if endpoint is None else tracing.exporting_to(endpoint, __version__)
    middleware = partial(
        RequestMiddleware,
        authentication=Authentication(verifier),
        cors=Cors(settings.allowed_origins),
        queue=FairQueue(settings.request_limit) if settings.request_limit else None,
        loopback_only=sample_secret is not None,
        traced=spans is not None,
    )
    app = TodoApi(
        middleware,
        title="Todo API",
        version=__version__,
        description=DESCRIPTION,
        lifespan=_lifespan(settings, keys, spans),
        telemetry=_telemetry(spans),
        exception_handlers=HANDLERS,
    )
    app.state.iteration = asyncio.Lock()  # of OnePerIteration
    app.state.key_of = partial(key_of, verifier)  # for our own server
    app.include_router(tasks.router)
    app.include_router(health.router)
    if settings.metrics_port is None:
        app.include_router(health.metrics_router)
    serve_home(app, documented=settings.docs)
    if settings.docs:
        serve_docs(app, sample_secret=sample_secret)
    return app


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


def make_verifier(settings: Settings, keys: JwksClient | None, secret: SecretStr | None) -> Verifier:
    """What verifies tokens, as the settings say.

    With these public keys, this shared secret, or both.
    """
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
        local = ExitStack()
        if settings.database_url is not None:
            url = settings.database_url.get_secret_value()
        elif settings.embedded_database_url is not None:
            url = settings.embedded_database_url
        else:
            url = await asyncio.to_thread(_start_local, settings.data_dir, local)
        database = _database(settings, url, spans)
        readiness = health.Readiness(database, schema_head, distributed=settings.database_citus)
        _spare_the_collector()
        _end_with_the_parent()
        try:
            # What requests find in their state:
            yield {"database": database, "readiness": readiness}
        finally:
            METRICS.write()
            await database.close()
            if keys is not None:
                await keys.close()
            if spans is not None:
                await asyncio.to_thread(tracing.export_the_rest, spans)
            await asyncio.to_thread(local.close)

    return lifespan


def _database(settings: Settings, url: str, spans: tracing.Provider | None) -> Pool:
    limits = Limits(
        connections=settings.database_connections,
        connect_timeout_seconds=settings.database_connect_timeout_seconds,
        wait_seconds=settings.database_wait_seconds,
        statement_timeout_milliseconds=settings.statement_timeout_milliseconds,
        pending=settings.database_pending_limit,
    )
    if settings.database_citus:
        limits = replace(limits, shared_timeout_milliseconds=CITUS_SHARED_TIMEOUT_MILLISECONDS)
    pool = Pool if spans is None else partial(tracing.TracedPool, provider=spans)
    return pool(url, **pool_options(settings), application_name="todo-api", limits=limits)


def pool_options(settings: Settings) -> dict[str, Any]:
    """How the database wants to be spoken to, for a ``Pool``."""
    if settings.database_citus:
        return {"preamble": CITUS_PREAMBLE, "transaction_block": True, "pooled": settings.pooled}
    return {"preamble": PREAMBLE, "pooled": settings.pooled}


def _start_local(directory: Path, stack: ExitStack) -> str:
    """Start and migrate the embedded PostgreSQL; its URL.

    What is missing is said in the log, in one sentence.
    """
    try:
        return stack.enter_context(postgres.running(directory, migrate=migrations.upgrade)).url
    except (postgres.LocalPostgresFailed, migrations.MigrationFailed) as error:
        logging.getLogger(__name__).error(str(error))  # noqa: TRY400 - a sentence, not a traceback
        raise


def _end_with_the_parent() -> None:
    """Shut a worker down when the process that started it is gone, so that it frees the port."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        asyncio.get_running_loop().add_reader(parent.sentinel, signal.raise_signal, signal.SIGTERM)


def _spare_the_collector() -> None:
    """Take what start-up made out of garbage collection.

    It stays, and walking it stalls requests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
