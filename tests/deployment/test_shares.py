"""Users divided among two databases behind a real nginx, and one who is moved while writing."""

import base64
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import httpx
import psycopg
import pytest
from deploy.shares import move
from deploy.shares.move import MovedUsers

from tests.faults.load import PATIENCE_SECONDS, SEED, Load, judge, rows_of
from tests.faults.postgres import own_postgres
from tests.faults.test_failover import promote, streaming_from
from tests.harness import Server, User, cloned_database, free_port, serving, token, wait_for

PROJECT = Path(__file__).parents[2]
EXAMPLE = PROJECT / "deploy/shares"
Moved = subprocess.CompletedProcess[str]
SHUTDOWN_SECONDS = 1
DRAIN_SECONDS = 8.0
"""What nginx needs to end its old workers, and the service a statement; and much more. A user who
writes nothing meanwhile needs none of it."""

MAIN = """
load_module {module};
user root; daemon off; worker_processes 2; worker_shutdown_timeout {seconds}s; pid {directory}/pid; error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  include {directory}/site.conf;
}}
"""


def js_module() -> Path | None:
    """nginx's module for njs, if both are here."""
    if shutil.which("nginx") is None:
        return None
    built = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=True).stderr
    folder = re.search(r"--modules-path=(\S+)", built)
    path = Path(folder[1] if folder else "/usr/lib/nginx/modules") / "ngx_http_js_module.so"
    return path if path.exists() else None


MODULE = js_module()
pytestmark = pytest.mark.skipif(MODULE is None, reason="needs nginx with njs (Debian: libnginx-mod-http-js)")


def in_process(arguments: list[str]) -> Moved:
    """The command without a Python of its own, whose imports take longer than the move."""
    with redirect_stdout(StringIO()) as output, redirect_stderr(StringIO()) as errors:
        status = move.main(arguments)
    return Moved(arguments, status, output.getvalue(), errors.getvalue())


def as_documented(arguments: list[str]) -> Moved:
    """The command as an operator runs it."""
    command = [sys.executable, "-m", "deploy.shares.move", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


@dataclass
class Shares:
    """Two shares behind one nginx."""

    url: str
    databases: dict[str, str]
    directory: Path
    nginx: list[str]
    clients: ExitStack

    def share_of(self, user_id: str) -> str:
        """Where a user's rows are."""
        (share,) = [share for share, database in self.databases.items() if self.has(database, user_id)]
        return share

    def has(self, database: str, user_id: str) -> bool:
        """Whether a database knows a user."""
        with psycopg.connect(database) as connection:
            return bool(connection.execute("SELECT FROM users WHERE id = %s", [user_id]).rowcount)

    def user(self, user_id: str) -> User:
        """A signed-in user, whose requests go through nginx."""
        headers = {"Authorization": f"Bearer {token(user_id)}"}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=20, verify=False)  # plain HTTP
        return User(user_id, self.clients.enter_context(client))

    def move(
        self,
        user_id: str,
        source: str,
        target: str,
        *options: str,
        drain_seconds: float = 0,
        reload: str = "",
        run: Callable[[list[str]], Moved] = in_process,
    ) -> Moved:
        """Run the command that moves a user; no worker of before answers when this returns."""
        before = self.workers()
        urls = {"FROM_DATABASE_URL": self.databases[source], "TO_DATABASE_URL": self.databases[target]}
        with patch.dict(os.environ, urls):
            moved = run(
                [
                    *(user_id, target, "--map", str(self.directory / "moved.map")),
                    *("--reload", reload or " ".join([*self.nginx, "-s", "reload"])),
                    *("--drain-seconds", str(drain_seconds), *options),
                ]
            )
        if moved.stdout.startswith("The user is in"):
            wait_for(lambda: not before & self.workers(), "nginx's old workers go on")
        return moved

    def workers(self) -> set[str]:
        """The pids of nginx's workers."""
        main = (self.directory / "pid").read_text().strip()
        command = ["ps", "-o", "pid=", "--ppid", main]
        return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def part_numbers(database: str, share: int) -> None:
    """Run the statements of the documentation for the share of this number."""
    (statements,) = re.findall(
        r"```sql\n(\s*BEGIN;\s+ALTER SEQUENCE tasks_id_seq.*?)```", (PROJECT / "docs/deploy.md").read_text(), re.DOTALL
    )
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(statements.replace("* 16 + 1", f"* 16 + {share}"))


