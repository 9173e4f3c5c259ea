"""The HTTP server: uvicorn, with our connections and our way to stop. ``run`` serves until a signal comes."""

import resource
import signal
import sys
from functools import partial
from typing import Any, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from todo_api.observability import configure_logging
from todo_api.server.connection import HttpProtocol, close_overdue
from todo_api.server.supervisor import WORKER_SECONDS, Supervisor

MOST_CONNECTIONS = 16_384
"""Open connections of clients per worker, if the process may open so many files."""

OTHER_FILES = 256
"""What a worker opens besides: connections to the database, files of the metrics."""


def run(*, host: str, port: int, workers: int, log_level: str, grace_seconds: int, client_seconds: float) -> None:
    """Serve ``todo_api.main:app`` until SIGTERM or SIGINT; requests in flight finish first.

    Raises:
        SystemExit: the application or the socket could not be opened.
    """
    protocol = partial(HttpProtocol, client_seconds=client_seconds, most_connections=_room_for_connections())
    config = uvicorn.Config(
        "todo_api.main:app",
        host=host,
        port=port,
        workers=workers,
        http=cast(Any, protocol),  # any callable that makes one will do
        loop="todo_api.server.event_loop:EventLoop",
        ws="none",
        log_level=log_level.lower(),
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here reads the client's address
        callback_notify=close_overdue,
        timeout_notify=0,  # at every tick, which is every second
        timeout_graceful_shutdown=grace_seconds,
        timeout_worker_healthcheck=WORKER_SECONDS,
    )
    configure_logging(log_level)  # uvicorn has just arranged its own, and the supervisor's lines are ours too
    # uvicorn raises the signal again once it has shut down; a clean stop is exit status 0.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: None)
    if workers > 1:
        supervisor = Supervisor(config, sockets=[config.bind_socket()])
        supervisor.run()
        started = all(process.exitcode != STARTUP_FAILURE for process in supervisor.processes)
    else:
        server = uvicorn.Server(config)
        server.run()
        started = server.started
    if not started:
        sys.exit(STARTUP_FAILURE)


def _room_for_connections() -> int:
    """How many clients this process may serve at once; it asks for as many files as it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + OTHER_FILES
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    room = wanted if soft == resource.RLIM_INFINITY else soft
    return max(1, min(room, wanted) - OTHER_FILES)
