"""Run `make test` and `make run` as a newcomer would, under each supported Python found here.

Supported is what pyproject.toml's classifiers name. Each Python gets a fresh copy of what git
tracks, in a folder whose name no shell takes as it stands, and installs with the pip that comes
with it.
"""

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PROJECT = Path(__file__).parents[1]
FOLDER = "it's 100% (mine) & more"
START_SECONDS = 180
ELSEWHERE = (".pyenv/versions/{}.*/bin/python3", ".local/share/uv/python/cpython-{}.*/bin/python3")


def supported() -> list[str]:
    """The versions in the classifiers, such as "3.11"."""
    return re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (PROJECT / "pyproject.toml").read_text())


def find(version: str) -> Path | None:
    """An interpreter of this version that runs: on the PATH, of pyenv or of uv."""
    named = shutil.which(f"python{version}")
    elsewhere = [path for pattern in ELSEWHERE for path in sorted(Path.home().glob(pattern.format(version)))]
    for candidate in [*([Path(named)] if named else []), *elsewhere]:
        # A shim of pyenv's is on the PATH whether or not it leads anywhere.
        if subprocess.run([candidate, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def copy(target: Path) -> None:
    """Copy the files that git tracks, as they are now."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, target / name)


def serves(folder: Path, python: Path) -> bool:
    """Whether `make run` answers, and stops when it is interrupted."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["make", "run", f"PYTHON={python}", f"PORT={port}"]
    server = subprocess.Popen(command, cwd=folder, process_group=0)
    until = time.monotonic() + START_SECONDS
    answered = False
    while not answered and server.poll() is None and time.monotonic() < until:
        try:
            answered = urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5).status == 200
        except OSError:
            time.sleep(0.2)
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGINT)  # what Ctrl-C sends, and to whom
    server.wait(START_SECONDS)
    return answered


def main() -> int:
    """Try every Python; 1 when one of them fails or none is found."""
    parser = argparse.ArgumentParser(description="Try every supported Python.")
    parser.add_argument("tests", nargs="*", help="tests to run instead of all")
    options = parser.parse_args()
    results: dict[str, str] = {}
    for version in supported():
        python = find(version)
        if python is None:
            results[version] = "not installed here"
            continue
        with tempfile.TemporaryDirectory(prefix="todo-") as scratch:
            folder = Path(scratch) / FOLDER
            copy(folder)
            words = ["make", "test", f"PYTHON={python}", f"TESTS={' '.join(options.tests)}"]
            passed = subprocess.run(words, cwd=folder, check=False).returncode == 0
            results[version] = "passes" if serves(folder, python) and passed else "FAILS"
    for version, result in results.items():
        print(f"Python {version}: {result}")
    return 0 if {"passes"} <= set(results.values()) <= {"passes", "not installed here"} else 1


if __name__ == "__main__":
    sys.exit(main())