@contextmanager
def nginx(directory: Path, a: Server, b: Server) -> Iterator[tuple[str, list[str]]]:
    """The example's nginx in front of two services: its URL, and its command."""
    port = free_port()
    site = (EXAMPLE / "nginx.conf").read_text()
    for written, here in {
        "127.0.0.1:8001": a.url.partition("://")[2],
        "127.0.0.1:8002": b.url.partition("://")[2],
        "listen 80;": f"listen 127.0.0.1:{port};",
        "/etc/nginx/todo-api": str(directory),
    }.items():
        assert written in site
        site = site.replace(written, here)
    (directory / "site.conf").write_text(site)
    (directory / "moved.map").touch()
    shutil.copy(EXAMPLE / "user.js", directory)
    main = MAIN.format(module=MODULE, directory=directory, seconds=SHUTDOWN_SECONDS)
    (directory / "nginx.conf").write_text(main)
    command = ["nginx", "-e", "stderr", "-p", str(directory), "-c", str(directory / "nginx.conf")]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _answers(url), "nginx does not answer")
        yield url, command
    finally:
        process.terminate()
        process.wait(60)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def shares(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shares]:
    """Both shares, and nginx in front of them."""
    with ExitStack() as stack:
        databases = {share: stack.enter_context(cloned_database(postgres)) for share in "ab"}
        for number, database in enumerate(databases.values()):
            part_numbers(database, number)
        directory = tmp_path_factory.mktemp("shares")
        settings = {"STATEMENT_TIMEOUT_MILLISECONDS": "1000", "DATABASE_WAIT_SECONDS": "2"}
        a, b = (
            stack.enter_context(serving(directory / share, DATABASE_URL=database, **settings))
            for share, database in databases.items()
        )
        url, command = stack.enter_context(nginx(directory, a, b))
        yield Shares(url, databases, directory, command, stack)


class TestDivision:
    def test_users_are_divided_and_each_finds_their_tasks_under_both_forms_of_a_path(self, shares: Shares) -> None:
        users = [shares.user(f"user{secrets.token_hex(14)}") for _ in range(12)]
        tasks = [user.create(user.id) for user in users]

        assert {shares.share_of(user.id) for user in users} == {"a", "b"}
        for user, task in zip(users, tasks, strict=True):
            assert user.http.get(user.base).json() == [task]
            assert user.http.get("/api/tasks").json() == [task]
            assert user.http.get(f"/api/tasks/{task['id']}").json() == task
        assert len({task["id"] for task in tasks}) == len(tasks)

    @pytest.mark.parametrize("user_id", ["default", "~x", 'a"b;{$}', "ÄÖ 😀", "1", "x" * 255])
    def test_every_id_leads_to_one_share(self, shares: Shares, user_id: str) -> None:
        user = shares.user(user_id)
        created = user.http.post("/api/tasks", json={"title": "x"})

        assert created.status_code == 201
        assert [task["id"] for task in user.http.get("/api/tasks").json()] == [created.json()["id"]]
        assert shares.share_of(user_id) in {"a", "b"}

    def test_cookie_cache_token_leads_where_the_other_token_of_its_user_does(self, shares: Shares) -> None:
        users = [shares.user(f"user{secrets.token_hex(14)}") for _ in range(8)]
        for user in users:
            user.create(user.id)
            cached = token("", sub=None, session={"userId": user.id}, user={"id": user.id})
            user.http.headers["Authorization"] = f"bearer  {cached}"

            assert [task["title"] for task in user.http.get("/api/tasks").json()] == [user.id]

    @pytest.mark.parametrize("sent", ["", "Bearer", "Bearer x", "Bearer a.b.c", "Bearer a.bnVsbA.c", "Bearer a.W10.c"])
    def test_what_names_no_user_is_answered_by_the_service(self, shares: Shares, sent: str) -> None:
        response = httpx.get(f"{shares.url}/api/tasks", headers={"Authorization": sent})

        assert (response.status_code, response.json()["code"]) == (401, "unauthorized")

    def test_user_of_another_type_is_answered_by_the_service(self, shares: Shares) -> None:
        payload = base64.urlsafe_b64encode(json.dumps({"sub": {"x": 1}}).encode()).decode().rstrip("=")

        assert (
            httpx.get(f"{shares.url}/api/tasks", headers={"Authorization": f"Bearer a.{payload}.c"}).status_code == 401
        )


