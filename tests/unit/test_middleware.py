"""What the straight line does with a request by itself: exceptions, ids, hosts, paths."""

import asyncio
import json
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from typing_extensions import override

from tests.harness import SECRET
from todo_api.app import create_app
from todo_api.middleware import access_log, errors, fair_queue, host
from todo_api.middleware.path import read_path
from todo_api.observability import RequestFailed, RequestServed
from todo_api.settings import Settings
from todo_api.tokens import SAMPLE_USER, sample_token

Message = dict[str, Any]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was observed."""
    events: list[Any] = []
    for module in (access_log, errors):
        monkeypatch.setattr(module, "observe", events.append)
    return events


def service(**options: Any) -> FastAPI:
    settings = Settings(_env_file=None, database_url="postgresql://127.0.0.1:1/x", better_auth_secret=SECRET)
    return create_app(settings, **options)


def send_to(app: FastAPI, path: str = "/x", error: type[BaseException] | None = None, **scope: Any) -> list[Message]:
    """What is sent to the client of one request, and the exception that passes through, if any."""
    sent: list[Message] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("the body is not read")

    given = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], **scope}
    if error is None:
        asyncio.run(app(given, receive, send))
    else:
        with pytest.raises(error):
            asyncio.run(app(given, receive, send))
    return sent


def raising(error: BaseException, *before: Message) -> FastAPI:
    """A service one of whose routes raises, after these messages were sent."""
    app = service()

    class Raising(Response):
        @override
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            for message in before:
                await send(message)
            raise error

    @app.get("/x")
    async def route() -> Response:
        return Raising()

    return app


START = {"type": "http.response.start", "status": 200, "headers": []}
PIECE = {"type": "http.response.body", "body": b"x", "more_body": True}
END = {"type": "http.response.body", "body": b"x"}


class TestUnexpectedException:
    def test_is_a_bare_500_and_its_kind_is_logged_without_its_words(self, seen: list[Any]) -> None:
        start, body = send_to(raising(ValueError("very private")))

        assert start["status"] == 500
        assert b"very private" not in body["body"]
        assert json.loads(body["body"])["request_id"].encode() == dict(start["headers"])[b"x-request-id"]
        assert [type(event) for event in seen] == [RequestFailed, RequestServed]
        assert (seen[0].error, seen[1].status) == ("ValueError", 500)
        assert "very private" not in str(seen)

    def test_goes_on_to_the_server_once_half_a_response_is_out(self, seen: list[Any]) -> None:
        sent = send_to(raising(ValueError(), START, PIECE), error=ValueError)

        assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
        assert [type(event) for event in seen] == [RequestFailed, RequestServed]

    def test_is_logged_and_goes_no_further_once_the_response_is_complete(self, seen: list[Any]) -> None:
        assert len(send_to(raising(ValueError(), START, END))) == 2
        assert [type(event) for event in seen] == [RequestFailed, RequestServed]

    def test_that_has_a_handler_is_logged_as_a_fault_once_a_response_has_started(self, seen: list[Any]) -> None:
        send_to(raising(HTTPException(404), START, PIECE), error=HTTPException)

        assert [type(event) for event in seen] == [RequestFailed, RequestServed]


class TestExceptionHandler:
    @pytest.mark.parametrize("key", [ZeroDivisionError, ArithmeticError, 418])
    def test_that_was_added_is_called(self, key: Any) -> None:
        app = raising(HTTPException(418) if key == 418 else ZeroDivisionError())

        @app.exception_handler(key)
        async def handle(request: Request, error: Exception) -> Response:
            return PlainTextResponse(request.url.path, 418)

        assert [message.get("status", message.get("body")) for message in send_to(app)] == [418, b"/x"]

    def test_may_be_an_ordinary_function(self) -> None:
        app = raising(ZeroDivisionError())
        app.add_exception_handler(ZeroDivisionError, lambda request, error: PlainTextResponse("handled", 418))

        assert send_to(app)[0]["status"] == 418

    def test_that_fails_itself_is_a_bare_500(self, seen: list[Any]) -> None:
        app = raising(ZeroDivisionError())

        @app.exception_handler(ZeroDivisionError)
        def broken(request: Request, error: Exception) -> Response:
            raise KeyError

        assert send_to(app)[0]["status"] == 500
        assert [type(event) for event in seen] == [RequestFailed, RequestServed]


class TestCancelledRequest:
    def test_is_told_that_the_service_is_shutting_down(self) -> None:
        start, body = send_to(raising(asyncio.CancelledError()), error=asyncio.CancelledError)

        assert start["status"] == 503
        assert {(b"connection", b"close"), (b"retry-after", b"1")} <= set(start["headers"])
        assert json.loads(body["body"])["detail"] == errors.SHUTTING_DOWN

    def test_is_told_nothing_more_once_its_response_has_started(self) -> None:
        assert send_to(raising(asyncio.CancelledError(), START), error=asyncio.CancelledError) == [
            {**START, "headers": START["headers"]}
        ]


class TestExtensions:
    def test_middleware_that_is_added_meets_requests_first(self) -> None:
        app = service()

        class Teapot:
            def __init__(self, app: Any, status: int) -> None:
                self.app, self.status = app, status

            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                await PlainTextResponse("", self.status)(scope, receive, send)

        app.add_middleware(Teapot, 418)

        assert send_to(app, "/health")[0]["status"] == 418

    def test_router_that_is_included_is_served_protected_and_named_by_its_template(self, seen: list[Any]) -> None:
        router = APIRouter()

        @router.get("/notes")
        async def notes() -> str:
            return "notes"

        app = service()
        app.include_router(router, prefix="/api/{user_id}")
        app.include_router(router, prefix="/open")

        assert send_to(app, "/open/notes")[0]["status"] == 200
        assert send_to(app, "/api/x/notes")[0]["status"] == 401
        assert [event.route for event in seen] == ["/open/notes", "/api/{user_id}/notes"]

    def test_route_with_a_converter_is_served(self, seen: list[Any]) -> None:
        app = service()

        @app.get("/files/{path:path}")
        async def files(path: str) -> str:
            return path

        assert send_to(app, "/files/a/b")[1]["body"] == b'"a/b"'
        assert [event.route for event in seen] == ["/files/{path}"]

    @pytest.mark.parametrize(("name", "value"), [("max_body_size", 10), ("root_path", "/backend")])
    def test_options_that_would_be_dropped_are_rejected_at_start_up(self, name: str, value: Any) -> None:
        app = service()
        setattr(app, name, value)

        with pytest.raises(TypeError, match=name):
            app.build_middleware_stack()


class TestParkedRequest:
    def test_server_is_told_whose_it_is_once_its_token_was_verified(self) -> None:
        authorization = b"Bearer " + sample_token(SecretStr(SECRET)).encode()
        head = b"GET / HTTP/1.1\r\nAuthorization: " + authorization + b"\r\n"
        app = service()
        assert app.state.key_of(head) is None
        sent = send_to(app, "/api/somebody-else/tasks", headers=[(b"authorization", authorization)])

        assert sent[0]["status"] == 403
        assert app.state.key_of(head) == SAMPLE_USER

    def test_time_that_it_was_parked_counts_as_waiting_for_a_slot(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fair_queue, "MAX_SLOTS_PER_USER", 0)
        monkeypatch.setattr(fair_queue, "MAX_WAIT_SECONDS", 3600)
        monkeypatch.setattr(fair_queue, "REJECTION_DELAY_SECONDS", 0)
        headers = [(b"authorization", f"Bearer {sample_token(SecretStr(SECRET))}".encode())]
        sent = send_to(service(), "/api/tasks", headers=headers, parked_seconds=3600)

        assert sent[0]["status"] == 503
        assert json.loads(sent[1]["body"])["detail"] == fair_queue.OVERLOADED


class TestPath:
    def read(self, path: str, **scope: Any) -> tuple[list[str], str]:
        given = {"path": path, **scope}
        return read_path(given), given["path"]

    @pytest.mark.parametrize(
        ("path", "raw_path", "segments"),
        [
            ("/a/b", None, ["", "a", "b"]),
            ("/a/b", b"/a%2Fb", ["", "a/b"]),
            ("/a/b/", None, ["", "a", "b"]),
            ("/a/b//", None, ["", "a", "b", ""]),
            ("/a/b/", b"/a/b%2F", ["", "a", "b/"]),
            ("/", None, ["", ""]),
            ("/metrics/", None, ["", "metrics", ""]),
            ("/docs/", None, ["", "docs", ""]),
            ("/é", None, ["", "é"]),
            ("/\ufffd", b"/%FF", ["", "\udcff"]),
            ("/metrics", b"/%6detrics", []),
            ("/docs", b"/%64ocs", []),
            ("/a\n", b"/a%0A", []),
            ("/a\x7f", None, []),
            ("/a\x85", b"/a%C2%85", []),
            ("/a\u200b", None, ["", "a\u200b"]),
        ],
    )
    def test_is_decoded_once_segment_by_segment(self, path: str, raw_path: bytes | None, segments: list[str]) -> None:
        assert self.read(path, **({} if raw_path is None else {"raw_path": raw_path}))[0] == segments

    @pytest.mark.parametrize(
        ("root_path", "path", "raw_path", "segments"),
        [
            ("/b", "/b/a/c", b"/b/a/c", ["", "a", "c"]),
            ("/b/", "/b/a/c", b"/b/a/c", ["", "a", "c"]),
            ("/b", "/a/c", b"/a/c", ["", "a", "c"]),
            ("/b", "/bb/c", b"/bb/c", ["", "bb", "c"]),
            ("/b", "/b/b/c", b"/b/b/c", ["", "b", "c"]),
            ("/ü", "/ü/a", b"/%C3%BC/a", ["", "a"]),
            ("/ü", "/ü/a", "/ü/a".encode(), ["", "a"]),
            ("/b", "/b/a/c", b"/%62/a%2Fc", ["", "a", "c"]),
        ],
    )
    def test_has_no_root_path(self, root_path: str, path: str, raw_path: bytes, segments: list[str]) -> None:
        found, remaining = self.read(path, raw_path=raw_path, root_path=root_path)

        assert found == segments
        assert remaining == "/".join(segments)

    def test_root_path_is_still_known_to_what_makes_urls(self) -> None:
        app = service()

        @app.get("/x")
        async def route(request: Request) -> str:
            return str(request.url_for("route"))

        headers = [(b"host", b"example.com")]

        assert send_to(app, "/b/x", root_path="/b", headers=headers)[1]["body"] == b'"http://example.com/b/x"'


class TestHost:
    @pytest.mark.parametrize(
        "name",
        [
            "localhost",
            "LOCALHOST",
            "localhost:8000",
            "localhost.",
            "a.localhost:1",
            "127.0.0.1",
            "127.1.2.3:80",
            "[::1]",
            "[::1]:80",
        ],
    )
    def test_is_a_loopback_name(self, name: str) -> None:
        assert host.is_loopback(name)

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "0.0.0.0",
            "192.168.0.1",
            "[::2]",
            "[::1",
            "notlocalhost",
            "2130706433",
        ],
    )
    def test_is_none(self, name: str) -> None:
        assert not host.is_loopback(name)

    @pytest.mark.parametrize("path", ["/health", "/docs", "/api/x/tasks", "/x"])
    def test_that_is_foreign_is_answered_421_while_a_sample_secret_is_in_use(self, path: str) -> None:
        headers = [(b"host", b"attacker.example:8000")]
        (start, body) = send_to(service(sample_secret=SecretStr(SECRET)), path, headers=headers)

        assert start["status"] == 421
        assert json.loads(body["body"])["code"] == "misdirected_request"
        assert send_to(service(), path, headers=headers)[0]["status"] != 421
