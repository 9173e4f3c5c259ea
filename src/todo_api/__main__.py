"""The program ``todo-api``, and ``python -m todo_api``: the command, with streams that are open."""

import os
import sys
from importlib import import_module


def main() -> int:
    """Run the command of the command line; its exit status."""
    _replace_closed_streams()
    return int(import_module("todo_api.cli").main())


def _replace_closed_streams() -> None:
    """Open what a shell has closed (``2>&-``).

    A socket would take its number, and be written to like a log. Nothing else is imported before:
    libffi keeps a file open, and psycopg loads it.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
            setattr(sys, name, open(descriptor, "w" if descriptor else "r"))  # noqa: PTH123, SIM115 - not a path


if __name__ == "__main__":
    sys.exit(main())
