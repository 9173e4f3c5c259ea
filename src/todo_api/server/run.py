"""The HTTP server: uvicorn's processes, signals and lifespan around our own connections.

``run`` serves until a signal.
"""

import logging
import resource
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from todo_api.server.event_loop import EventLoop
from todo_api.server.memory import memory_limit
from todo_api.server.parking import KeyOf
from todo_api.server.supervisor import HEALTHCHECK_SECONDS, Supervisor
from todo_api.server.worker import ErrorResponse, Limits, Worker

MAX_CONNECTIONS: Final = 16_384
"""Open connections of clients per worker, if the process may open so many files."""

OTHER_FILES: Final = 256
"""What a worker opens besides: connections to the database, files of the metrics."""

MAX_BUFFERED_BYTES: Final = 64 * 1024 * 1024
"""What may wait in a worker to be parsed or to be taken by clients, unless an eighth of its memory
is less."""

CONNECTION_BYTES: Final = 16 * 1024
"""What an idle connection costs at most; all together may take a quarter of a worker's memory."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the application's side does for the server.

    All are sent to worker processes, so they have to be picklable.

    Args:
        error_response: makes the responses that are not the application's.
        before_write: called before the responses of an event-loop iteration are written.
        key_of: makes, for the application, what tells which requests wait for each other.
    """

    error_response: ErrorResponse
    before_write: Callable[[], None]
    key_of: Callable[[Any], KeyOf]


def run(
    app: str,
    hooks: Hooks,
    sockets: list[socket.socket],
    *,
    workers: int,
    grace_seconds: int,
    client_seconds: float,
    keep_alive_seconds: float,
) -> None:
    """Serve an application until SIGTERM, SIGINT or SIGHUP; requests under way finish first.

    What uvicorn logs goes wherever this process, and in worker processes the application's module,
    has told ``logging`` to send it.

    Args:
        app: the application's import string, ``package.module:name``.
        hooks: what the application's side does for the server.
        sockets: what ``listen`` returned.
        workers: how many processes serve.
        grace_seconds: how long requests under way may take to finish after the signal.
        client_seconds: how long a client may take to send a request, and to begin to take a
            response.
        keep_alive_seconds: how long a connection may stay open between two requests.

    Raises:
        SystemExit: the application could not be started.
    """
    limits = limits_of_process(workers, client_seconds=client_seconds, keep_alive_seconds=keep_alive_seconds)
    worker = Worker(limits, hooks.error_response, hooks.before_write, hooks.key_of)
    config = _config(app, worker, workers=workers, timeout_graceful_shutdown=grace_seconds)
    # uvicorn raises the signal again once it has shut down; a clean stop is exit status 0.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: None)
    for listener in sockets:
        host, port = listener.getsockname()[:2]
        log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
    if not _serve(config, sockets):
        sys.exit(STARTUP_FAILURE)


def _config(app: str, worker: Worker, **options: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=worker,  # type: ignore[arg-type] # any callable that makes a protocol will do
        loop=f"{__name__}:{new_event_loop.__name__}",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here reads the client's address
        callback_notify=worker.close_overdue,
        timeout_notify=0,  # at every tick, which is every second
        timeout_worker_healthcheck=HEALTHCHECK_SECONDS,
        **options,
    )


def _serve(config: uvicorn.Config, sockets: list[socket.socket]) -> bool:
    """Serve, in this process or in several; whether the application started."""
    if config.workers > 1:
        supervisor = Supervisor(config, sockets)
        supervisor.run()
        return all(process.exitcode != STARTUP_FAILURE for process in supervisor.processes)
    server = uvicorn.Server(config)
    server.run(sockets)
    return server.started


def new_event_loop() -> EventLoop:
    """An event loop, for uvicorn, which calls this once in each process that serves.

    A hangup stops that process; under nohup it stays ignored.
    """
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    return EventLoop()


def limits_of_process(workers: int, *, client_seconds: float, keep_alive_seconds: float) -> Limits:
    """What clients of one of so many worker processes may take up, by open files and by memory."""
    share = memory_limit() // workers
    return Limits(
        client_seconds=client_seconds,
        keep_alive_seconds=keep_alive_seconds,
        max_connections=max(1, min(_room_for_connections(), share // 4 // CONNECTION_BYTES)),
        max_buffered_bytes=min(MAX_BUFFERED_BYTES, share // 8),
    )


def _room_for_connections() -> int:
    """How many connections this process may have open.

    Its limit of open files is raised as far as it may be.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OTHER_FILES
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    room = wanted if soft == resource.RLIM_INFINITY else soft
    return max(1, min(room, wanted) - OTHER_FILES)
