"""``todo-api`` in a fork of a process that has imported the service.

The imports cost more processor time than all that most tests ask of a service.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from todo_api import cli

FORK_SERVER = multiprocessing.get_context("forkserver")
# Not todo_api.main: it reads settings when it is imported.
FORK_SERVER.set_forkserver_preload(["todo_api.app", "todo_api.cli.serve", "todo_api.middleware.rejected"])


class Forked:
    """A process that carries out the command; what tests need of ``subprocess.Popen``.

    Args:
        command: its words, the name of the program included.
        cwd: where it runs.
        env: all of its environment, but nothing that is read when Python starts.
        stdout: the file that takes its standard output.
        stderr: the file that takes its standard error.
    """

    def __init__(
        self, command: Sequence[str | Path], *, cwd: Path, env: dict[str, str], stdout: BinaryIO, stderr: BinaryIO
    ) -> None:
        self._process = FORK_SERVER.Process(target=_run, args=(command, cwd, env, (stdout.name, stderr.name)))
        self._process.start()

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The exit status, if it has ended."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends; the exit status."""
        self._process.join(timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(str(self._process), timeout or 0)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _run(command: Sequence[str | Path], cwd: Path, env: dict[str, str], streams: tuple[str, str]) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, path in enumerate(streams, start=1):
        with Path(path).open("wb") as file:
            os.dup2(file.fileno(), number)
    sys.argv = [str(word) for word in command]
    sys.exit(cli.main(sys.argv[1:]))
