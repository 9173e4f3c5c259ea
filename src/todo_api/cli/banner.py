"""What ``todo-api serve`` says first in the zero-configuration mode.

Where it is, and what to try.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import TextIO

EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - told apart, not listened on
RESET, BOLD, DIM, CYAN, GREEN = ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[36m", "\x1b[1;32m")


def render(*, version: str, host: str, port: int, user: str, token: str | None, coloured: bool) -> str:
    """The banner, coloured or plain; its last line is a command to paste.

    ``token`` is None where it would end in a log: then the command makes one.
    """

    def paint(style: str, text: str) -> str:
        return f"{style}{text}{RESET}" if coloured else text

    address = f"http://{_reachable(host)}:{port}"
    lines = [("Address", paint(CYAN, address)), ("Documentation", paint(CYAN, f"{address}/docs")), ("User", user)]
    if token is not None:
        lines.append(("Token", paint(DIM, token)))
    named = "\n".join(f"  {paint(BOLD, name)}{' ' * (16 - len(name))}{value}" for name, value in lines)
    return f"""
  {paint(GREEN, "Todo API")} {paint(DIM, version)}

{named}

  {paint(BOLD, "Try it")}
  curl -H "Authorization: Bearer {token or f"$({command()} token {user})"}" {address}/api/{user}/tasks

"""


def report_progress(what: str) -> None:
    """Say what takes time, to a person who waits for it."""
    if sys.stderr.isatty():
        print(f"  {what}", file=sys.stderr, flush=True)


def command() -> str:
    """How this program is called from where it was started, as a shell takes it."""
    path = Path(sys.argv[0])
    return shlex.quote(sys.argv[0]) if path.name == "todo-api" else f"{shlex.quote(sys.executable)} -m todo_api"


def is_coloured(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal that shows colours, and nobody minds (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _reachable(host: str) -> str:
    """The host as a URL on this machine names it (RFC 3986 §3.2.2)."""
    return EVERY_INTERFACE.get(host) or (f"[{host}]" if ":" in host else host)
