"""Request ids, the access line, HEAD and trailing slashes: what every request meets first."""

import random
import re
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from todo_api.observability import REQUEST_ID, RequestServed, observe

_USABLE_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_VARY: Final = (b"vary", b"Origin")  # what Cors adds depends on it
UNMATCHED = "unmatched"


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
            else:
                if not message.get("more_body"):
                    inner["complete"] = True
                if bodyless:
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


def _request_id(scope: Scope) -> str:
    """The client's ``X-Request-ID`` when it is usable, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _USABLE_ID.fullmatch(value):
            return str(value, "ascii")
    return f"{random.getrandbits(64):016x}"  # to be found again, not to be guessed at


def _plain(scope: Scope) -> Scope:
    """The scope without root path and trailing slash; a copy, in which HEAD is GET, where the server needs to know."""
    if not scope.get("raw_path"):
        scope["raw_path"] = quote(scope["path"]).encode()  # optional in ASGI, but auth reads it
    if scope.get("root_path"):
        _strip_root_path(scope)
    path = scope["path"]
    if len(path) > 1 and path.endswith("/"):
        scope["path"], scope["raw_path"] = path[:-1], scope["raw_path"].removesuffix(b"/")
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope


def _strip_root_path(scope: Scope) -> None:
    """Take the prefix that servers put before every path away, once, so that guard and router read the same path.

    ``app_root_path`` keeps it for ``request.url_for``, as in Starlette's ``Mount``.
    """
    root_path = scope["root_path"].rstrip("/")
    raw_root_path = quote(root_path).encode()
    if scope["path"].startswith(f"{root_path}/") and scope["raw_path"].startswith(raw_root_path + b"/"):
        scope["path"] = scope["path"][len(root_path) :]
        scope["raw_path"] = scope["raw_path"][len(raw_root_path) :]
    scope["app_root_path"], scope["root_path"] = root_path, ""
