"""What the application relies on in FastAPI beyond its documentation, a test for each thing."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from starlette.exceptions import HTTPException

SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "GET",
    "path": "/x",
    "query_string": b"",
    "headers": [],
    "http_version": "1.1",
}


async def receive() -> Any:
    raise AssertionError("nothing is read")


async def send(message: Any) -> None:
    """Forget it."""


def test_router_behind_the_exit_stack_serves_and_lets_exceptions_pass() -> None:
    """``TodoApi`` leaves the exception middlewares out, so that exceptions reach ours."""
    application = FastAPI()

    @application.get("/x")
    async def endpoint() -> None:
        raise KeyError("x")

    router = AsyncExitStackMiddleware(application.router)
    with pytest.raises(KeyError):
        asyncio.run(router(dict(SCOPE), receive, send))
    with pytest.raises(HTTPException) as missing:
        asyncio.run(router({**SCOPE, "path": "/y", "app": application}, receive, send))
    with pytest.raises(HTTPException) as method:
        asyncio.run(router({**SCOPE, "method": "PUT", "app": application}, receive, send))

    assert (missing.value.status_code, method.value.status_code) == (404, 405)


def test_application_serves_from_middleware_stack_and_opens_the_span_around_it() -> None:
    """``TodoApi`` puts its own stack there, and ``complete_request_span`` fills the span in."""
    recording = []

    async def stack(scope: Any, receive: Any, send: Any) -> None:
        recording.append(trace.get_current_span().is_recording())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    traced: TelemetryConfig = {"metrics": False, "logs": False, "tracer_provider": TracerProvider()}
    untraced: TelemetryConfig = {"metrics": False, "logs": False, "tracing": False}
    for telemetry in (traced, untraced):
        application = FastAPI(telemetry=telemetry)
        application.middleware_stack = stack
        asyncio.run(application(dict(SCOPE), receive, send))

    assert recording == [True, False]


def test_exception_handlers_that_are_given_stay() -> None:
    """``HANDLERS`` are ours, also where FastAPI has its own."""

    async def handler(request: Any, error: Any) -> Any:
        raise AssertionError

    application = FastAPI(exception_handlers={HTTPException: handler})

    assert application.exception_handlers[HTTPException] is handler
