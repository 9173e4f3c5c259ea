"""Prometheus metrics: each event that counts is tallied in a plain dict.

``exposition`` makes text of the tallies.

Where several workers serve one port, each writes its tally into a file of its own once a second, in
the directory that ``PROMETHEUS_MULTIPROC_DIR`` names. The worker that serves ``/metrics`` adds the
files up. Files of workers that are gone stay, because counters must not fall.
"""

import asyncio
import logging
import os
import secrets
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Final

from msgspec import MsgspecError, Struct, field
from msgspec.json import decode, encode
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from todo_api.observability.events import AuthRejected, Event, RequestServed, TaskEvent

METRICS_CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKET_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
WRITE_SECONDS: Final = 1.0

COUNTERS: Final = {
    "todo_task_events": ("Committed writes by what they did.", "event"),
    "todo_auth_refusals": ("Requests rejected for their token.", "reason"),
    "todo_failures": ("Requests that failed for a reason of ours.", "event"),
}
REQUESTS: Final = "todo_http_request_duration_seconds"
REQUESTS_HELP: Final = "Answered requests, by the time from the request's headers to the end of the response."

log = logging.getLogger(__name__)


class Durations(Struct):
    """How long the requests of one series took.

    How many fell into each bucket, and the seconds of all.
    """

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKET_SECONDS) + 1))
    seconds: float = 0.0

    def add(self, other: "Durations") -> None:
        """Add another process's."""
        self.buckets = [ours + theirs for ours, theirs in zip(self.buckets, other.buckets, strict=True)]
        self.seconds += other.seconds


class Snapshot(Struct):
    """The tally of one process, as it is written into its file."""

    counts: list[tuple[tuple[str, str], int]]
    requests: list[tuple[tuple[str, str, int], Durations]]


class Metrics(Collector):
    """The tally of this process; with a directory, also what the files of others say.

    Args:
        directory: where processes that serve together write their tallies; None for a process by
            itself.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._file_name = f"{os.getpid()}-{secrets.token_hex(4)}.json"
        self._counts: Counter[tuple[str, str]] = Counter()
        self._requests: dict[tuple[str, str, int], Durations] = {}
        self._write_scheduled = False
        self._write_failed = False

    def count(self, event: Event) -> None:
        """Add an event to the series it belongs to."""
        if type(event) is RequestServed:
            series = event.method, event.route, event.status
            durations = self._requests.get(series)
            if durations is None:
                durations = self._requests[series] = Durations()
            seconds = event.milliseconds / 1000
            durations.buckets[bisect_left(BUCKET_SECONDS, seconds)] += 1
            durations.seconds += seconds
        elif isinstance(event, TaskEvent):
            self._counts["todo_task_events", event.event.value] += 1
        elif isinstance(event, AuthRejected):
            self._counts["todo_auth_refusals", event.reason] += 1
        else:
            self._counts["todo_failures", str(event.__struct_config__.tag)] += 1
        if self._directory is not None and not self._write_scheduled:
            self._schedule_write()

    def _schedule_write(self) -> None:
        try:
            asyncio.get_running_loop().call_later(WRITE_SECONDS, self.write)
            self._write_scheduled = True
        except RuntimeError:  # no event loop: a command, or a thread
            self.write()

    def write(self) -> None:
        """Tell the other processes.

        Called once a second while something is counted, and at the end.

        The directory is made again when it is gone. What cannot be written is logged once and
        counted on.
        """
        self._write_scheduled = False
        if self._directory is None:
            return
        path = self._directory / self._file_name
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".new").write_bytes(encode(self._snapshot()))
            path.with_suffix(".new").replace(path)
        except OSError as error:
            if not self._write_failed:
                log.error("metrics cannot be written: %s", error.strerror)  # noqa: TRY400 - no traceback
            self._write_failed = True
        else:
            self._write_failed = False

    def _snapshot(self) -> Snapshot:
        return Snapshot(list(self._counts.items()), list(self._requests.items()))

    @override
    def collect(self) -> Iterator[Metric]:
        """All series, as prometheus_client collects them."""
        counts: Counter[tuple[str, str]] = Counter()
        requests: defaultdict[tuple[str, str, str], Durations] = defaultdict(Durations)
        for snapshot in (self._snapshot(), *self._others()):
            for series, number in snapshot.counts:
                counts[series] += number
            for (method, route, status), durations in snapshot.requests:
                known = method if method in KNOWN_METHODS else "other"
                requests[known, route, str(status)].add(durations)
        for name, (help_text, label) in COUNTERS.items():
            counter = CounterMetricFamily(name, help_text, labels=[label])
            for (of, value), number in counts.items():
                if of == name:
                    counter.add_metric([value], number)
            yield counter
        histogram = HistogramMetricFamily(REQUESTS, REQUESTS_HELP, labels=["method", "route", "status"])
        bounds = [*map(str, BUCKET_SECONDS), "+Inf"]
        for labels, durations in requests.items():
            cumulative = accumulate(durations.buckets)
            histogram.add_metric(labels, list(zip(bounds, cumulative, strict=True)), durations.seconds)
        yield histogram

    def _others(self) -> Iterator[Snapshot]:
        for path in [] if self._directory is None else sorted(self._directory.glob("*.json")):
            if path.name != self._file_name:
                try:
                    yield decode(path.read_bytes(), type=Snapshot)
                except (OSError, MsgspecError) as error:
                    log.warning("metrics of another worker cannot be read: %s", type(error).__name__)

    def exposition(self) -> bytes:
        """The Prometheus text of this process, or of all workers where there are several."""
        if self._directory is None:
            return generate_latest()
        registry = CollectorRegistry()  # memory and processor time of one worker among several would mislead
        registry.register(self)
        return generate_latest(registry)


def serve_metrics(host: str, port: int) -> None:
    """Serve the metrics of this process, or of all workers, on a port of their own, in a thread.

    Raises:
        OSError: the port cannot be had.
    """
    directory = _shared_directory()
    registry = REGISTRY
    if directory is not None:
        registry = CollectorRegistry()
        registry.register(Metrics(directory))
    start_http_server(port, addr=host, registry=registry)


def _shared_directory() -> Path | None:
    name = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(name) if name else None


METRICS: Final = Metrics(_shared_directory())
REGISTRY.register(METRICS)
