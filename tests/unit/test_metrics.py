"""Tallies of several processes in one directory, and what happens when it cannot be written."""

import asyncio
import logging
import shutil
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness import free_port
from todo_api.observability import AuthRejected, Metrics, RequestServed, TaskEvent, TaskEventName
from todo_api.observability import metrics as module

CREATED = TaskEvent(TaskEventName.CREATED, "ada", 7)
SERVED = RequestServed("GET", "/health", 200, 3.0)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """The value of one sample of the exposition."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    found = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in found if labels.items() <= sample.labels.items())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "metrics"


class TestSeveralProcesses:
    def test_exposition_of_each_adds_up_what_all_wrote(self, directory: Path) -> None:
        one, other = Metrics(directory), Metrics(directory)
        for metrics in (one, one, other):
            metrics.count(CREATED)
            metrics.count(SERVED)

        for metrics in (one, other):
            assert value(metrics, "todo_task_events_total", event="task.created") == 3
            assert value(metrics, "todo_http_request_duration_seconds_count", route="/health") == 3
            assert value(metrics, "todo_http_request_duration_seconds_sum", route="/health") == pytest.approx(0.009)
            assert value(metrics, "todo_http_request_duration_seconds_bucket", le="0.0025") == 0
            assert value(metrics, "todo_http_request_duration_seconds_bucket", le="0.005") == 3
            assert value(metrics, "todo_http_request_duration_seconds_bucket", le="+Inf") == 3

    def test_what_a_process_that_is_gone_counted_stays(self, directory: Path) -> None:
        Metrics(directory).count(CREATED)

        assert value(Metrics(directory), "todo_task_events_total") == 1

    def test_many_events_of_an_event_loop_are_written_once(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "WRITE_SECONDS", 0)
        one, other = Metrics(directory), Metrics(directory)

        async def count() -> None:
            for expected in (100, 200):
                for _ in range(100):
                    one.count(CREATED)
                assert value(other, "todo_task_events_total") == expected - 100
                for _ in range(3):  # a timer that is due runs in the next iteration
                    await asyncio.sleep(0)
                assert value(other, "todo_task_events_total") == expected

        asyncio.run(count())

    def test_file_that_is_no_tally_is_left_out(self, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
        metrics = Metrics(directory)
        metrics.count(CREATED)
        (directory / "1-x.json").write_bytes(b"{")

        assert value(metrics, "todo_task_events_total") == 1
        assert [record.levelname for record in caplog.records if "cannot be read" in record.message] == ["WARNING"]


class TestDirectory:
    def test_that_is_gone_is_made_again_and_nothing_counted_is_lost(self, directory: Path) -> None:
        one, other = Metrics(directory), Metrics(directory)
        one.count(CREATED)
        shutil.rmtree(directory)

        assert value(other, "todo_task_events_total") == 0
        one.count(CREATED)
        assert value(other, "todo_task_events_total") == 2

    def test_that_cannot_be_made_is_logged_once_and_fails_nothing(
        self, directory: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        directory.write_text("a file")
        metrics = Metrics(directory)
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                metrics.count(AuthRejected("missing"))

        assert [record.message for record in caplog.records] == ["metrics cannot be written: File exists"]
        assert value(metrics, "todo_auth_refusals_total", reason="missing") == 3

        directory.unlink()
        metrics.count(SERVED)
        assert len(list(directory.glob("*.json"))) == 1
        shutil.rmtree(directory)
        directory.write_text("a file")
        metrics.count(SERVED)
        assert len(caplog.records) == 2


def test_port_of_their_own_counts_what_all_processes_wrote(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(directory))
    Metrics(directory).count(CREATED)
    port = free_port()
    module.serve_metrics("127.0.0.1", port)
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text

    assert 'todo_task_events_total{event="task.created"} 1.0' in text
    assert "process_resident_memory_bytes" not in text


def test_process_by_itself_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    metrics = Metrics(None)
    metrics.count(CREATED)
    metrics.write()

    assert list(tmp_path.iterdir()) == []