def test_every_user_finds_their_tasks_when_a_promoted_standby_becomes_the_second_share(tmp_path: Path) -> None:
    with own_postgres() as primary, streaming_from(primary) as standby, ExitStack() as stack:
        with serving(tmp_path / "before", DATABASE_URL=primary.url) as only:
            before = {user.id: user.create(user.id) for user in (only.user() for _ in range(12))}
        promote(standby)
        primary.execute("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
        databases = {"a": primary.url, "b": standby.url}
        for number, database in enumerate(databases.values()):
            part_numbers(database, number)
        a, b = (stack.enter_context(serving(tmp_path / name, DATABASE_URL=url)) for name, url in databases.items())
        url, command = stack.enter_context(nginx(tmp_path, a, b))
        shares = Shares(url, databases, tmp_path, command, stack)
        users = {user_id: shares.user(user_id) for user_id in before}
        after = {user_id: user.create("second") for user_id, user in users.items()}

        for user_id, user in users.items():
            assert user.http.get(user.base).json() == [after[user_id], before[user_id]]
        assert len({task["id"] for task in after.values()}) == len(after)
        rows = [{user_id for user_id in users if len(rows_of(user_id, url)) == 2} for url in databases.values()]
        assert rows[0]
        assert rows[1] == set(users) - rows[0]


class TestMove:
    def test_user_who_is_moved_while_writing_loses_nothing(self, shares: Shares) -> None:
        load = Load([shares.url], SEED, 4, pause_seconds=0.02)  # hundreds of requests each, while nginx drains
        load.start()
        try:
            load.work_on()
            moving = load.clients[0]
            homes = {client.user_id: shares.share_of(client.user_id) for client in load.clients}
            source = homes[moving.user_id]
            target = "b" if source == "a" else "a"
            moved = shares.move(moving.user_id, source, target, drain_seconds=DRAIN_SECONDS, run=as_documented)
            assert moved.returncode == 0, moved.stderr
            load.work_on()
        finally:
            load.stop()

        homes[moving.user_id] = target
        assert {client.user_id: shares.share_of(client.user_id) for client in load.clients} == homes
        for client in load.clients:
            judge([client], shares.databases[homes[client.user_id]], max_seconds=PATIENCE_SECONDS, may_cut=True)
        assert re.fullmatch(rf"The user is in {target}, with \d+ tasks\.\n", moved.stdout)

    def test_key_of_before_is_answered_afterwards_and_ids_go_on(self, shares: Shares) -> None:
        user = shares.user(f"user{secrets.token_hex(14)}")
        first = user.http.post(user.base, json={"title": "once"}, headers={"Idempotency-Key": "k"})
        source = shares.share_of(user.id)
        target = "b" if source == "a" else "a"
        assert shares.move(user.id, source, target).returncode == 0
        again = user.http.post(user.base, json={"title": "once"}, headers={"Idempotency-Key": "k"})
        tag = user.http.get(user.path(first.json())).headers["ETag"]
        others = [user.create(str(number))["id"] for number in range(3)]

        assert (again.status_code, again.json(), again.headers["Idempotent-Replayed"]) == (201, first.json(), "true")
        assert tag == first.headers["ETag"]
        assert first.json()["id"] % 16 not in {number % 16 for number in others}
        assert shares.share_of(user.id) == target

    def test_second_move_is_told_what_the_first_may_have_left(self, shares: Shares) -> None:
        user = shares.user(f"user{secrets.token_hex(14)}")
        user.create()
        source = shares.share_of(user.id)
        target = "b" if source == "a" else "a"
        shares.move(user.id, source, target)
        again = shares.move(user.id, source, target)

        assert again.returncode == 1
        assert "--finish deletes what it left behind" in again.stderr

    def test_user_stays_where_nginx_cannot_be_reloaded_and_is_moved_afterwards(self, shares: Shares) -> None:
        user = shares.user(f"user{secrets.token_hex(14)}")
        task = user.create()
        source = shares.share_of(user.id)
        target = "b" if source == "a" else "a"
        failed = shares.move(user.id, source, target, reload="false")
        changed = user.http.put(user.path(task), json={"title": "changed"}).json()
        told = shares.move(user.id, source, target)
        moved = shares.move(user.id, source, target, "--replace")

        assert "nginx was not reloaded" in failed.stderr
        assert "--replace deletes them" in told.stderr
        assert (failed.returncode, told.returncode, moved.returncode) == (1, 1, 0)
        assert user.http.get(user.base).json() == [changed]
        assert rows_of(user.id, shares.databases[source]) == []
        assert len(rows_of(user.id, shares.databases[target])) == 1

    def test_live_rows_are_not_replaced_by_older_ones(self, shares: Shares) -> None:
        user = shares.user(f"user{secrets.token_hex(14)}")
        task = user.create()
        home = shares.share_of(user.id)
        other = "b" if home == "a" else "a"
        shares.move(user.id, home, other, reload="false")  # leaves a copy
        changed = user.http.put(user.path(task), json={"title": "changed"}).json()
        mixed_up = shares.move(user.id, other, home, "--replace")

        assert mixed_up.stderr.endswith("are the two mixed up?\n")
        assert user.http.get(user.base).json() == [changed]

    def test_rows_that_a_move_left_are_deleted(self, shares: Shares) -> None:
        user = shares.user(f"user{secrets.token_hex(14)}")
        task = user.create()
        source = shares.share_of(user.id)
        target = "b" if source == "a" else "a"
        shares.move(user.id, source, target)
        with psycopg.connect(shares.databases[source], autocommit=True) as connection:
            connection.execute("INSERT INTO users (id) VALUES (%s)", [user.id])
        finished = shares.move(user.id, source, target, "--finish")

        assert finished.returncode == 0, finished.stderr
        assert not shares.has(shares.databases[source], user.id)
        assert user.http.get(user.base).json() == [task]

    def test_user_without_rows_is_not_moved(self, shares: Shares) -> None:
        assert shares.move("nobody", "a", "b").stderr == "The user has nothing in the old database.\n"

    def test_databases_that_number_tasks_alike_are_rejected(self, shares: Shares, database: str) -> None:
        other = replace(shares, databases={**shares.databases, "c": database})

        assert other.move("nobody", "a", "c").stderr.startswith("Both databases may give the same ids: docs/deploy.md")

    def test_url_that_is_missing_or_misread_is_named(self, shares: Shares) -> None:
        other = replace(shares, databases={"a": "", "b": "postgresql://u:a@b@h/d"})

        assert other.move("nobody", "a", "b").stderr.startswith("FROM_DATABASE_URL must be a URL that begins")
        assert "a@b" not in other.move("nobody", "b", "a").stderr


def test_users_of_the_file_that_nginx_includes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "moved.map"
    path.write_text("61 a;\n62 b;\n")
    moved = MovedUsers(path)
    moved.write("c", "a")
    moved.write("a", None)

    assert path.read_text() == "62 b;\n63 a;\n"
    assert (moved.share("b"), moved.share("a")) == ("b", None)
