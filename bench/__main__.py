"""``python -m bench``: measure the service beside its peers and print tables.

Exit 1 when anything failed.
"""

import argparse
import shutil
import signal
import sys
from collections.abc import Callable, Sequence

from bench import machine
from bench.contenders import NAMES, OURS
from bench.database import started
from bench.load import MIX
from bench.variants import Bench, Options

VARIANTS = ("mixed", "latency", "connections", "overload", "data", "rows", "memory")
KINDS = ("mixed", *MIX)
TOOLS = {"wrk": "wrk", "taskset": "util-linux"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the variants; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--variant", choices=(*VARIANTS, "all"), default="mixed")
    parser.add_argument("--seconds", type=float, default=5, help="length of one measurement (default 5)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each contender (default 3)")
    parser.add_argument("--only", type=_names(NAMES), default=(), help=f"some of {','.join(NAMES)}")
    parser.add_argument("--kinds", type=_names(KINDS), default=("mixed",), help=f"some of {','.join(KINDS)}")
    parser.add_argument("--big-tasks", type=int, default=10_000_000, help="rows of the data variant's big table")
    given = parser.parse_args(arguments)
    for tool, package in TOOLS.items():
        if not shutil.which(tool):
            parser.error(f"{tool} is missing: apt-get install {package}")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything started is ended
    machine.take_the_load_core()
    machine.allow_many_files()
    if machine.SERVER_CORE == machine.LOAD_CORE:
        print("There is one core only: servers, PostgreSQL and the load share it.")
    options = Options(given.seconds, given.rounds, given.only, given.kinds, given.big_tasks)
    failed = False
    with started() as postgres:
        bench = Bench(postgres, options)
        for variant in VARIANTS if given.variant == "all" else (given.variant,):
            for table in getattr(bench, variant)():
                print(table, flush=True)
                failed = failed or table.errors > 0 or any(name.startswith(OURS) for name in table.absent)
    return int(failed)


def _names(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
        return names

    return parse


if __name__ == "__main__":
    sys.exit(main())
