"""The command ``todo-api``: serve, token, migrate, doctor.

Settings come from the environment, options win over them. What stops a command is said in one
sentence on standard error, with exit status 1.
"""

import argparse
import logging
import os
import re
import select
import signal
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from pydantic import SecretStr

from todo_api import __version__, migrations
from todo_api.database_url import login
from todo_api.doctor import examine
from todo_api.local import postgres
from todo_api.local.banner import is_coloured, render
from todo_api.middleware.host import is_loopback
from todo_api.middleware.rejected import error_response
from todo_api.observability import configure_logging, flush_log, serve_metrics
from todo_api.routes.docs import SAMPLE_USER, sample_token
from todo_api.server.listening import CannotListen, listen
from todo_api.server.run import Hooks, run
from todo_api.settings import Settings, load_settings
from todo_api.tokens import MAX_SUBJECT_LENGTH, sign

MAX_EXPIRY_SECONDS = 3650 * 24 * 3600
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    _replace_closed_streams()
    options = _parser().parse_args(arguments)
    try:
        with _ended_by_signals():
            return int(options.run(options))
    except (migrations.MigrationFailed, postgres.LocalPostgresFailed, CannotListen) as error:
        sys.exit(str(error))


def _replace_closed_streams() -> None:
    """Open what a shell has closed (``2>&-``): a socket would take its number, and be written to like a log."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
            setattr(sys, name, open(descriptor, "w" if descriptor else "r"))  # noqa: PTH123, SIM115 - not a path


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a signal end the block as an exception does: what was started in it is stopped. Further ones are ignored.

    While the server runs, it has handlers of its own.
    """
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {each: signal.getsignal(each) for each in signals if signal.getsignal(each) is not signal.SIG_IGN}

    def end(number: int, _: object) -> None:
        for each in before:
            signal.signal(each, lambda *_: None)
        sys.exit(128 + number)

    for each in before:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="todo-api",
        description="The back end of Evolution of Todo.",
        epilog=_explain_settings(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"todo-api {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve the API; without DATABASE_URL on an embedded PostgreSQL")
    serve.add_argument("--host", help="address to listen on (HOST)")
    serve.add_argument("--port", type=int, help="port to listen on (PORT)")
    serve.add_argument("--workers", type=int, dest="web_concurrency", help="worker processes (WEB_CONCURRENCY)")
    serve.set_defaults(run=_serve)

    token = commands.add_parser("token", help="print a token that the service accepts, for development")
    token.add_argument("user", metavar="USER", type=_user_id, help="the user's id")
    token.add_argument("--email", help="the user's e-mail address")
    token.add_argument("--name", help="the user's name")
    token.add_argument("--expires", type=_seconds, default="15m", help="lifetime: 90s, 15m, 12h or 7d (default 15m)")
    token.set_defaults(run=_token)

    migrate = commands.add_parser("migrate", help="bring the database's schema up to date; waits for another migration")
    migrate.set_defaults(run=_migrate)

    doctor = commands.add_parser(
        "doctor", help="look at settings, database and JWKS, and at a token on standard input, and say what is wrong"
    )
    doctor.set_defaults(run=_doctor)
    return parser


def _explain_settings() -> str:
    lines = ["settings, read from the environment or from .env:"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f" Default: {_shown(field.default)}."
        lines.append(f"  {name.upper()}")
        lines.append(
            textwrap.fill((field.description or "") + default, 96, initial_indent=" " * 6, subsequent_indent=" " * 6)
        )
    return "\n".join(lines)


def _shown(default: Any) -> str:
    return ",".join(default) or "none" if isinstance(default, tuple) else str(default)


def _seconds(text: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text)
    if match is None:
        raise argparse.ArgumentTypeError("must be a number and a unit, such as 15m")
    seconds = int(match[1]) * UNITS[match[2]]
    if seconds > MAX_EXPIRY_SECONDS:
        raise argparse.ArgumentTypeError("must be at most 3650d")
    return seconds


def _user_id(text: str) -> str:
    if not 1 <= len(text) <= MAX_SUBJECT_LENGTH:
        raise argparse.ArgumentTypeError(f"must have 1 to {MAX_SUBJECT_LENGTH} characters")
    return text


def _serve(options: argparse.Namespace) -> int:
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
        run(
            "todo_api.main:app",
            Hooks(
                error_response=error_response,
                configure_logging=partial(configure_logging, settings.log_level),
                before_write=flush_log,
            ),
            sockets,
            workers=settings.web_concurrency,
            grace_seconds=settings.shutdown_grace_seconds,
            client_seconds=settings.client_seconds,
            keep_alive_seconds=settings.keep_alive_seconds,
        )
    return 0


def _warn_of_host(settings: Settings) -> None:
    """Say why other machines are not answered: anybody who opens ``/docs`` would get the sample token."""
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


@contextmanager
def _own_database(settings: Settings) -> Iterator[None]:
    """Start and migrate the embedded PostgreSQL, and tell the workers of it through the environment."""
    with postgres.running(settings.data_dir, migrate=migrations.upgrade, report=_report) as cluster:
        os.environ["EMBEDDED_DATABASE_URL"] = cluster.url
        yield


def _report(what: str) -> None:
    """Say what takes time, to a person who waits for it."""
    if sys.stderr.isatty():
        print(f"  {what}", file=sys.stderr, flush=True)


def _token(options: argparse.Namespace) -> int:
    settings = load_settings()
    print(_sign(settings, options.user, options.expires, email=options.email, name=options.name))
    return 0


def _migrate(_: argparse.Namespace) -> int:
    settings = load_settings()
    url = settings.migration_database_url or settings.database_url
    if url is not None:
        service = settings.database_url or url
        migrations.upgrade(url.get_secret_value(), login=login(service.get_secret_value()))
    else:
        with postgres.running(settings.data_dir, migrate=migrations.upgrade, report=_report):
            pass
    print(f"The schema is at revision {migrations.head()}.")
    return 0


def _sign(settings: Settings, user: str, seconds: int, *, email: str | None = None, name: str | None = None) -> str:
    now = int(time.time())
    claims: dict[str, Any] = {"sub": user, "iat": now, "exp": now + seconds}
    claims |= {key: value for key, value in (("email", email), ("name", name)) if value is not None}
    return sign(claims, _secret(settings).get_secret_value())


def _secret(settings: Settings) -> SecretStr:
    secret = settings.signing_secret()
    if secret is None:
        sys.exit("BETTER_AUTH_SECRET is not set, and only Better Auth can sign with a key of its JWKS.")
    return secret


def _doctor(_: argparse.Namespace) -> int:
    logging.disable()  # the findings say it
    try:
        findings = examine(load_settings(), _piped_token())
    finally:
        logging.disable(logging.NOTSET)
    for finding in findings:
        print(f"{'ok   ' if finding.ok else 'WRONG'}  {finding.what}")
    return int(not all(finding.ok for finding in findings))


def _piped_token() -> bytes | None:
    """The token on standard input, with or without its scheme, if something is piped there."""
    if sys.stdin is None or sys.stdin.isatty() or not select.select([sys.stdin], [], [], 0.5)[0]:
        return None
    return sys.stdin.read().strip().removeprefix("Bearer ").strip().encode() or None


def _print_banner(settings: Settings, port: int) -> None:
    banner = render(
        version=__version__,
        host=settings.host,
        port=port,
        user=SAMPLE_USER,
        token=sample_token(_secret(settings)) if sys.stderr.isatty() else None,
        coloured=is_coloured(sys.stderr),
    )
    print(banner, end="", file=sys.stderr, flush=True)
