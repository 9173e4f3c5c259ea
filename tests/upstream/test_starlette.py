"""What we rely on in Starlette beyond its documentation, a test for each thing."""

import asyncio
from inspect import signature
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from typing_extensions import override

SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "GET",
    "path": "/x",
    "root_path": "",
    "query_string": b"",
    "headers": [(b"host", b"example.com")],
    "http_version": "1.1",
}


async def receive() -> Any:
    raise AssertionError("nothing is read")


def test_application_calls_what_build_middleware_stack_returns_and_caches_it() -> None:
    """``TodoApi`` overrides it, so that our middleware stands around the router."""
    calls: list[str] = []

    class Application(Starlette):
        @override
        def build_middleware_stack(self) -> Any:
            async def stack(scope: Any, receive: Any, send: Any) -> None:
                assert scope["app"] is self
                calls.append(scope["path"])

            calls.append("built")
            return stack

    application = Application()
    for _ in range(2):
        asyncio.run(application(dict(SCOPE), receive, receive))  # type: ignore[arg-type]

    assert calls == ["built", "/x", "/x"]
    assert application.middleware_stack is not None


def test_added_middleware_is_a_class_with_arguments() -> None:
    """``TodoApi.build_middleware_stack`` puts ``add_middleware``'s around ours."""

    class Added:
        def __init__(self, app: Any, name: str) -> None:
            self.name = name

    application = Starlette()
    application.add_middleware(Added, name="x")  # type: ignore[arg-type]
    middleware: Any = application.user_middleware[0]

    assert (middleware.cls, middleware.args, middleware.kwargs) == (Added, (), {"name": "x"})


def test_url_for_finds_the_prefix_in_app_root_path() -> None:
    """``read_path`` moves the root path there, as ``Mount`` does."""

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(str(request.url_for("inner")))

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    application = Starlette(routes=[Route("/x", endpoint, name="inner")])
    asyncio.run(application({**SCOPE, "app_root_path": "/backend"}, receive, send))
    assert sent[1]["body"] == b"http://example.com/backend/x"

    _, mounted = Mount("/m", application).matches({**SCOPE, "path": "/backend/m/x", "root_path": "/backend"})
    assert mounted["app_root_path"] == "/backend"


def test_response_sends_its_raw_headers_in_one_start_and_its_body_in_one_message() -> None:
    """``ResponseSender`` adds headers to the start, and takes ``more_body`` for the end."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    response = Response(b"x", headers={"A": "b"})
    asyncio.run(response(dict(SCOPE), receive, send))

    assert sent == [
        {"type": "http.response.start", "status": 200, "headers": response.raw_headers},
        {"type": "http.response.body", "body": b"x"},
    ]


def test_response_that_sets_body_status_background_and_raw_headers_is_whole() -> None:
    """``ProblemResponse`` and the representations skip the constructor."""
    assert set(vars(Response(b"x"))) == {"body", "status_code", "background", "raw_headers"}
    assert "status_code" in signature(Response).parameters
