"""The service with routes that fail, for servers that import an application.

``uvicorn tests.faulty:app``.
"""

from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from todo_api.app import create_app
from todo_api.observability import configure_logging
from todo_api.settings import Settings, load_settings


def faulty_app(settings: Settings) -> FastAPI:
    """The service and a few ordinary FastAPI endpoints with a fault."""
    app = create_app(settings)

    @app.get("/fails")
    async def fails() -> None:
        raise RuntimeError("very private")

    class FailsAfterwards(PlainTextResponse):
        @override
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await super().__call__(scope, receive, send)
            raise RuntimeError("very private")

    @app.get("/fails-afterwards")
    async def fails_afterwards() -> PlainTextResponse:
        return FailsAfterwards("complete")

    async def half() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("very private")

    @app.get("/fails-halfway")
    async def fails_halfway() -> StreamingResponse:
        return StreamingResponse(half())

    return app


def __getattr__(name: str) -> FastAPI:
    """``app`` is made when a server asks for it, not when a test imports this module."""
    if name != "app":
        raise AttributeError(name)
    settings = load_settings()
    configure_logging(settings.log_level)
    return faulty_app(settings)
