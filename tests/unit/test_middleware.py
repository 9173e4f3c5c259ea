"""What ``FaultBoundary`` does with exceptions that nobody further in has an answer for."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from todo_api.middleware import access_log, errors
from todo_api.middleware.access_log import Observer
from todo_api.middleware.errors import FaultBoundary
from todo_api.observability import RequestFailed, RequestServed

Message = dict[str, Any]


def visit(app: Any, error: type[BaseException] | None = None, **scope: Any) -> list[Message]:
    """What is sent to the client of one request; the exception that passes through, if one should."""
    sent: list[Message] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nobody reads")

    given = {"type": "http", "method": "GET", "path": "/", "headers": [], "request_id": "a1", **scope}
    if error is None:
        asyncio.run(app(given, receive, send))
    else:
        with pytest.raises(error):
            asyncio.run(app(given, receive, send))
    return sent


def raising(error: BaseException) -> Callable[..., Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    return app


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was written down."""
    events: list[Any] = []
    for module in (access_log, errors):
        monkeypatch.setattr(module, "observe", events.append)
    return events


class TestUnexpectedException:
    def test_is_a_bare_500_and_its_kind_is_logged_without_its_words(self, seen: list[Any]) -> None:
        start, body = visit(FaultBoundary(raising(ValueError("very private")), {}))

        assert start["status"] == 500
        assert b"very private" not in body["body"]
        assert json.loads(body["body"])["request_id"] == "a1"
        assert [(type(event), event.error) for event in seen] == [(RequestFailed, "ValueError")]
        assert "very private" not in str(seen)

    def test_passes_to_the_server_once_half_an_answer_is_out(self, seen: list[Any]) -> None:
        assert visit(FaultBoundary(raising(ValueError()), {}), ValueError, status=200) == []
        assert [type(event) for event in seen] == [RequestFailed]

    def test_is_logged_and_goes_no_further_once_the_answer_is_complete(self, seen: list[Any]) -> None:
        assert visit(FaultBoundary(raising(ValueError()), {}), status=200, complete=True) == []
        assert [type(event) for event in seen] == [RequestFailed]

    def test_passes_when_there_is_no_request_to_answer(self) -> None:
        assert visit(FaultBoundary(raising(ValueError()), {}), ValueError, type="lifespan") == []


class TestCancelledRequest:
    def test_is_told_that_the_service_is_shutting_down(self) -> None:
        start, body = visit(FaultBoundary(raising(asyncio.CancelledError()), {}), asyncio.CancelledError)

        assert start["status"] == 503
        assert {(b"connection", b"close"), (b"retry-after", b"1")} <= set(start["headers"])
        assert json.loads(body["body"])["detail"] == errors.SHUTTING_DOWN

    def test_is_told_nothing_more_once_its_answer_has_begun(self) -> None:
        assert visit(FaultBoundary(raising(asyncio.CancelledError()), {}), asyncio.CancelledError, status=200) == []


def test_request_that_ends_without_an_answer_is_logged_as_500(seen: list[Any]) -> None:
    visit(Observer(raising(ValueError()), []), ValueError)

    assert [(type(event), event.status) for event in seen] == [(RequestServed, 500)]
