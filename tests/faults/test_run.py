"""Zero configuration: the service as a newcomer runs it, in a directory of its own."""

import contextlib
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.postgres import children
from tests.harness import (
    COMMAND,
    SERVE,
    Server,
    User,
    environment,
    free_port,
    running,
    serving,
    token,
)

UNSET = {"BETTER_AUTH_SECRET": ""}
CURL = re.compile(r"^\s*(curl .*)$", re.MULTILINE)
SAMPLE = re.compile(r'<body data-sample="([^"]*)">')
START_SECONDS = 30


@pytest.fixture
def empty() -> Iterator[Path]:
    """An empty directory, reachable for the user that PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="todo-empty-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A directory in which the service ran once."""
    with tempfile.TemporaryDirectory(prefix="todo-home-") as name:
        with serving(Path(name), **UNSET):
            pass
        yield Path(name)


@pytest.fixture(scope="module")
def two_workers(home: Path) -> Iterator[Server]:
    """The service with two workers in that directory."""
    with running(home, [*SERVE, "--workers", "2"], LOG_LEVEL="DEBUG", **UNSET) as server:
        yield server


def command(directory: Path, *arguments: str) -> str:
    """What ``todo-api`` prints when run in this directory."""
    done = subprocess.run(
        [COMMAND, *arguments],
        cwd=directory,
        env=environment(**UNSET),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def user(directory: Path, server: Server, name: str = "demo-user") -> User:
    """A user with a token under the directory's own secret."""
    signed = token(name, secret=(directory / ".data/secret").read_text())
    return User(name, server.client(headers={"Authorization": f"Bearer {signed}"}))


def postmaster(directory: Path) -> int:
    """The process id of the directory's PostgreSQL."""
    return int((directory / ".data/postgres/postmaster.pid").read_text().split()[0])


def runs(pid: int) -> bool:
    """Whether a process exists and is more than a zombie."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_until_reaped(pid: int) -> None:
    """Wait until the process table has forgotten a process that was killed."""
    until = time.monotonic() + START_SECONDS
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def assert_nothing_left(directory: Path, pid: int) -> None:
    """The directory's PostgreSQL has ended and tidied up."""
    assert not runs(pid)
    assert not (directory / ".data/postgres/postmaster.pid").exists()


def wait_until_alive_at_last(server: Server) -> None:
    """Wait for /health of a server whose errors are in its log."""
    until = time.monotonic() + START_SECONDS
    while True:
        assert server.process.poll() is None, server.log_path.read_text()
        assert time.monotonic() < until
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{server.url}/health", timeout=5, verify=False).status_code == 200:
                return
        time.sleep(0.05)


def terminated(directory: Path, server: Server, by: signal.Signals = signal.SIGTERM) -> None:
    """A signal ends the service with status 0, and its PostgreSQL."""
    pid = postmaster(directory)
    assert runs(pid)
    assert server.stop(by) == 0
    assert_nothing_left(directory, pid)


def interrupted(directory: Path, server: Server) -> None:
    """So does Ctrl-C."""
    terminated(directory, server, signal.SIGINT)


def killed(directory: Path, server: Server) -> None:
    """The service is killed, and its PostgreSQL goes on without it."""
    server.stop(signal.SIGKILL)
    assert runs(postmaster(directory))


def crashed(directory: Path, server: Server) -> None:
    """Both are killed."""
    pid = postmaster(directory)
    os.kill(pid, signal.SIGKILL)
    server.stop(signal.SIGKILL)
    wait_until_reaped(pid)


class TestFromNothing:
    @pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
    def test_curl_line_of_the_banner_answers_an_empty_list(self, empty: Path) -> None:
        with serving(empty, **UNSET):
            line = CURL.search((empty / "errors").read_text())
            assert line is not None
            script = f"{line[1]} --silent --write-out ' %{{http_code}}'"
            answer = subprocess.run(
                ["sh", "-c", script],
                cwd=empty,
                env=environment(**UNSET),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )

            assert answer.stdout == "[] 200"
            assert (empty / ".data/secret").stat().st_mode & 0o777 == 0o600
            assert "Bearer" not in (empty / "log").read_text()

    def test_two_that_start_at_once_share_one_secret_and_one_database(self, empty: Path) -> None:
        (empty / "a").mkdir()
        (empty / "b").mkdir()
        shared = {**UNSET, "DATA_DIR": str(empty / ".data")}
        others = environment(**shared)
        port = free_port()
        with (empty / "b/log").open("wb") as log:
            process = subprocess.Popen(
                [COMMAND, "serve", "--port", str(port)], cwd=empty / "b", env=others, stdout=log, stderr=log
            )
        second = Server(f"http://127.0.0.1:{port}", process, empty / "b/log")
        try:
            with serving(empty / "a", **shared) as first:
                wait_until_alive_at_last(second)
                owner = user(empty, first)
                task = owner.create()
                answer = httpx.get(f"{second.url}{owner.path(task)}", headers=owner.http.headers)

                assert answer.json() == task
                second.stop()
        finally:
            second.stop()


class TestStop:
    def test_what_was_acknowledged_is_there_after_any_end(self, home: Path) -> None:
        acknowledged: list[dict[str, Any]] = []
        for end in (terminated, interrupted, killed, crashed):
            with serving(home, **UNSET) as server:
                owner = user(home, server, "survivor")
                assert owner.http.get(owner.base).json() == acknowledged
                acknowledged.insert(0, owner.create(end.__name__))

                end(home, server)
        with serving(home, **UNSET) as server:
            owner = user(home, server, "survivor")
            pid = postmaster(home)

            assert owner.http.get(owner.base).json() == acknowledged
            assert server.stop() == 0
        assert_nothing_left(home, pid)

    def test_port_in_use_ends_the_start_with_a_failure_and_its_postgres(self, home: Path) -> None:
        with serving(home, **UNSET) as server:
            port = server.url.rpartition(":")[2]
            done = subprocess.run(
                [COMMAND, "serve", "--port", port],
                cwd=home,
                env=environment(**UNSET),
                capture_output=True,
                timeout=30,
                check=False,
            )

            assert done.returncode not in {0, None}
            assert user(home, server).http.get("/ready").status_code == 200


class TestWaysToRun:
    def test_module_serves_like_the_command(self, home: Path) -> None:
        with running(home, [sys.executable, "-m", "todo_api", "serve"], **UNSET) as server:
            owner = user(home, server)

            assert owner.http.get(owner.base).status_code == 200
            assert server.stop() == 0

    def test_uvicorn_serves_the_application(self, home: Path) -> None:
        with running(home, [COMMAND.with_name("uvicorn"), "todo_api.main:app"], **UNSET) as server:
            pid = postmaster(home)
            owner = user(home, server)

            assert owner.http.get(owner.base).status_code == 200
            server.stop()
        assert_nothing_left(home, pid)


class TestTwoWorkers:
    """A service with two workers on the embedded database, and what runs in its directory."""

    def test_both_share_the_embedded_database(self, home: Path, two_workers: Server) -> None:
        owner = user(home, two_workers, "workers")
        task = owner.create()
        answers = [
            httpx.get(f"{two_workers.url}{owner.path(task)}", headers=owner.http.headers).json() for _ in range(20)
        ]

        assert answers == [task] * 20
        assert len(children(two_workers.process.pid)) >= 2

    def test_token_of_the_command_is_the_users(self, home: Path, two_workers: Server) -> None:
        signed = command(home, "token", "alice").strip()
        alice = User("alice", two_workers.client(headers={"Authorization": f"Bearer {signed}"}))

        assert alice.create()["user_id"] == "alice"
        assert alice.http.get("/api/bob/tasks").status_code == 403

    def test_docs_sign_their_reader_in_with_a_token_that_both_accept(self, two_workers: Server) -> None:
        found = SAMPLE.search(httpx.get(f"{two_workers.url}/docs").text)
        assert found is not None
        sample = json.loads(html.unescape(found[1]))
        header = {"Authorization": f"Bearer {sample['token']}"}
        answers = [httpx.get(f"{two_workers.url}/api/{sample['user']}/tasks", headers=header) for _ in range(10)]

        assert [answer.status_code for answer in answers] == [200] * 10
        assert httpx.get(f"{two_workers.url}/api/alice/tasks", headers=header).status_code == 403

    def test_front_end_on_this_machine_may_call_them(self, two_workers: Server) -> None:
        answer = httpx.get(f"{two_workers.url}/health", headers={"Origin": "http://localhost:3000"})

        assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"

    def test_migrate_leaves_the_running_service_its_database(self, home: Path, two_workers: Server) -> None:
        pid = postmaster(home)

        assert "revision" in command(home, "migrate")
        assert postmaster(home) == pid
        assert runs(pid)
        assert two_workers.client().get("/ready").status_code == 200

    def test_process_list_shows_no_secret(self, home: Path, two_workers: Server) -> None:
        secret = (home / ".data/secret").read_text()
        listed = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                listed[path.parent.name] = path.read_text(errors="replace")

        assert "serve" in listed[str(two_workers.process.pid)]
        assert [name for name, words in listed.items() if secret in words] == []

    def test_log_and_banner_show_no_secret(self, home: Path, two_workers: Server) -> None:
        user(home, two_workers).create()
        secret = (home / ".data/secret").read_text()

        assert two_workers.log(event="task.created")
        assert secret not in (home / "log").read_text() + (home / "errors").read_text()

    def test_signal_ends_both_and_their_postgres(self, home: Path, two_workers: Server) -> None:
        pid, workers = postmaster(home), children(two_workers.process.pid)

        assert two_workers.stop() == 0
        assert_nothing_left(home, pid)
        for worker in workers:
            wait_until_reaped(worker)  # multiprocessing's own resource tracker ends a moment after its parent
        assert "Traceback" not in (home / "log").read_text() + (home / "errors").read_text()


def test_migrate_alone_stops_what_it_started(empty: Path) -> None:
    assert "revision" in command(empty, "migrate")
    assert not (empty / ".data/postgres/postmaster.pid").exists(), (empty / ".data/postgres/log").read_text()
