"""The shortest way from a request to its planned route."""

from collections.abc import Sequence

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from todo_api.planned.route import CompiledRoute


class Dispatch:
    """Middleware that takes a request straight to its compiled route, past FastAPI's router.

    What no route here answers (an unknown path, another method) goes on to the router, which knows
    how to refuse it. Exceptions pass through to the boundary outside.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes: dict[tuple[str, int], list[CompiledRoute]] = {}
        for route in routes:
            if isinstance(route, CompiledRoute):
                for method in route.methods or ():
                    self._routes.setdefault((method, route.path_format.count("/")), []).append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            path = scope["path"]
            for route in self._routes.get((scope["method"], path.count("/")), ()):
                match = route.path_regex.match(path)
                if match is not None:
                    scope["route"] = route
                    scope["path_params"] = match.groupdict()
                    await route.handle(scope, receive, send)
                    return
        await self._app(scope, receive, send)
