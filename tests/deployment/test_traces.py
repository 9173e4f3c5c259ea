"""Traces, as an OpenTelemetry collector receives them from the running service."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.deployment.collector import Collector, attributes, collecting
from tests.harness import Server, cloned_database, serving
from todo_api.settings import load_settings

LIST = "/api/{user_id}/tasks"
TASK = "/api/{user_id}/tasks/{id}"
CANARY = "xylophone"
OUTER_TRACE = "0af7651916cd43dd8448eb211c80319c"  # pragma: allowlist secret


def play(server: Server) -> str:
    """One request of each kind that a test looks at; the id of its user."""
    user = server.user()
    task = user.create(f"Buy a {CANARY}", description=f"A {CANARY}")
    user.http.put(user.path(task), json={"title": f"Sell a {CANARY}"}, headers={"X-Request-ID": "an-update"})
    user.http.get(user.path(task), headers={"traceparent": f"00-{OUTER_TRACE}-b7ad6b7169203331-01"})
    user.http.get(user.base, params={"search": CANARY})
    user.http.get(f"{user.base}/999999999")
    user.http.delete(user.path(task))
    httpx.get(f"{server.url}{user.base}")
    httpx.get(f"{server.url}/no/such/{CANARY}")
    httpx.get(f"{server.url}/health")
    return user.id


@pytest.fixture(scope="module")
def collector(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """What was exported when the service had served, seen its tables go, and stopped."""
    with collecting() as collector, cloned_database(postgres) as url:
        given = {"DATABASE_URL": url, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        with serving(tmp_path_factory.mktemp("traced"), **given) as server:
            play(server)
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("ALTER TABLE tasks RENAME TO gone")
            user = server.user()
            assert user.http.get(user.base).status_code == 503
            assert server.stop() == 0
        yield collector


def test_request_is_a_span_named_by_its_route_template(collector: Collector) -> None:
    (span,) = collector.requests(http_request_method="PUT")

    assert span.name == f"PUT {TASK}"
    assert attributes(span)["http.route"] == TASK
    assert attributes(span)["http.response.status_code"] == 200


def test_request_span_carries_the_request_id(collector: Collector) -> None:
    assert len(collector.requests(todo_request_id="an-update")) == 1
    assert all(attributes(span)["todo.request_id"] for span in collector.requests())


@pytest.mark.parametrize(
    ("method", "route", "summary"),
    [
        ("POST", LIST, "INSERT tasks"),
        ("PUT", TASK, "UPDATE tasks"),
        ("GET", TASK, "SELECT tasks"),
        ("DELETE", TASK, "DELETE tasks"),
    ],
)
def test_database_call_is_the_one_span_inside(method: str, route: str, summary: str, collector: Collector) -> None:
    span = collector.requests(
        http_request_method=method, http_route=route, http_response_status_code={"POST": 201}.get(method, 200)
    )[0]
    (inner,) = collector.inside(span)

    assert inner.name == summary
    assert attributes(inner)["db.system.name"] == "postgresql"
    assert inner.kind == inner.SPAN_KIND_CLIENT
    assert span.start_time_unix_nano <= inner.start_time_unix_nano
    assert inner.end_time_unix_nano <= span.end_time_unix_nano


def test_span_continues_the_callers_trace(collector: Collector) -> None:
    joined = [span for span in collector.spans if span.trace_id.hex() == OUTER_TRACE]

    assert {span.name for span in joined} == {"SELECT tasks", f"GET {TASK}"}


@pytest.mark.parametrize("status", [401, 404])
def test_rejection_is_no_error(status: int, collector: Collector) -> None:
    rejected = collector.requests(http_response_status_code=status)

    assert rejected
    assert all(span.status.code == span.status.STATUS_CODE_UNSET for span in rejected)


def test_rejected_token_reaches_no_database_but_has_its_route(collector: Collector) -> None:
    (span,) = collector.requests(http_response_status_code=401)

    assert span.name == f"GET {LIST}"
    assert collector.inside(span) == []


def test_unknown_path_has_no_route(collector: Collector) -> None:
    unknown = [
        span for span in collector.requests(http_response_status_code=404) if attributes(span)["url.path"] == "REDACTED"
    ]

    assert [(span.name, "http.route" in attributes(span)) for span in unknown] == [("GET", False)]


def test_failure_of_the_database_is_an_error_in_both_spans(collector: Collector) -> None:
    (span,) = collector.requests(http_response_status_code=503)
    (inner,) = collector.inside(span)

    assert span.status.code == inner.status.code == span.status.STATUS_CODE_ERROR
    assert attributes(inner)["error.type"] == "SchemaMissing"


def test_nothing_that_people_wrote_is_exported(collector: Collector) -> None:
    assert attributes(collector.requests(url_query="REDACTED")[0])["http.route"] == LIST
    assert CANARY.encode() not in collector.raw
    assert b"WHERE" not in collector.raw
    assert b"Bearer" not in collector.raw


def test_service_names_itself(collector: Collector) -> None:
    assert {resource["service.name"] for resource in collector.resources} == {"todo-api"}


def test_collector_that_does_not_answer_fails_no_request(postgres: str, tmp_path: Path) -> None:
    with cloned_database(postgres) as url:
        given = {
            "DATABASE_URL": url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        with serving(tmp_path, **given) as server:
            user = server.user()

            assert [user.create()["title"] for _ in range(3)] == ["Buy milk"] * 3
            started = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - started < 6


def test_endpoint_without_the_extra_stops_the_start_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    with pytest.raises(SystemExit) as caught:
        load_settings()

    assert caught.value.code == (
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, so the extra otel must be installed: `.venv/bin/pip install -e '.[otel]'` in the repository."
    )
