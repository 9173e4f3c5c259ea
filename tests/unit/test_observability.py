"""What the log and the metrics say of each event, and what they never say."""

import asyncio
import json
import logging
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.json import encode
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.conftest import CHATTY
from todo_api.observability import (
    METRICS,
    REQUEST_ID,
    AuthRejected,
    DatabaseFailed,
    Event,
    Log,
    RequestFailed,
    RequestServed,
    TaskEvent,
    TaskEventName,
    configure_logging,
    failure_event,
    observe,
)
from todo_api.tokens import Verifier

EVENTS: list[Event] = [
    TaskEvent(TaskEventName.CREATED, "ada", 7),
    AuthRejected("expired"),
    DatabaseFailed("SQLSTATE 57P01"),
    RequestFailed("KeyError", "routes/tasks.py:1"),
    RequestServed("GET", "/api/{user_id}/tasks", 200, 1.25),
]
HOSTILE = 'one\ntwo\r\nthree\x00four"five\\six\x1b[31m\tü😀'

library = logging.getLogger("some.library")

pytestmark = pytest.mark.usefixtures("logging_as_before")


@pytest.fixture(autouse=True)
def request_id() -> Iterator[str]:
    """The id of the request that is being served."""
    token = REQUEST_ID.set("r-1")
    yield "r-1"
    REQUEST_ID.reset(token)


class Output:
    """What the process wrote to standard output since the last call."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured

    def text(self) -> str:
        return self._captured.readouterr().out

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().split("\n") if line]


@pytest.fixture
def output(capfd: pytest.CaptureFixture[str]) -> Output:
    """Standard output of a service that logs in JSON."""
    configure_logging("INFO")
    return Output(capfd)


@pytest.fixture
def terminal(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Output:
    """Standard output of a service that logs to a terminal."""
    monkeypatch.setattr(os, "isatty", lambda _: True)
    configure_logging("INFO")
    return Output(capfd)


def fail(message: str) -> None:
    raise ValueError(message)


def counted(**labels: str) -> float:
    """How often events with these labels were counted."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(METRICS.exposition().decode())
        for sample in family.samples
        if sample.name.endswith(("_total", "_count")) and labels == sample.labels
    )


