"""The command ``todo-api``: serve, token, migrate, doctor, each in a module of its own.

Settings come from the environment, options win over them. What stops a command is said in one
sentence on standard error, with exit status 1. Only the module of the given command is imported.
"""

import argparse
import gc
import signal
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from todo_api import __version__
from todo_api.cli import token
from todo_api.local.postgres import LocalPostgresFailed
from todo_api.server.listening import CannotListen
from todo_api.settings import Settings

# What is imported stays: looking for garbage in it took a sixth of every start. Worker processes
# import this module first, too.
gc.set_threshold(50_000, 20, 50)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    options = _parser().parse_args(arguments)
    try:
        with _ended_by_signals():
            command = import_module(f"todo_api.cli.{options.command}")
            gc.freeze()  # at the end, too, it took as long
            return int(command.run(options))
    except (LocalPostgresFailed, CannotListen) as error:
        sys.exit(str(error))


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a signal end the block as an exception does: what was started in it is stopped.

    Further ones are ignored.

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

    command = commands.add_parser("serve", help="serve the API; without DATABASE_URL on an embedded PostgreSQL")
    command.add_argument("--host", help="address to listen on (HOST)")
    command.add_argument("--port", type=int, help="port to listen on (PORT)")
    command.add_argument("--workers", type=int, dest="web_concurrency", help="worker processes (WEB_CONCURRENCY)")
    command.set_defaults(command="serve")

    command = commands.add_parser("token", help="print a token that the service accepts, for development")
    command.add_argument("user", metavar="USER", type=token.user_id, help="the user's id")
    command.add_argument("--email", help="the user's e-mail address")
    command.add_argument("--name", help="the user's name")
    command.add_argument(
        "--expires", type=token.seconds, default="15m", help="lifetime: 90s, 15m, 12h or 7d (default 15m)"
    )
    command.set_defaults(command="token")

    command = commands.add_parser("migrate", help="bring the database's schema up to date; waits for another migration")
    command.add_argument(
        "--distribute", action="store_true", help="distribute the tables over the Citus cluster of DATABASE_URL, too"
    )
    command.set_defaults(command="migrate")

    command = commands.add_parser(
        "doctor", help="look at settings, database and JWKS, and at a token on standard input, and say what is wrong"
    )
    command.set_defaults(command="doctor")
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
