"""Install a lock file, this project or Node packages into what make prepared, and show progress.

Run by the Python of the environment that is installed into. Only the standard library is imported,
because nothing else is there yet. A lock is complete (a test holds that), so nothing is resolved: a
release that appeared after it, or another version of pip, changes nothing. How the user reaches a
package index, that is mirrors, proxies, certificates and caches, stays as configured; settings of
pip that would change what is installed, or where, do not apply.
"""

import argparse
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

SILENCE_SECONDS = 4
"""How long nothing is printed at most, while something is installed."""

# Read from the environment, these win over every pip.conf; an empty value would not.
PIP_SETTINGS = {
    "PIP_CONSTRAINT": os.devnull,
    "PIP_DRY_RUN": "0",
    "PIP_NO_BINARY": ":none:",
    "PIP_QUIET": "0",
    "PIP_REQUIRE_HASHES": "0",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_USER": "0",
}
# And these are settings whose defaults only the command line can bring back.
PIP_INSTALL = (
    *("-m", "pip", "--python=", "install", "--target=", f"--prefix={sys.prefix}", "--root=/", "--no-deps"),
    *("--disable-pip-version-check", "--no-input", "--no-color", "--progress-bar=off", "--no-warn-script-location"),
)


def pins(lock: Path) -> int:
    """How many packages a lock file pins."""
    return sum("==" in line and not line.startswith((" ", "#")) for line in lock.read_text().splitlines())


def lines_or_silence(process: "subprocess.Popen[str]") -> Iterator[str]:
    """The lines of a process's output as they come, and an empty string for each silence."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=SILENCE_SECONDS)
        except queue.Empty:
            yield ""
            continue
        if line is None:
            return
        yield line


def run(title: str, command: list[str], total: int = 0) -> int:
    """Run a command; its status. Prints a line every few seconds, and all output on failure."""
    started = printed = time.monotonic()
    print(title, flush=True)
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        env={**os.environ, **PIP_SETTINGS},
    )
    output: list[str] = []
    fetched, unpacking = 0, ""
    for line in lines_or_silence(process):
        output.append(line)
        fetched += line.startswith(("Collecting ", "Requirement already satisfied: "))
        unpacking = ", unpacking" if line.startswith("Installing collected ") else unpacking
        now = time.monotonic()
        if now - printed >= SILENCE_SECONDS:
            printed = now
            count = f"{fetched} of {total} fetched{unpacking}, " if total else ""
            print(f"  {count}{now - started:.0f} s", flush=True)
    status = process.wait()
    if status:
        sys.stderr.write("".join(output))
    return status


def main() -> int:
    """Install what the command line names."""
    parser = argparse.ArgumentParser(description="Install a lock file, this project or Node packages.")
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("lock").add_argument("path", type=Path)
    kinds.add_parser("project").add_argument("path", type=Path)
    kinds.add_parser("node").add_argument("path", type=Path)
    options = parser.parse_args()
    path: Path = options.path
    pip = [sys.executable, *PIP_INSTALL]
    if options.kind == "lock":
        total = pins(path)
        return run(f"Installing {path}: {total} packages", [*pip, "--require-hashes", "-r", str(path)], total)
    if options.kind == "project":
        return run("Installing todo-api itself", [*pip, "--no-build-isolation", "-e", str(path)])
    npm = ["npm", "ci", "--prefix", str(path), "--fetch-retries", "1", "--no-audit", "--no-fund", "--ignore-scripts"]
    return run(f"Installing the Node packages of {path}", npm)


if __name__ == "__main__":
    sys.exit(main())
