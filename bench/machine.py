"""Processes: pinned to cores, watched through /proc, ended by their own ids."""

import os
import resource
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
STOP_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process tree has used so far: CPU seconds, ended children included."""

    cpu_seconds: float
    resident_bytes: int


def take_the_load_core() -> None:
    """Move this process to the load's core, with all that it starts unpinned (PostgreSQL, wrk)."""
    os.sched_setaffinity(0, {LOAD_CORE})


def allow_many_files() -> None:
    """Raise the limit of open files as far as it goes, for this process and what it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pinned(command: Sequence[str]) -> list[str]:
    """The command, on the servers' core."""
    return ["taskset", "--cpu-list", str(SERVER_CORE), *command]


@contextmanager
def running(
    command: Sequence[str], *, errors: Path, environment: Mapping[str, str] | None = None, directory: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the block ends.

    Its standard output is dropped, its errors are kept in a file.
    """
    with errors.open("wb") as sink:
        process = subprocess.Popen(
            command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=sink
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def sample(pid: int) -> Sample:
    """What the process and its descendants have used until now."""
    children = _children()
    cpu_ticks = resident = 0
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        waiting.extend(children.get(current, ()))
        fields = _stat(current)
        if fields:
            cpu_ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
            resident += int(fields[21]) * resource.getpagesize()
    return Sample(cpu_ticks / TICKS, resident)


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            found.setdefault(int(fields[1]), []).append(int(entry.name))
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/pid/stat from the third on; the second may contain anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
