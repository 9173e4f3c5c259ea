"""OpenTelemetry traces: a span for each request, with one inside it for the database.

FastAPI opens the request's span; ``complete_request_span`` adds what it cannot know here, and
``TracedPool`` the span inside. Both are put in place only when traces are exported, so that they
cost nothing otherwise. No span carries a title, a description, a search text, a token or SQL.
"""

import random
import re
from functools import cache
from importlib import import_module
from threading import Thread
from typing import Any, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from starlette.types import Scope
from typing_extensions import override

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
    """Spans in batches to ``endpoint``, the base URL of an OTLP collector over HTTP.

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
    provider.sampler = OwnDecision(provider.sampler)
    exporter = otlp.OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    made: Provider = provider
    return made


class OwnDecision:
    """A sampler that decides whether a request is sampled, whatever its ``traceparent`` says.

    A client chooses the sampled flag and the trace id, and ratio samplers go by these: the traces
    of the service would be what clients want them to be. The trace is continued all the same.

    Args:
        sampler: decides, as if the request began a trace of its own.
    """

    def __init__(self, sampler: Any) -> None:
        self._sampler = sampler

    def should_sample(self, parent_context: Context | None, trace_id: int, *details: Any, **more: Any) -> Any:
        """Whether a span is sampled; see OpenTelemetry's ``Sampler``."""
        if trace.get_current_span(parent_context).get_span_context().is_remote:
            parent_context, trace_id = Context(), random.getrandbits(128)
        return self._sampler.should_sample(parent_context, trace_id, *details, **more)

    def get_description(self) -> str:
        """What it is called in diagnostics."""
        return f"OwnDecision({self._sampler.get_description()})"


def export_the_rest(provider: Provider) -> None:
    """Hand over the last spans, for a few seconds at most.

    A collector that is gone must not delay a shutdown.
    """
    thread = Thread(target=provider.shutdown, daemon=True)
    thread.start()
    thread.join(LAST_EXPORT_SECONDS)


def complete_request_span(scope: Scope) -> None:
    """Add to the request's span what FastAPI cannot know.

    Request id and route template, instead of path and query.
    """
    span = trace.get_current_span()
    span.set_attribute("todo.request_id", scope["request_id"])
    resource = scope["resource"]
    # As in the log: never the path, where anybody may put anything; never what somebody searched
    # for.
    span.set_attribute("url.path", "REDACTED" if resource is None else resource.template)
    if scope["query_string"]:
        span.set_attribute("url.query", "REDACTED")
    if resource is not None:
        span.set_attribute("http.route", resource.template)
        span.update_name(f"{scope['method']} {resource.template}")


class TracedPool(Pool):
    """A pool each of whose statements has a span of its own, waiting for a connection included."""

    def __init__(self, url: str, *, provider: Provider, **options: Any) -> None:
        super().__init__(url, **options)
        self._tracer = provider.get_tracer(__name__)

    @override
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
