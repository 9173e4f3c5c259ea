"""Every exception becomes a problem response: one that has a handler by it, any other a bare 500."""

from asyncio import CancelledError
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from todo_api.observability import failed, observe
from todo_api.problems import respond

Handler = Callable[[Request, Exception], Coroutine[Any, Any, Response]]

SHUTTING_DOWN = "The service is shutting down; please try again."


class FaultBoundary:
    """Answers every exception: one that has a handler by it, as FastAPI would, any other with a bare 500.

    Args:
        handlers: FastAPI's exception handlers, by class.
    """

    def __init__(self, app: ASGIApp, handlers: Mapping[int | type[Exception], Handler]) -> None:
        self._app = app
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            await self._app(scope, receive, send)
        except CancelledError:
            if "status" not in scope:  # the grace period of a shutdown is over
                await respond(scope, 503, SHUTTING_DOWN, headers={"Connection": "close"})(scope, receive, send)
            raise
        except Exception as error:
            if scope["type"] != "http":
                raise
            if "status" in scope:
                observe(failed(error))
                if "complete" not in scope:
                    raise  # half a response is out: only the server can cut the connection
                return
            handler = next((self._handlers[kind] for kind in type(error).__mro__ if kind in self._handlers), None)
            if handler is not None:
                response = await handler(Request(scope, receive), error)
            else:
                observe(failed(error))
                response = respond(scope, 500)
            await response(scope, receive, send)
