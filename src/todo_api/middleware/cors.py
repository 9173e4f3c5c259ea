"""CORS (WHATWG Fetch §3.2): which origins' scripts may read a response."""

from collections.abc import Sequence
from typing import Any

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from todo_api.observability import REQUEST_ID
from todo_api.problems import respond


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
