"""Carry out the Dockerfile without a container engine, then run what it makes.

Every RUN and COPY is done as written, in a directory that stands for the root of the file system;
the result is made read-only, and its command is run by the image's user against a real PostgreSQL:
migrated, served by two workers, asked by the image's own health check, and stopped by its signal.
Then the same for deploy/compose.yaml, where there is Node: Better Auth signs somebody up, who
creates a task.

What a container would do and this does not: the base image is a virtual environment of a Python
on this machine, so nothing here shows that the tag exists or what it contains.
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.compose import Image, node_image, try_compose
from deploy.dockerfile import Stage, parse
from todo_api.local import postgres as local_postgres
from todo_api.local.cluster import SOCKET_NAME

PROJECT = Path(__file__).parents[1]
START_SECONDS, STOP_SECONDS = 120.0, 60.0
SECRET = "check-3f9a1c5e7b2d4860f1e2d3c4b5a69788"  # noqa: S105 - signs nothing  # pragma: allowlist secret


@dataclass(frozen=True, slots=True)
class Root:
    """A directory that stands for ``/``, and the Python that stands for the base image."""

    path: Path
    base: Path

    def inside(self, path: str, workdir: str = "/") -> Path:
        """Where a path of the image is."""
        return self.path / os.path.normpath(f"{workdir}/{path}" if not path.startswith("/") else path).lstrip("/")

    def translated(self, text: str, prefixes: set[str]) -> str:
        """A command whose absolute paths of the image lead into the directory."""
        pattern = "|".join(re.escape(prefix) for prefix in sorted(prefixes, reverse=True))
        return re.sub(rf"(?<![\w./-])({pattern})(?=[/:\s]|$)", lambda match: f"{self.path}{match[1]}", text)


def main() -> int:
    """Build, run, ask, stop; 0 when all of it went well."""
    parser = argparse.ArgumentParser(description="Carry out the Dockerfile without a container engine.")
    parser.add_argument("--python", type=Path, help="what stands for the base image's Python")
    options = parser.parse_args()
    stages = parse(PROJECT / "Dockerfile")
    user, group = (int(number) for number in stages[-1].last("USER").rest.split(":"))
    if 0 in {user, group}:
        sys.exit("The image's user is root.")
    with tempfile.TemporaryDirectory(prefix="todo-image-") as name:
        work = Path(name)
        work.chmod(0o755)
        base = _base(work, options.python or _reachable_python(user, group))
        root = _build(stages, work, base)
        _make_read_only(root.path)
        print(f"built: {_megabytes(root.path):.0f} MB on top of {stages[-1].base}")
        try:
            with _database(work) as url:
                _run(stages[-1], root, url, user=user, group=group)
                print("the image's command migrates, serves, is healthy and stops with status 0")
                _compose(stages[-1], root, url, _identity(user, group))
        finally:
            subprocess.run(["chmod", "-R", "u+w", root.path], check=True)
    return 0


def _reachable_python(user: int, group: int) -> Path:
    """A Python that the image's user may run as well: that of this environment, or the system's."""
    candidates = [sys._base_executable, shutil.which("python3", path="/usr/local/bin:/usr/bin")]  # type: ignore[attr-defined]  # noqa: SLF001
    for candidate in filter(None, candidates):
        try:
            if not subprocess.run([candidate, "-c", ""], check=False, **_identity(user, group)).returncode:
                return Path(candidate)
        except PermissionError:
            continue
    sys.exit("The image's user can run no Python here; name one with --python.")


def _identity(user: int, group: int) -> dict[str, Any]:
    """Arguments for a process of the image's user; without root, of this user."""
    return {"user": user, "group": group, "extra_groups": []} if os.geteuid() == 0 else {}


def _base(work: Path, python: Path) -> Path:
    subprocess.run([python, "-m", "venv", work / "base"], check=True)
    return work / "base"


def _build(stages: list[Stage], work: Path, base: Path) -> Root:
    """Carry out all stages at one place, one after the other, so that paths inside are right.

    The last one's root.
    """
    context = _context(work)
    root = Root(work / "root", base)
    done: dict[str, Path] = {"": context}
    for stage in stages:
        root.path.mkdir()
        _carry_out(stage, root, done)
        if stage is not stages[-1]:
            done[stage.name] = root.path.rename(work / f"stage-{stage.name}")
    return root


def _compose(stage: Stage, root: Root, url: str, identity: dict[str, Any]) -> None:
    """Carry out the compose file with this image, and that of Better Auth built beside it."""
    work = root.path.with_name("compose")
    work.mkdir()
    stages = parse(PROJECT / "deploy/sign-in.Dockerfile")
    workdir = stages[-1].last("WORKDIR").rest
    sign_in = node_image(work, stages[-1].last("CMD").words(), Root(work / "root", work).inside(workdir))
    if sign_in is None:
        print("SKIPPED: the compose file was not tried, because Node is not installed.")
        return
    _build(stages, work, work)
    environment = {**_declared(stage, root), "TMPDIR": str(root.path.with_name("tmp"))}
    service = Image(_command(stage, root, environment), environment, {"cwd": root.path, **identity})
    try_compose({"api": service, "sign-in": sign_in}, url, _free_port)
    print("what the compose file starts signs somebody up, who creates a task")


