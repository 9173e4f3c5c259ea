"""What operators may set: documentation, the port of metrics. And how often /ready checks."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_tasks import assert_problem
from tests.harness import SECRET, Server, free_port, serving
from todo_api.app import create_app
from todo_api.db import Unavailable
from todo_api.routes import health
from todo_api.routes.health import Readiness
from todo_api.settings import Settings

METRICS_PORT = free_port()


@pytest.fixture(scope="module")
def closed(worker_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service without documentation, whose metrics have a port of their own."""
    given = {"DATABASE_URL": worker_database, "METRICS_PORT": str(METRICS_PORT), "DOCS": "false"}
    with serving(tmp_path_factory.mktemp("closed"), **given) as running:
        yield running


class TestDocsOff:
    @pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/docs/assets/swagger-ui.css"])
    def test_answers_404(self, closed: Server, path: str) -> None:
        assert_problem(closed.client().get(path), 404, "not_found")

    def test_first_page_leads_nowhere(self, closed: Server) -> None:
        assert "docs" not in closed.client().get("/", headers={"Accept": "text/html"}).text
        assert set(closed.client().get("/").json()) == {"title", "version", "tasks"}


class TestMetricsOnAPortOfTheirOwn:
    def test_are_not_on_the_services_port(self, closed: Server) -> None:
        assert_problem(closed.client().get("/metrics"), 404, "not_found")

    def test_count_what_the_service_does(self, closed: Server) -> None:
        user = closed.user()
        user.create()
        text = httpx.get(f"http://127.0.0.1:{METRICS_PORT}/metrics").text

        assert 'todo_task_events_total{event="task.created"} 1.0' in text
        assert "process_resident_memory_bytes" in text

    def test_port_that_is_taken_is_one_sentence(self, closed: Server, tmp_path: Path) -> None:
        given = {"METRICS_PORT": str(METRICS_PORT), "DATABASE_URL": "postgresql://127.0.0.1:1/x"}
        sentence = r"^METRICS_PORT: [^\n]+ cannot be listened on: [^\n]+\.\n"
        with pytest.raises(AssertionError, match=sentence), serving(tmp_path, **given):
            pass


def test_metrics_that_are_off_are_nowhere() -> None:
    settings = Settings(
        _env_file=None, database_url="postgresql://127.0.0.1:1/x", better_auth_secret=SECRET, metrics_port=0
    )

    assert "/metrics" not in create_app(settings).openapi()["paths"]


class Database:
    """A database whose readiness is checked, and which answers when the test says so."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Any = [(True, True, "UTF8", False)]
        self.may_answer = asyncio.Event()

    async def run(self, *_: Any, **__: Any) -> Any:
        self.asked += 1
        await self.may_answer.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class TestReadiness:
    def test_is_checked_once_for_concurrent_requests(self) -> None:
        async def ask() -> int:
            database = Database()
            readiness = Readiness(database, "0001")  # type: ignore[arg-type]
            asking = [asyncio.create_task(readiness.require()) for _ in range(20)]
            await asyncio.sleep(0)
            database.may_answer.set()
            assert await asyncio.gather(*asking) == [False] * 20
            assert await readiness.require() is False
            return database.asked

        assert asyncio.run(ask()) == 1

    def test_is_asked_again_after_a_while(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(health, "READY_SECONDS", -1)

        async def ask() -> int:
            database = Database()
            database.may_answer.set()
            readiness = Readiness(database, "0001")  # type: ignore[arg-type]
            for _ in range(3):
                await readiness.require()
            return database.asked

        assert asyncio.run(ask()) == 3

    def test_that_is_missing_is_not_remembered(self) -> None:
        async def ask() -> int:
            database = Database()
            database.may_answer.set()
            database.answer = Unavailable("gone")
            readiness = Readiness(database, "0001")  # type: ignore[arg-type]
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await readiness.require()
            database.answer = [(True, True, "UTF8", False)]
            await readiness.require()
            return database.asked

        assert asyncio.run(ask()) == 3

    def test_client_that_leaves_takes_the_answer_from_nobody(self) -> None:
        async def ask() -> None:
            database = Database()
            readiness = Readiness(database, "0001")  # type: ignore[arg-type]
            leaving, staying = [asyncio.create_task(readiness.require()) for _ in range(2)]
            await asyncio.sleep(0)
            leaving.cancel()
            database.may_answer.set()
            await staying

            assert leaving.cancelled()

        asyncio.run(ask())
