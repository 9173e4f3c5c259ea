"""Running Node: the tests written for its test runner, and the client's own tools."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.harness import SECRET, Server

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PACKAGE = ROOT / "clients" / "typescript"
CHROMIUMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, CHROMIUMS)), None)
"""The browser of the tests. The first is the same engine without windows, a quarter cheaper."""
QUICK_PASSWORDS = {"NODE_OPTIONS": f"--import={(HERE / 'quick_passwords.mjs').as_uri()}"}
"""The environment of a Node process that hashes passwords with little work."""
MIN_NODE_VERSION = 20  # the first with a global crypto
MAX_RUN_SECONDS = 100


def node(
    script: str | Path,
    *arguments: str | Path,
    packages: Path = PACKAGE,
    seconds: float = MAX_RUN_SECONDS,
    cwd: Path | None = None,
    **variables: str,
) -> str:
    """Run a script until it ends well, within ``seconds``; what it printed.

    Skips the test where Node or its packages are missing.
    """
    if reason := _missing(packages):
        pytest.skip(reason)
    done = subprocess.run(
        ["node", script, *arguments],
        cwd=cwd,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def run_tool(name: str, *arguments: str | Path, cwd: Path | None = None) -> None:
    """Run one of the client's own development tools."""
    node(PACKAGE / "node_modules" / ".bin" / name, *arguments, cwd=cwd)


def node_tests(name: str, server: Server) -> None:
    """Run the tests in a file beside this one against the service."""
    run_tests(HERE / name, TODO_API=server.url, TODO_SECRET=SECRET)


def run_tests(script: Path, *, packages: Path = PACKAGE, seconds: float = MAX_RUN_SECONDS, **variables: str) -> None:
    """Run a file of tests, within ``seconds``; all pass, and there are some."""
    output = node("--test", script, packages=packages, seconds=seconds, cwd=None, **variables)
    passed = re.search(r"^# pass (\d+)$", output, re.MULTILINE)
    assert passed is not None, output
    assert int(passed[1]) > 0, output
    assert re.search(r"^# (skipped|todo) [1-9]", output, re.MULTILINE) is None, output


@cache
def _missing(packages: Path) -> str | None:
    if shutil.which("node") is None:
        return f"needs Node {MIN_NODE_VERSION} or newer"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < MIN_NODE_VERSION:
        return f"needs Node {MIN_NODE_VERSION} or newer, and this is {version}"
    if not (packages / "node_modules").is_dir():
        return f"needs the packages of {packages.relative_to(ROOT)}: make test installs them"
    return None
