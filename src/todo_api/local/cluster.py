"""One PostgreSQL data directory: make it, start a server on it, find that server, stop it.

A server is known by the socket inside its data directory: the process that listens there, as the
kernel names it, and no pid that was read from a file, is what gets signals. Programs are started
with lists of arguments, inside the data directory, so that no path is ever quoted, and parents of
the directory need not be open to the account that the server runs as.

Source: PostgreSQL documentation, "Server Setup and Operation" (signals, ``postmaster.pid``).
"""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from todo_api.local.programs import MAJOR_VERSION, Account, LocalPostgresFailed, environment, shell_safe

START_SECONDS = 60.0
STOP_SECONDS = 60.0
CONNECT_SECONDS = 5
POLL_SECONDS = 0.02
SOCKET_NAME = ".s.PGSQL.5432"

# Independent of the machine: its locales, and how much shared memory a container gives out.
INITDB = (
    "--username=postgres",
    "--auth-local=trust",  # who passes the directory's mode, and the socket's, is its owner or root
    "--auth-host=reject",
    "--encoding=UTF8",
    "--no-locale",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
    *(("--sync-method=syncfs",) if sys.platform == "linux" else ()),  # one call instead of a thousand
)
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "dynamic_shared_memory_type": "mmap",  # /dev/shm may be tiny
    "log_destination": "stderr",
    "logging_collector": "off",
    "lc_messages": "C",
}
# The data directory as the server sees it: where it was started. On Linux that takes no permission
# on its parents.
HERE = "/proc/self/cwd" if sys.platform == "linux" else "."
# What it says while processes of a server that was killed are still ending.
STILL_IN_USE = "pre-existing shared memory block"
REASON = re.compile(r"(?:FATAL|PANIC|error): +(?P<reason>.+)")

_children: list["subprocess.Popen[bytes]"] = []


