"""How a request's body becomes JSON: bounded, typed and strict before FastAPI validates it.

``JsonRoute`` is FastAPI's documented way to give a router its own request class.
"""

from collections.abc import Callable, Coroutine
from json import JSONDecodeError
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json

from todo_api.problems import Problem

LONGEST_BODY_BYTES = 64 * 1024


class JsonRequest(Request):
    """A request whose body is at most 64 KiB of UTF-8 JSON."""

    async def body(self) -> bytes:
        """The body's bytes.

        Raises:
            Problem: 413 for too many bytes, announced or sent; 415 for another content type or encoding.
        """
        if not hasattr(self, "_body"):
            announced = self.headers.get("content-length", "0")
            if len(announced) > 9 or int(announced) > LONGEST_BODY_BYTES:
                raise Problem(413)
            if self.headers.get("content-encoding", "identity").lower() != "identity":
                raise Problem(415, headers={"Accept-Encoding": "identity"})
            chunks, size = [], 0
            async for chunk in self.stream():
                size += len(chunk)
                if size > LONGEST_BODY_BYTES:
                    raise Problem(413)
                chunks.append(chunk)
            if size and not _is_json(self.headers.get("content-type", "")):
                raise Problem(415, headers={"Accept": "application/json"})
            self._body = b"".join(chunks)
        return self._body

    async def json(self) -> Any:
        """The body as Python objects.

        Raises:
            JSONDecodeError: it is not JSON (RFC 8259): NaN, a lone surrogate, nesting or a number beyond
                any use, bytes that are not UTF-8. FastAPI makes a validation error of it.
        """
        try:
            return from_json(await self.body(), allow_inf_nan=False)
        except ValueError:
            raise JSONDecodeError("", "", 0) from None


class JsonRoute(APIRoute):
    """A route whose endpoint reads its body through ``JsonRequest``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, behind our request class."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(JsonRequest(request.scope, request.receive))

        return handle_json


def _is_json(content_type: str) -> bool:
    """``application/json`` or ``application/…+json``; a charset, where named, is UTF-8."""
    kind, _, parameters = content_type.lower().partition(";")
    kind = kind.strip()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        return False
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in {"utf-8", "utf8"}:
            return False
    return True
