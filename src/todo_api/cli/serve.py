"""``todo-api serve``: the service on its own server.

Without ``DATABASE_URL``, with an embedded PostgreSQL. With several workers, this process only
starts and watches them: what serves requests is not imported here.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from operator import attrgetter
from typing import Any

from todo_api import __version__
from todo_api.cli.banner import is_coloured, render, report_progress
from todo_api.cli.token import signing_secret
from todo_api.local import postgres
from todo_api.observability import configure_logging, flush_log, serve_metrics
from todo_api.server import run as server
from todo_api.server.listening import listen
from todo_api.settings import Settings, load_settings
from todo_api.tokens import SAMPLE_USER, sample_token


def run(options: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    given = {name: getattr(options, name) for name in ("host", "port", "web_concurrency")}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    with ExitStack() as stack:
        sockets = [stack.enter_context(listener) for listener in listen(settings.host, settings.port)]
        if settings.web_concurrency > 1:
            # Workers count into files, so that /metrics answers for all of them.
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="todo-api-")
            )
        if settings.zero_configuration:
            stack.enter_context(_own_database(settings))
            _print_banner(settings, sockets[0].getsockname()[1])
            _warn_of_host(settings)
        if settings.metrics_port:
            _serve_metrics(settings.host, settings.metrics_port)
        configure_logging(settings.log_level)
        server.run(
            "todo_api.main:app",
            server.Hooks(
                error_response=_error_response,
                before_write=flush_log,
                key_of=attrgetter("state.key_of"),
            ),
            sockets,
            workers=settings.web_concurrency,
            grace_seconds=settings.shutdown_grace_seconds,
            client_seconds=settings.client_seconds,
            keep_alive_seconds=settings.keep_alive_seconds,
        )
    return 0


@contextmanager
def _own_database(settings: Settings) -> Iterator[None]:
    """Start and migrate the embedded PostgreSQL; the environment tells its workers where it is."""
    with postgres.running(settings.data_dir, migrate=_migrate, report=report_progress) as cluster:
        os.environ["EMBEDDED_DATABASE_URL"] = cluster.url
        yield


def _migrate(url: str) -> None:
    from todo_api import migrations  # noqa: PLC0415 - SQLAlchemy is for the embedded database alone

    try:
        migrations.upgrade(url)
    except migrations.MigrationFailed as error:
        sys.exit(str(error))


def _error_response(status: int, scope: dict[str, Any]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    from todo_api.middleware.rejected import error_response  # noqa: PLC0415 - FastAPI is for workers alone

    return error_response(status, scope)


def _print_banner(settings: Settings, port: int) -> None:
    banner = render(
        version=__version__,
        host=settings.host,
        port=port,
        user=SAMPLE_USER,
        token=sample_token(signing_secret(settings)) if sys.stderr.isatty() else None,
        coloured=is_coloured(sys.stderr),
    )
    print(banner, end="", file=sys.stderr, flush=True)


def _warn_of_host(settings: Settings) -> None:
    """Say why other machines are not answered.

    Anybody who opens ``/docs`` would get the sample token.
    """
    from todo_api.middleware.host import is_loopback  # noqa: PLC0415 - FastAPI is for workers alone

    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    if settings.better_auth_secret is None and not is_loopback(host):
        print(
            f"HOST is {settings.host}, but only names of this machine such as localhost are answered "
            "while BETTER_AUTH_SECRET is not set.",
            file=sys.stderr,
            flush=True,
        )


def _serve_metrics(host: str, port: int) -> None:
    try:
        serve_metrics(host, port)
    except OSError as error:
        sys.exit(f"METRICS_PORT: {host} port {port} cannot be listened on: {error.strerror}.")
