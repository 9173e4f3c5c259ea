"""OpenTelemetry traces: a span for each request, with one inside it for the database.

FastAPI opens the request's span; ``Traces`` adds what it cannot know here, and ``TracedPool`` the
span inside. Both are put in place only when traces are exported, so that they cost nothing otherwise.
No span carries a title, a description, a search text, a token or SQL.
"""

import re
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from threading import Thread
from typing import Any, Protocol

from opentelemetry import trace
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from todo_api.db import DatabaseError, Pool, Row, Statement, Value

LAST_EXPORT_SECONDS = 2.0
_WRITE = re.compile(rb"\b(INSERT|UPDATE|DELETE)(?: INTO| FROM)? tasks\b")


class Provider(Protocol):
    """What makes spans, and can be told to hand over the last of them."""

    def get_tracer(self, instrumenting_module_name: str) -> trace.Tracer:
        """What opens spans in this module's name."""

    def shutdown(self) -> None:
        """Export what is left; may take seconds."""


def exporting_to(endpoint: str, version: str) -> Provider:
    """Spans in batches to ``endpoint``, the base URL of an OTLP collector that speaks HTTP.

    The standard ``OTEL_*`` variables (service name, sampler, headers, batch times) are honoured.

    Raises:
        ModuleNotFoundError: the extra ``otel`` is not installed.
    """
    # Loaded here because most processes export nothing, and these take a while.
    sdk, export = import_module("opentelemetry.sdk.trace"), import_module("opentelemetry.sdk.trace.export")
    resources = import_module("opentelemetry.sdk.resources")
    otlp = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    named = resources.Resource({"service.name": "todo-api", "service.version": version})
    given = resources.OTELResourceDetector().detect()  # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win
    resource = resources.Resource.create().merge(named).merge(given)
    provider: Any = sdk.TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = otlp.OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    made: Provider = provider
    return made


def export_the_rest(provider: Provider) -> None:
    """Hand over the last spans, for a few seconds at most: a collector that is gone must not delay a shutdown."""
    thread = Thread(target=provider.shutdown, daemon=True)
    thread.start()
    thread.join(LAST_EXPORT_SECONDS)


class Traces:
    """Middleware that completes the request's span: request id, route template, no path and no query.

    Args:
        routes: where a request finds its template; our dispatch passes by FastAPI's, which would tell.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = [route for route in routes if isinstance(route, Route)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            span = trace.get_current_span()
            span.set_attribute("todo.request_id", scope["request_id"])
            route = next((route for route in self._routes if route.path_regex.match(scope["path"])), None)
            # As in the log: never the path, where anybody may put anything; never what somebody searched for.
            span.set_attribute("url.path", "REDACTED" if route is None else route.path_format)
            if scope["query_string"]:
                span.set_attribute("url.query", "REDACTED")
            if route is not None:
                span.set_attribute("http.route", route.path_format)
                span.update_name(f"{scope['method']} {route.path_format}")
        await self._app(scope, receive, send)


class TracedPool(Pool):
    """A pool each of whose statements has a span of its own, waiting for a connection included."""

    def __init__(self, url: str, *, provider: Provider, **options: Any) -> None:
        super().__init__(url, **options)
        self._tracer = provider.get_tracer(__name__)

    async def run(self, statement: Statement, owner: str, **values: Value) -> list[Row]:
        """Run one statement; see ``Pool.run``."""
        with self._tracer.start_as_current_span(
            _summary(statement),
            kind=trace.SpanKind.CLIENT,
            attributes={"db.system.name": "postgresql", "db.query.summary": _summary(statement)},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                rows = await super().run(statement, owner, **values)
            except DatabaseError as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(trace.StatusCode.ERROR)
                raise
            span.set_attribute("db.response.returned_rows", len(rows))
            return rows


@cache
def _summary(statement: Statement) -> str:
    """What the statement does, and to what."""
    write = _WRITE.search(statement.sql)
    if write is not None:
        return f"{write[1].decode()} tasks"
    return "SELECT tasks" if b"FROM tasks" in statement.sql else "SELECT"
