"""Who takes part: how each is installed, started and found to do the whole work."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.database import SECRET, Postgres, Target
from bench.machine import free_port, pinned, running

HERE = Path(__file__).parent
START_SECONDS = 30
FIELDS = ["id", "user_id", "title", "description", "completed", "created_at", "updated_at"]

OURS, TUTORIAL, FASTIFY, GO, PGBENCH = "ours", "tutorial", "fastify", "go", "pgbench"
NAMES = (OURS, TUTORIAL, FASTIFY, GO, PGBENCH)


class Unavailable(Exception):
    """A contender cannot take part here; the message says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """A contender that is up."""

    name: str
    target: Target
    url: str
    pid: int


def command_of(name: str, scratch: Path) -> list[str]:
    """The command that serves; installs or builds what it needs at first use.

    Raises:
        Unavailable: a tool is missing, or installing failed.
    """
    return {OURS: _ours, TUTORIAL: _tutorial, FASTIFY: _fastify, GO: _go}[name](scratch)


def _ours(_: Path) -> list[str]:
    return [sys.executable, "-m", "todo_api", "serve"]


def _tutorial(_: Path) -> list[str]:
    environment, lock = HERE / ".venv", HERE / "requirements.txt"
    stamp = environment / "installed"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        _run(sys.executable, "-m", "venv", "--clear", str(environment))
        pip = (str(environment / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check")
        _run(*pip, "install", "--no-deps", "--require-hashes", "-r", str(lock))
        stamp.write_text(wanted)
    options = ("--app-dir", str(HERE), "--loop", "uvloop", "--http", "httptools", "--no-access-log")
    return [str(environment / "bin" / "python"), "-m", "uvicorn", "tutorial:app", *options]


def _fastify(_: Path) -> list[str]:
    if not (shutil.which("node") and shutil.which("npm")):
        raise Unavailable("node and npm are not installed")
    if not (HERE / "fastify" / "node_modules").exists():
        _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", directory=HERE / "fastify")
    return ["node", str(HERE / "fastify" / "server.js")]


def _go(scratch: Path) -> list[str]:
    if not shutil.which("go"):
        raise Unavailable("go is not installed")
    binary = scratch / "go-server"
    if not binary.exists():
        sources = os.environ.get("GOPATH", "/usr/share/gocode")  # where Debian's golang-*-dev packages are
        settings = {"GO111MODULE": "off", "GOPATH": sources, "GOFLAGS": "", "GOCACHE": str(scratch / "go-cache")}
        _run("go", "build", "-o", str(binary), ".", directory=HERE / "go", **settings)
    return [str(binary)]


def _run(*command: str, directory: Path | None = None, **settings: str) -> None:
    done = subprocess.run(command, cwd=directory, env={**os.environ, **settings}, capture_output=True, check=False)
    if done.returncode:
        raise Unavailable(f"{command[0]} failed: {done.stderr.decode(errors='replace').strip()[-300:]}")


@contextmanager
def serving(name: str, target: Target, postgres: Postgres) -> Iterator[Server]:
    """A contender on the servers' core, checked, until the block ends.

    Raises:
        Unavailable: it cannot be installed, does not start, or does not do the work.
    """
    port = free_port()
    scratch = postgres.directory
    command = command_of(name, scratch)
    if name in (OURS, TUTORIAL):
        command += ["--port", str(port)]
    errors = scratch / f"{name}-{port}.errors"
    with running(
        pinned(command), errors=errors, environment=_environment(name, target, port), directory=scratch
    ) as process:
        server = Server(name, target, f"http://127.0.0.1:{port}", process.pid)
        user, token, tasks = target.users.read_text().partition("\n")[0].split("\t")
        with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=10) as client:
            until = time.monotonic() + START_SECONDS
            while not _answers(client):
                if process.poll() is not None or time.monotonic() > until:
                    raise Unavailable(f"{name} did not start: {errors.read_text()[-300:]}")
                time.sleep(0.05)
            problem = _examine(client, user, int(tasks.partition(",")[0]))
        if problem:
            raise Unavailable(f"{name} does not do the work: {problem}")
        yield server


def _environment(name: str, target: Target, port: int) -> Mapping[str, str]:
    kept = {key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "LANG", "TMPDIR"}}
    kept["BETTER_AUTH_SECRET"] = SECRET
    if name == OURS:
        return {**kept, "DATABASE_URL": target.url}
    if name == TUTORIAL:
        return {**kept, "DATABASE_URL": target.url.replace("postgresql://", "postgresql+asyncpg://")}
    return {
        **kept,
        "PORT": str(port),
        "PGHOST": str(target.socket),
        "PGUSER": "postgres",
        "PGDATABASE": target.name,
        "NODE_ENV": "production",
    }


def _answers(client: httpx.Client) -> bool:
    try:
        return bool(client.get("/").status_code)
    except httpx.TransportError:
        return False


def _examine(client: httpx.Client, user: str, task: int) -> str:
    """What is wrong with the answers to one request of each kind; nothing when all is well."""
    base = f"/api/{user}/tasks"
    created = client.post(base, json={"title": "Buy milk", "description": None})
    if created.status_code != 201 or list(created.json()) != FIELDS:
        return f"POST answered {created.status_code} {created.text[:200]}"
    path = f"{base}/{created.json()['id']}"
    anonymous = {"Authorization": ""}
    requests: tuple[tuple[httpx.Response, int, object], ...] = (
        (client.get(base, params={"limit": 20}), 200, {"title": "Buy milk"}),
        (client.get(path), 200, {"title": "Buy milk", "description": None}),
        (client.put(path, json={"title": "Buy oat milk", "completed": False}), 200, {"title": "Buy oat milk"}),
        (client.patch(f"{path}/complete", json={"completed": True}), 200, {"completed": True}),
        (client.delete(path), 200, {"title": "Buy oat milk"}),
        (client.get(path), 404, None),
        (client.get(f"{base}/{task}"), 200, {"id": task}),
        (client.get(f"{base}/{task}", headers=anonymous), 401, None),
        (client.get(f"/api/{'0' * 32}/tasks"), 403, None),
    )
    for response, status, expected in requests:
        request = response.request
        if response.status_code != status:
            return f"{request.method} {request.url.path} answered {response.status_code} {response.text[:200]}"
        if isinstance(expected, dict):
            body = response.json()
            first = body[0] if isinstance(body, list) else body
            if list(first) != FIELDS or not expected.items() <= first.items():
                return f"{request.method} {request.url.path} answered {response.text[:200]}"
            if isinstance(body, list) and len(body) != 20:
                return f"the list has {len(body)} tasks instead of 20"
    return ""