@dataclass(frozen=True, slots=True)
class Cluster:
    """A data directory, the account that owns it, and PostgreSQL's programs.

    Args:
        directory: the data directory; it need not exist yet.
        link: another, short path to it, for the address of its socket.
        log: the file that the server's messages are appended to.
    """

    directory: Path
    link: Path
    log: Path
    account: Account
    programs: Path

    @property
    def url(self) -> str:
        """What libpq takes."""
        return f"postgresql://postgres@/postgres?host={self.link}"

    def initialise(self) -> None:
        """Make the data directory, whole or not at all.

        Raises:
            LocalPostgresFailed: initdb does not succeed.
        """
        draft = self.directory.with_name(f"{self.directory.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if self.account.popen_options:
            os.chown(draft, self.account.uid, self.account.gid)
        with shell_safe(self.programs) as programs:
            made = subprocess.run(
                [programs / "initdb", "-D", HERE, *INITDB, *_as_options("--set", SETTINGS)],
                cwd=draft,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
                **self.account.popen_options,
            )
        if made.returncode:
            raise LocalPostgresFailed(
                f"The embedded PostgreSQL could not be made under {self.directory}: {_reason(made.stdout)}."
            )
        draft.rename(self.directory)

    def start(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Start a server unless one runs, and wait until it answers.

        It goes on when this process ends.

        Raises:
            LocalPostgresFailed: it does not start, or not in time.
        """
        process, logged = None, 0
        until = time.monotonic() + START_SECONDS
        with ExitStack() as unless_it_answers:
            while not ((listens := self.listener() is not None) and self._answers()):
                if process is not None and process.poll() is not None:
                    reason = self._reason_since(logged)
                    if STILL_IN_USE not in reason:
                        raise LocalPostgresFailed(
                            f"The embedded PostgreSQL under {self.directory} did not start: {reason}; see {self.log}."
                        )
                    process = None
                if time.monotonic() > until:
                    raise LocalPostgresFailed(
                        f"The embedded PostgreSQL under {self.directory} did not answer for {START_SECONDS:.0f} s; "
                        f"see {self.log}."
                    )
                if process is None and not listens:
                    report("Starting PostgreSQL …")
                    logged = self.log.stat().st_size if self.log.exists() else 0
                    process = self._launch()
                    unless_it_answers.callback(_end, process)
                time.sleep(POLL_SECONDS)
            unless_it_answers.pop_all()

    def listener(self) -> int | None:
        """The pid of the process that listens on the socket; None: nothing does.

        0 stands for a process of another container, which cannot be named here.
        """
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.link / SOCKET_NAME))
            except (FileNotFoundError, ConnectionRefusedError):
                return None
            if sys.platform == "darwin":  # pragma: no cover - LOCAL_PEERPID of <sys/un.h>
                return probe.getsockopt(0, 2)
            # Of a listening socket: who called listen(). Filled in by the kernel (unix(7)).
            pid, _, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            return int(pid)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server, if one runs: at once (SIGINT, "fast"), or as a crash would (SIGQUIT)."""
        pid = self.listener()
        if not pid:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, how)
        if not self._wait_until_stopped(STOP_SECONDS) and self.listener() == pid:
            os.kill(pid, signal.SIGQUIT)  # the log is replayed at the next start: nothing is lost
            self._wait_until_stopped(STOP_SECONDS)
        _reap(pid)

    def check_version(self) -> None:
        """See that these programs can use the data directory.

        Raises:
            LocalPostgresFailed: it is of another major version, or no data directory.
        """
        try:
            made_by = (self.directory / "PG_VERSION").read_text().strip()
        except (OSError, UnicodeError):
            raise LocalPostgresFailed(f"{self.directory} is not a data directory of PostgreSQL.") from None
        if made_by != MAJOR_VERSION:
            raise LocalPostgresFailed(
                f"{self.directory} was made by PostgreSQL {made_by}, and this is {MAJOR_VERSION}: "
                "set DATA_DIR to another folder."
            )

    def _launch(self) -> "subprocess.Popen[bytes]":
        """Start a server, which does not answer yet.

        The pid in a ``postmaster.pid`` that was left behind may be another process's by now.
        PostgreSQL would take any process of the same user for a server, unless it is told that
        the pid is its own grandparent's, as pg_ctl tells it; whether shared memory of an earlier
        server is still in use, it checks all the same.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self.log, flags, 0o600), "ab") as log:
            process = subprocess.Popen(
                [self.programs / "postgres", "-D", HERE, *_as_options("-c", SETTINGS)],
                cwd=self.directory,
                env=environment(PG_GRANDPARENT_PID=str(self._recorded_pid())),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C in the terminal is not for it
                **self.account.popen_options,
            )
        _children.append(process)
        return process

    def _answers(self) -> bool:
        """Whether the server takes connections; one that starts or stops does not."""
        try:
            psycopg.connect(self.url, connect_timeout=CONNECT_SECONDS).close()
        except psycopg.OperationalError:
            return False
        return True

    def _reason_since(self, position: int) -> str:
        with self.log.open("rb") as log:
            log.seek(position)
            return _reason(log.read())

    def _recorded_pid(self) -> int:
        try:
            return int((self.directory / "postmaster.pid").read_text().partition("\n")[0])
        except (OSError, ValueError):
            return 0

    def _wait_until_stopped(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.listener() is None and not (self.directory / "postmaster.pid").exists():
                return True
            time.sleep(POLL_SECONDS)
        return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a server that only starts, and may not listen yet.

    At once, for it has done nothing that could be lost.
    """
    process.send_signal(signal.SIGQUIT)
    _reap(process.pid)


def _reap(pid: int) -> None:
    """Wait for the end of a child that is about to end, and take note of others that have ended."""
    for child in _children:
        if child.pid == pid:
            with suppress(subprocess.TimeoutExpired):
                child.wait(STOP_SECONDS)
    _children[:] = [child for child in _children if child.poll() is None]


def _as_options(option: str, settings: dict[str, str]) -> list[str]:
    return [word for name, value in settings.items() for word in (option, f"{name}={value}")]


def _reason(output: bytes) -> str:
    """The line that says why, of what a program of PostgreSQL has printed."""
    text = output.decode(errors="replace")
    found = REASON.search(text)
    lines = text.split("\n") if found is None else [found["reason"]]
    said = [line.strip() for line in lines if line.strip()]
    return said[-1].rstrip(".") if said else "it said nothing"