class TestJsonLines:
    @pytest.mark.parametrize(
        ("event", "level", "fields"),
        [
            (EVENTS[0], "info", {"event": "task.created", "user_id": "ada", "task_id": 7}),
            (EVENTS[1], "info", {"event": "auth.refused", "reason": "expired"}),
            (EVENTS[2], "error", {"event": "database.failed", "reason": "SQLSTATE 57P01"}),
            (EVENTS[3], "error", {"event": "request.failed", "error": "KeyError", "where": "routes/tasks.py:1"}),
            (
                EVENTS[4],
                "info",
                {
                    "event": "request",
                    "method": "GET",
                    "route": "/api/{user_id}/tasks",
                    "status": 200,
                    "milliseconds": 1.25,
                },
            ),
        ],
    )
    def test_event_is_one_object_on_one_line(
        self, output: Output, event: Event, level: str, fields: dict[str, Any]
    ) -> None:
        observe(event)
        (line,) = output.lines()

        assert {**line, "time": ""} == {"time": "", "level": level, **fields, "request_id": "r-1"}

    def test_time_level_and_event_come_first(self, output: Output) -> None:
        for event in EVENTS:
            observe(event)
        library.warning("something")

        assert [list(line)[:3] for line in output.lines()] == [["time", "level", "event"]] * (len(EVENTS) + 1)

    def test_time_is_utc_with_milliseconds(self, output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("time.time", lambda: 1_800_000_000.25)
        observe(EVENTS[0])

        assert output.lines()[0]["time"] == "2027-01-15T08:00:00.250Z"

    @pytest.mark.parametrize("name", TaskEventName)
    def test_every_task_event_has_its_documented_name(self, output: Output, name: TaskEventName) -> None:
        observe(TaskEvent(name, "ada", 7))

        assert output.lines()[0]["event"] == f"task.{name.name.lower()}"

    def test_line_outside_a_request_has_no_request_id(self, output: Output) -> None:
        REQUEST_ID.set(None)
        observe(EVENTS[0])

        assert "request_id" not in output.lines()[0]

    def test_no_value_starts_a_line_of_its_own(self, output: Output) -> None:
        observe(TaskEvent(TaskEventName.CREATED, HOSTILE, 7))
        text = output.text()

        assert [character for character in text if character < " "] == ["\n"]
        assert json.loads(text)["user_id"] == HOSTILE

    def test_foreign_line_keeps_its_first_line_and_its_logger(self, output: Output) -> None:
        library.warning("took %d ms\nTraceback: secret", 7)
        (line,) = output.lines()

        assert {**line, "time": ""} == {
            "time": "",
            "level": "warning",
            "event": "took 7 ms",
            "logger": "some.library",
            "request_id": "r-1",
        }

    def test_foreign_line_may_give_a_reason(self, output: Output) -> None:
        library.warning("connection failed", extra={"reason": HOSTILE})

        assert output.lines()[0]["reason"] == HOSTILE

    def test_foreign_line_that_is_no_text_is_written_nevertheless(self, output: Output) -> None:
        # Straight to our handler: the test runner's own cannot carry such a line.
        log = next(handler for handler in logging.getLogger().handlers if isinstance(handler, Log))
        log.emit(logging.makeLogRecord({"name": "some.library", "levelno": 30, "msg": "no such file: \udcff"}))

        assert output.lines()[0]["event"].startswith("no such file: ")

    def test_lines_of_a_running_event_loop_all_leave_in_order(self, output: Output) -> None:
        async def serve() -> None:
            for number in range(500):
                observe(TaskEvent(TaskEventName.CREATED, "ada", number))
                if number % 100 == 0:
                    await asyncio.sleep(0)

        asyncio.run(serve())

        assert [line["task_id"] for line in output.lines()] == list(range(500))

    def test_request_id_is_the_one_at_the_time_of_the_event(self, output: Output) -> None:
        async def serve(request_id: str) -> None:
            REQUEST_ID.set(request_id)
            observe(EVENTS[0])
            await asyncio.sleep(0)
            observe(EVENTS[1])

        async def both() -> None:
            await asyncio.gather(serve("a"), serve("b"))

        asyncio.run(both())

        assert sorted(line["request_id"] for line in output.lines()) == ["a", "a", "b", "b"]


class TestTextLines:
    def test_line_begins_with_time_level_and_event(self, terminal: Output) -> None:
        observe(EVENTS[0])
        line = terminal.text()

        assert re.fullmatch(r'\d\d:\d\d:\d\d INFO    task\.created user_id="ada" task_id=7 request_id="r-1"\n', line), (
            line
        )

    @pytest.mark.parametrize("event", EVENTS)
    def test_every_event_is_one_line(self, terminal: Output, event: Event) -> None:
        observe(event)

        assert re.fullmatch(rf"[0-9:]+ [A-Z]+ +{re.escape(json.loads(encode(event))['event'])} .+\n", terminal.text())

    def test_no_value_starts_a_line_of_its_own_or_controls_the_terminal(self, terminal: Output) -> None:
        observe(TaskEvent(TaskEventName.CREATED, HOSTILE, 7))
        library.warning(HOSTILE.replace("\n", " "), extra={"reason": HOSTILE})

        assert [character for character in terminal.text() if character < " "] == ["\n", "\n"]


class TestExceptions:
    @pytest.mark.parametrize("place", ["output", "terminal"])
    def test_they_are_logged_by_type_alone(self, place: str, request: pytest.FixtureRequest) -> None:
        output: Output = request.getfixturevalue(place)
        try:
            fail("secret in the message")
        except ValueError:
            library.exception("it failed")
        text = output.text()

        assert "it failed" in text
        assert "ValueError" in text
        assert [part for part in ("secret in the message", "Traceback", "raise ", __file__) if part in text] == []
        assert text.count("\n") == 1

    def test_line_without_an_exception_names_none(self, output: Output) -> None:
        library.error("it failed", exc_info=True)

        assert "error" not in output.lines()[0]

    def test_failed_tells_type_and_place_but_not_the_message(self) -> None:
        try:
            Verifier(7)  # type: ignore[arg-type]
        except AttributeError as error:
            event = failure_event(error)

        assert event.error == "AttributeError"
        assert re.fullmatch(r"tokens/verifier\.py:\d+", event.where)
        assert "'int'" not in f"{event}"

    def test_failed_elsewhere_is_of_unknown_place(self) -> None:
        assert failure_event(ValueError("secret")) == RequestFailed("ValueError", "unknown")


class TestConfigureLogging:
    @pytest.mark.parametrize("name", CHATTY)
    def test_libraries_that_tell_everything_they_do_tell_only_what_matters(self, name: str) -> None:
        configure_logging("INFO")

        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
        assert logging.getLogger(name).isEnabledFor(logging.WARNING)

    @pytest.mark.parametrize(
        ("level", "written"), [("DEBUG", [1, 2, 3, 4]), ("INFO", [2, 3, 4]), ("WARNING", [3, 4]), ("ERROR", [4])]
    )
    def test_level_is_the_lowest_that_is_written(self, output: Output, level: str, written: list[int]) -> None:
        configure_logging(level)
        for number in (1, 2, 3, 4):
            library.log(number * 10, "%d", number)

        assert [int(line["event"]) for line in output.lines()] == written

    @pytest.mark.parametrize(
        ("level", "written"), [("INFO", ["auth.refused", "database.failed"]), ("ERROR", ["database.failed"])]
    )
    def test_level_holds_for_events_too(self, output: Output, level: str, written: list[str]) -> None:
        configure_logging(level)
        observe(EVENTS[1])
        observe(EVENTS[2])

        assert [line["event"] for line in output.lines()] == written

    def test_servers_own_access_line_is_silent(self, output: Output) -> None:
        logging.getLogger("uvicorn.access").info("GET /api/ada/tasks")
        logging.getLogger("uvicorn.error").info("started")

        assert [line["event"] for line in output.lines()] == ["started"]

    def test_configuring_twice_writes_each_line_once(self, output: Output) -> None:
        configure_logging("INFO")
        observe(EVENTS[0])
        library.warning("something")

        assert len(output.lines()) == 2


class TestMetrics:
    @pytest.mark.parametrize(
        ("event", "labels"),
        [
            (TaskEvent(TaskEventName.REOPENED, "ada", 7), {"event": "task.reopened"}),
            (AuthRejected("nbf in the future"), {"reason": "nbf in the future"}),
            (DatabaseFailed("SQLSTATE 57P01"), {"event": "database.failed"}),
            (RequestFailed("KeyError", "x.py:1"), {"event": "request.failed"}),
            (
                RequestServed("PUT", "/api/{user_id}/tasks/{id}", 412, 2.0),
                {"method": "PUT", "route": "/api/{user_id}/tasks/{id}", "status": "412"},
            ),
            (
                RequestServed("BREW", "unmatched", 405, 2.0),
                {"method": "other", "route": "unmatched", "status": "405"},
            ),
        ],
    )
    def test_observed_event_is_counted_once(self, output: Output, event: Event, labels: dict[str, str]) -> None:
        before = counted(**labels)
        observe(event)

        assert counted(**labels) == before + 1

    @pytest.mark.parametrize(
        ("milliseconds", "line"),
        [
            (1500.0, r'todo_http_request_duration_seconds_sum\{.*route="/sum".*\} 1\.5'),
            (4000.0, r'todo_http_request_duration_seconds_bucket\{le="2\.5",.*route="/slow".*\} 0\.0'),
            (4000.0, r'todo_http_request_duration_seconds_bucket\{le="5\.0",.*route="/slower".*\} 1\.0'),
        ],
    )
    def test_duration_is_in_seconds(self, output: Output, milliseconds: float, line: str) -> None:
        route = re.findall('route="([^"]+)"', line)[0]
        observe(RequestServed("GET", route, 200, milliseconds))

        assert re.search(f"^{line}$", METRICS.exposition().decode(), re.MULTILINE)

    def test_events_count_even_when_the_log_is_silent(self, output: Output) -> None:
        configure_logging("ERROR")
        before = counted(reason="missing")
        observe(AuthRejected("missing"))

        assert counted(reason="missing") == before + 1
        assert output.text() == ""

    def test_no_label_names_a_user_or_a_task(self, output: Output) -> None:
        observe(TaskEvent(TaskEventName.DELETED, "a-very-special-user", 987654321))

        assert [text for text in (b"a-very-special-user", b"987654321") if text in METRICS.exposition()] == []
