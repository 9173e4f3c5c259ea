"""What can happen (``events``), and its readers: the log, the metrics, traces."""

from todo_api.observability.events import (
    REQUEST_ID,
    AuthRejected,
    AuthUnavailable,
    DatabaseFailed,
    Event,
    RequestFailed,
    RequestServed,
    TaskEvent,
    TaskEventName,
    failure_event,
)
from todo_api.observability.log import Log, configure_logging, flush_log, observe
from todo_api.observability.metrics import METRICS, METRICS_CONTENT_TYPE, Metrics, serve_metrics

__all__ = [
    "METRICS",
    "METRICS_CONTENT_TYPE",
    "REQUEST_ID",
    "AuthRejected",
    "AuthUnavailable",
    "DatabaseFailed",
    "Event",
    "Log",
    "Metrics",
    "RequestFailed",
    "RequestServed",
    "TaskEvent",
    "TaskEventName",
    "configure_logging",
    "failure_event",
    "flush_log",
    "observe",
    "serve_metrics",
]