def _command(stage: Stage, root: Root, environment: Mapping[str, str]) -> list[str]:
    """The image's command, whose program is the one in the image."""
    program, *arguments = stage.last("CMD").words()
    program = shutil.which(program, path=environment["PATH"]) or program
    if not program.startswith(str(root.path)):
        sys.exit("The image's CMD is not in the image.")
    return [program, *arguments]


def _context(work: Path) -> Path:
    """The build context: what .dockerignore, a list of exceptions from ``*``, lets through."""
    first, *lines = (PROJECT / ".dockerignore").read_text().split()
    if first != "*":
        sys.exit(".dockerignore must begin with * and name what the image needs.")
    context = work / "context"
    for name in (line.removeprefix("!") for line in lines if line.startswith("!")):
        target = context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, target, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(PROJECT / name, target)
    return context


def _carry_out(stage: Stage, root: Root, done: Mapping[str, Path]) -> None:
    workdir = "/"
    prefixes = {"/opt"}
    defaults: dict[str, str] = {}
    for instruction in stage.instructions:
        if instruction.name == "WORKDIR":
            workdir = instruction.rest
            prefixes.add(workdir)
            root.inside(workdir).mkdir(parents=True, exist_ok=True)
        elif instruction.name == "ARG":
            name, _, defaults[name] = instruction.rest.partition("=")
        elif instruction.name == "COPY":
            *sources, target = instruction.words()
            for source in sources:
                _copy(done[instruction.flags.get("from", "")] / source.lstrip("/"), root.inside(target, workdir))
        elif instruction.name == "RUN":
            environment = {**defaults, **os.environ, "PATH": f"{root.base}/bin:{os.environ['PATH']}"}
            subprocess.run(
                ["/bin/sh", "-ec", root.translated(instruction.rest, prefixes)],
                cwd=root.inside(workdir),
                env=environment,
                check=True,
                stdout=subprocess.DEVNULL,
            )


def _copy(source: Path, target: Path) -> None:
    """Copy like COPY: a directory's contents, or a file, into a directory if it is one."""
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def _make_read_only(root: Path) -> None:
    subprocess.run(["chmod", "-R", "a-w,a+rX", root], check=True)


def _megabytes(root: Path) -> float:
    return sum(path.lstat().st_size for path in root.rglob("*")) / 1e6


@contextmanager
def _database(work: Path) -> Iterator[str]:
    with local_postgres.running(work / "data") as cluster:
        for directory in (work / "data", cluster.directory):
            directory.chmod(0o711)  # the image's user has to reach the socket inside
        (cluster.directory / SOCKET_NAME).chmod(0o777)
        yield cluster.url


def _run(stage: Stage, root: Root, url: str, *, user: int, group: int) -> None:
    temporary = root.path.with_name("tmp")
    temporary.mkdir(mode=0o777)
    temporary.chmod(0o777)
    settings = {"DATABASE_URL": url, "BETTER_AUTH_SECRET": SECRET, "PORT": str(_free_port()), "TMPDIR": str(temporary)}
    environment = {**_declared(stage, root), **settings, "HOST": "127.0.0.1", "WEB_CONCURRENCY": "2"}
    program, *arguments = _command(stage, root, environment)
    process: dict[str, Any] = {"cwd": root.path, "env": environment, **_identity(user, group)}
    subprocess.run([program, "migrate"], check=True, **process)
    with (temporary / "log").open("wb") as log:
        server = subprocess.Popen([program, *arguments], stdout=log, **process)
    try:
        _wait_until_healthy(stage, server, process)
        urllib.request.urlopen(f"http://127.0.0.1:{environment['PORT']}/ready", timeout=10).close()
    finally:
        server.send_signal(signal.Signals[stage.last("STOPSIGNAL").rest])
        status = server.wait(STOP_SECONDS)
    if status != 0:
        sys.exit(f"The service ended with status {status}:\n{(temporary / 'log').read_text()}")


def _declared(stage: Stage, root: Root) -> dict[str, str]:
    """What ENV says, with paths that lead into the root."""
    environment = {"PATH": f"{root.base}/bin:/usr/bin:/bin"}
    for word in stage.last("ENV").words():
        name, _, value = word.partition("=")
        environment[name] = root.translated(value, {"/opt"}).replace("$PATH", environment["PATH"])
    return environment


def _wait_until_healthy(stage: Stage, server: "subprocess.Popen[bytes]", process: dict[str, Any]) -> None:
    """Run the image's own health check until it succeeds."""
    until = time.monotonic() + START_SECONDS
    check = stage.last("HEALTHCHECK").words()
    while subprocess.run(check, check=False, stderr=subprocess.DEVNULL, **process).returncode:
        if server.poll() is not None or time.monotonic() > until:
            sys.exit("The service did not become healthy.")
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
