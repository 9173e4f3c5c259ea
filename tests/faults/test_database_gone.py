"""The database stops, starts, is not migrated or not protected; the service stops under load."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.faults.postgres import OwnPostgres, own_postgres
from tests.harness import Server, User, database_url, serving
from tests.proxies import Proxy, proxying, url_through
from todo_api import migrations
from todo_api.middleware.errors import SCHEMA_OUTDATED

PATIENCE_SECONDS = 20.0


@pytest.fixture(scope="module")
def own() -> Iterator[OwnPostgres]:
    with own_postgres() as own:
        yield own


@pytest.fixture(scope="module")
def lonely(own: OwnPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service whose database a test may stop and start."""
    with serving(tmp_path_factory.mktemp("lonely"), DATABASE_URL=own.url) as server:
        yield server


def assert_unavailable(response: httpx.Response) -> dict[str, Any]:
    """The response is the problem of a database out of reach; its body."""
    assert response.status_code == 503, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert int(response.headers["retry-after"]) >= 1
    body: dict[str, Any] = response.json()
    assert body["code"] == "unavailable"
    return body


def timed(client: httpx.Client, method: str, path: str, **options: Any) -> tuple[httpx.Response, float]:
    """A response and the seconds it took."""
    started = time.monotonic()
    response = client.request(method, path, **options)
    return response, time.monotonic() - started


SYNC_BYTES = 5


class TestStopped:
    @pytest.fixture
    def stopped(self, own: OwnPostgres, lonely: Server) -> Iterator[User]:
        """A user of the service whose database has just stopped."""
        user = lonely.user()
        user.create()
        own.stop("fast")
        yield user
        if not own.running():
            own.start()

    def test_requests_answer_503_with_retry_after_in_time(self, stopped: User) -> None:
        for method, path, body in (
            ("GET", stopped.base, None),
            ("POST", stopped.base, {"title": "Buy milk"}),
            ("PATCH", f"{stopped.base}/1/complete", None),
            ("DELETE", f"{stopped.base}/1", None),
        ):
            response, seconds = timed(stopped.http, method, path, json=body)

            assert_unavailable(response)
            assert seconds < 15  # the wait for the database is 4.5

    def test_process_is_alive_and_not_ready(self, stopped: User) -> None:
        assert stopped.http.get("/health").status_code == 200
        _wait_for(lambda: stopped.http.get("/ready").status_code == 503)
        assert_unavailable(stopped.http.get("/ready"))

    def test_rejections_come_before_the_database(self, stopped: User) -> None:
        assert stopped.http.get("/api/another/tasks").status_code == 403
        assert stopped.http.get(stopped.base, headers={"Authorization": ""}).status_code == 401
        assert stopped.http.post(stopped.base, json={}).status_code == 400

    def test_answer_and_log_show_neither_address_nor_sql(self, stopped: User, lonely: Server) -> None:
        response = stopped.http.get(stopped.base)

        assert "PGSQL" not in response.text
        assert "SELECT" not in response.text + lonely.log_path.read_text()

    def test_next_request_after_it_is_back_succeeds(self, stopped: User, own: OwnPostgres) -> None:
        for _ in range(5):
            assert_unavailable(stopped.http.get(stopped.base))
        own.start()
        response = stopped.http.post(stopped.base, json={"title": "Back"})

        assert response.status_code == 201
        assert stopped.http.get("/ready").status_code == 200

    def test_restart_between_two_requests_goes_unnoticed(self, lonely: Server, own: OwnPostgres) -> None:
        user = lonely.user()
        task = user.create()
        own.stop("fast")
        own.start()

        assert user.http.post(user.base, json={"title": "After"}).status_code == 201
        assert user.http.get(user.path(task)).json() == task


