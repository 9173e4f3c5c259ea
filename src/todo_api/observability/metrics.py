"""Prometheus metrics: each event that counts becomes a sample."""

from functools import cache

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

from todo_api.observability.events import AuthRefused, Event, RequestServed, TaskEvent, TaskEventName

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

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


def count(event: Event) -> None:
    """Add an event to the samples it belongs to."""
    if isinstance(event, RequestServed):
        method = event.method if event.method in KNOWN_METHODS else "other"
        _requests(method, event.route, event.status).observe(event.milliseconds / 1000)
    elif isinstance(event, TaskEvent):
        _task_events(event.event).inc()
    elif isinstance(event, AuthRefused):
        AUTH_REFUSALS.labels(event.reason).inc()
    else:
        FAILURES.labels(event.__struct_config__.tag).inc()


# The series of these labels, kept: finding one costs more than counting.
@cache
def _requests(method: str, route: str, status: int) -> Histogram:
    return REQUESTS.labels(method, route, str(status))


@cache
def _task_events(event: TaskEventName) -> Counter:
    return TASK_EVENTS.labels(event.value)


def exposition() -> bytes:
    """The Prometheus text of this process, or of all workers where there are several."""
    if ValueClass.__name__ == "MmapedValue":  # several workers share PROMETHEUS_MULTIPROC_DIR
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest()
