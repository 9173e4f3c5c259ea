"""A request's body as Python objects: JSON (RFC 8259), of bounded size, in UTF-8."""

from math import inf, isinf
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic_core import PydanticUndefined, from_json
from starlette.exceptions import HTTPException
from starlette.requests import Request


async def read_json(request: Request, max_bytes: int) -> Any:
    """The body as Python objects; ``PydanticUndefined`` when it is empty.

    Raises:
        HTTPException: 413 for more than ``max_bytes``, announced or sent; 415 for another content
            type or encoding, with what would be taken in ``Accept`` or ``Accept-Encoding``.
        RequestValidationError: it is not JSON (RFC 8259), or not UTF-8, or was announced and did
            not arrive.
    """
    headers = {name: value for name, value in request.scope["headers"] if name in _BODY_HEADERS}
    announced = headers.get(b"content-length", b"0")
    if len(announced.lstrip(b"0")) > 9 or int(announced) > max_bytes:
        raise HTTPException(413)
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise HTTPException(415, headers={"Accept-Encoding": "identity"})
    body = await _receive(request, max_bytes)
    if not body:
        # uvicorn loses the body of a request that offers an upgrade (its issue 2722).
        if int(announced) or headers.keys() >= {b"transfer-encoding", b"upgrade"}:
            raise RequestValidationError([{"type": "body_lost", "loc": ("body",), "msg": "did not arrive"}])
        return PydanticUndefined
    if not _is_json(headers.get(b"content-type", b"").decode("latin-1")):
        raise HTTPException(415, headers={"Accept": "application/json"})
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError:
        value = inf
    if _has_infinity(value):  # 1e999 is JSON, but no number that anything here can hold
        raise RequestValidationError([{"type": "json_invalid", "loc": ("body",), "msg": ""}])
    return value


async def _receive(request: Request, max_bytes: int) -> bytes:
    chunks, size, more = [], 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400)  # for the log; the client is gone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise HTTPException(413)
        chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


def _has_infinity(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_infinity, value.values()))
    if isinstance(value, list):
        return any(map(_has_infinity, value))
    return isinstance(value, float) and isinf(value)


_BODY_HEADERS = frozenset({b"content-length", b"content-type", b"content-encoding", b"transfer-encoding", b"upgrade"})


def _is_json(content_type: str) -> bool:
    """``application/json`` or ``application/…+json``; a charset, where named, is UTF-8."""
    if content_type == "application/json":
        return True
    kind, _, parameters = content_type.lower().partition(";")
    kind = kind.strip()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        return False
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in {"utf-8", "utf8"}:
            return False
    return True
