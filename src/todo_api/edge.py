"""The outermost rooms: what every request meets first and every answer passes last.

``Observer`` gives the request its id and the log its access line, and irons out HEAD and trailing
slashes. ``Cors`` speaks to browsers. ``FaultBoundary`` answers what was raised behind it. All are plain ASGI: they never raise a refusal, they send one.
"""

import random
import re
import time
from asyncio import CancelledError
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from todo_api.observability import REQUEST_ID, RequestServed, failed, observe
from todo_api.problems import respond

Handler = Callable[[Request, Exception], Coroutine[Any, Any, Response]]

_USABLE_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_VARY: Final = (b"vary", b"Origin")  # what Cors adds depends on it
UNMATCHED = "unmatched"
SHUTTING_DOWN = "The service is shutting down; please try again."


class Observer:
    """Request id, access line and metrics for every request; ``Vary`` for every answer.

    Args:
        routes: where a request that was refused before it reached its route finds the template.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = [route for route in routes if isinstance(route, Route)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        REQUEST_ID.set(request_id)
        scope["request_id"] = request_id  # the connection answers with it, too
        inner = _plain(scope)
        bodyless = scope["method"] == "HEAD"

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                inner["status"] = message["status"]
                message["headers"] = [*message["headers"], _VARY, (b"x-request-id", request_id.encode())]
            elif bodyless:
                message = {"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)}
            await send(message)

        try:
            await self._app(inner, receive, send_with_id)
        finally:
            route = inner.get("route") or self._route(inner["path"])
            milliseconds = round((time.perf_counter() - started) * 1000, 3)
            template = UNMATCHED if route is None else route.path_format
            observe(RequestServed(scope["method"], template, inner.get("status", 500), milliseconds))

    def _route(self, path: str) -> Route | None:
        return next((route for route in self._routes if route.path_regex.match(path)), None)


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
            if scope["type"] != "http" or "status" in scope:
                raise  # half an answer is out: only the server can cut the connection
            handler = next((self._handlers[kind] for kind in type(error).__mro__ if kind in self._handlers), None)
            if handler is not None:
                response = await handler(Request(scope, receive), error)
            else:
                observe(failed(error))
                response = respond(scope, 500)
            await response(scope, receive, send)


def _request_id(scope: Scope) -> str:
    """The client's ``X-Request-ID`` when it is usable, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _USABLE_ID.fullmatch(value):
            return str(value, "ascii")
    return f"{random.getrandbits(64):016x}"  # to be found again, not to be guessed at


def _plain(scope: Scope) -> Scope:
    """The scope with one trailing slash gone; a copy, in which HEAD is GET, where the server needs to know."""
    path = scope["path"]
    if not scope.get("raw_path"):
        scope["raw_path"] = quote(path).encode()  # optional in ASGI, but auth reads it
    if len(path) > 1 and path.endswith("/"):
        scope["path"], scope["raw_path"] = path[:-1], scope["raw_path"].removesuffix(b"/")
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope


class Cors(CORSMiddleware):
    """Starlette's CORS, with a shorter way to the same headers, and refusing as everything here refuses.

    That answers differ by origin (``Vary``), ``Observer`` says of all.
    """

    def __init__(self, app: ASGIApp, *, allow_origins: Sequence[str], **options: Any) -> None:
        super().__init__(app, allow_origins=allow_origins, **options)
        shared = [(name.lower().encode(), value.encode()) for name, value in self.simple_headers.items()]
        self._headers: dict[bytes, Sequence[tuple[bytes, bytes]]] = {
            origin.encode(): [(b"access-control-allow-origin", origin.encode()), *shared] for origin in allow_origins
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            await super().__call__(scope, receive, send)
        else:
            await self.simple_response(scope, receive, send)

    async def simple_response(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        request_headers: Headers | None = None,  # noqa: ARG002
    ) -> None:
        """Serve what is no preflight request."""
        origin = next((value for name, value in scope.get("headers", ()) if name == b"origin"), b"")
        headers = self._headers.get(origin, ())

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await self.app(scope, receive, send_allowed if headers else send)

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a preflight request."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        kept = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        return respond({"request_id": REQUEST_ID.get()}, 400, f"{bytes(response.body).decode()}.", headers=kept)