class TestNotMigrated:
    def test_log_names_the_command_and_the_command_repairs_it(self, postgres: str, tmp_path: Path) -> None:
        name = f"empty_{tmp_path.name.replace('-', '_')[-20:]}_{time.time_ns()}"
        url = database_url(postgres, name)
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        try:
            with serving(tmp_path, DATABASE_URL=url) as server:
                user = server.user()
                with ThreadPoolExecutor(20) as pool:
                    answers = list(pool.map(lambda _: user.http.get(user.base), range(40)))
                assert assert_unavailable(user.http.get("/ready"))["detail"] == "The database is not migrated."
                for response in [*answers, user.http.post(user.base, json={"title": "x"})]:
                    assert assert_unavailable(response)["detail"] == SCHEMA_OUTDATED
                reasons = {line["reason"] for line in server.log(event="database.failed")}
                assert all("`todo-api migrate`" in reason for reason in reasons), reasons
                migrations.upgrade(url)

                assert user.http.get("/ready").status_code == 200
                assert user.create()["title"] == "Buy milk"
        finally:
            with psycopg.connect(postgres, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


class TestNotProtected:
    @pytest.mark.parametrize(
        ("damage", "repair"),
        [
            ("ALTER TABLE tasks DISABLE ROW LEVEL SECURITY", "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY"),
            ("ALTER TABLE users DISABLE ROW LEVEL SECURITY", "ALTER TABLE users ENABLE ROW LEVEL SECURITY"),
            ("CREATE POLICY hole ON tasks USING (true)", "DROP POLICY hole ON tasks"),
            ("CREATE POLICY hole ON users FOR SELECT USING (true)", "DROP POLICY hole ON users"),
            ("ALTER TABLE tasks NO FORCE ROW LEVEL SECURITY; ALTER TABLE tasks OWNER TO todo_api",
             "ALTER TABLE tasks OWNER TO postgres; ALTER TABLE tasks FORCE ROW LEVEL SECURITY; GRANT ALL ON tasks TO todo_api"),
            ("ALTER TABLE idempotency_keys DISABLE ROW LEVEL SECURITY", "ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY"),
            ("ALTER ROLE todo_api BYPASSRLS", "ALTER ROLE todo_api NOBYPASSRLS"),
            ("UPDATE todo_api_version SET version_num = '0000'", f"UPDATE todo_api_version SET version_num = '{migrations.head()}'"),
        ],
        ids=["tasks disabled", "users disabled", "tasks open", "users open", "role owns", "keys disabled", "role bypasses", "version"],
    )  # fmt: skip
    def test_damaged_protection_is_not_ready(self, lonely: Server, own: OwnPostgres, damage: str, repair: str) -> None:
        lonely.user().create()  # a hole would show it
        client = lonely.client()
        assert client.get("/ready").status_code == 200
        with psycopg.connect(own.url, autocommit=True) as connection:
            connection.execute(damage)
            try:
                _wait_for(lambda: client.get("/ready").status_code == 503)  # it holds for some seconds
            finally:
                connection.execute(repair)

        assert client.get("/ready").status_code == 200


class TestStopUnderLoad:
    CLIENTS = 20

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_requests_in_flight_are_answered_and_the_status_is_0(
        self, worker_database: str, tmp_path: Path, method: str
    ) -> None:
        with (
            proxying(worker_database) as proxy,
            serving(
                tmp_path, DATABASE_URL=url_through(proxy.port, worker_database), DATABASE_CONNECTIONS="1"
            ) as server,
        ):
            user = server.user()
            body = {"title": "Buy milk"} if method == "POST" else None
            one = self._bytes_of_one(proxy, user, method, body)
            proxy.delay_seconds = 0.5
            before = proxy.asked_bytes
            with ThreadPoolExecutor(self.CLIENTS) as pool:
                answers = [
                    pool.submit(
                        httpx.request,
                        method,
                        f"{server.url}{user.base}",
                        headers=user.http.headers,
                        json=body,
                        timeout=20,
                    )
                    for _ in range(self.CLIENTS)
                ]
                _wait_for(lambda: proxy.asked_bytes - before >= self.CLIENTS * one)
                status = server.stop(signal.SIGTERM)
                statuses = [answer.result().status_code for answer in answers]

            assert statuses == [201 if method == "POST" else 200] * self.CLIENTS
            assert status == 0

    def test_new_connections_are_rejected_meanwhile(self, worker_database: str, tmp_path: Path) -> None:
        with (
            proxying(worker_database) as proxy,
            serving(tmp_path, DATABASE_URL=url_through(proxy.port, worker_database)) as server,
        ):
            user = server.user()
            user.create()
            proxy.delay_seconds = 0.5
            before = proxy.asked_bytes
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(httpx.get, f"{server.url}{user.base}", headers=user.http.headers, timeout=20)
                _wait_for(lambda: proxy.asked_bytes > before)
                server.process.send_signal(signal.SIGTERM)
                _wait_for(lambda: not _accepts(server))

                assert not answer.done()
                assert answer.result().status_code == 200
            assert server.process.wait(30) == 0

    def test_grace_period_ends_what_does_not_finish(self, worker_database: str, tmp_path: Path) -> None:
        with (
            proxying(worker_database) as proxy,
            serving(
                tmp_path, DATABASE_URL=url_through(proxy.port, worker_database), SHUTDOWN_GRACE_SECONDS="1"
            ) as server,
        ):
            user = server.user()
            user.create()
            proxy.silence()
            before = proxy.asked_bytes
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(httpx.get, f"{server.url}{user.base}", headers=user.http.headers, timeout=20)
                _wait_for(lambda: proxy.asked_bytes > before)
                started = time.monotonic()
                status = server.stop(signal.SIGTERM)
                seconds = time.monotonic() - started
                with contextlib.suppress(httpx.TransportError):
                    assert answer.result().status_code == 503

            assert status == 0
            assert seconds < 15  # a read of a silent socket would wait for a minute

    def _bytes_of_one(self, proxy: Proxy, user: User, method: str, body: Any) -> int:
        """How many bytes one more request sends to PostgreSQL, beside a Sync that it may share."""
        for _ in range(2):
            before = proxy.asked_bytes
            user.http.request(method, user.base, json=body)
        return proxy.asked_bytes - before - SYNC_BYTES


def _accepts(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/health", timeout=5, verify=False).status_code == 200
    except httpx.TransportError:
        return False


def _wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)
