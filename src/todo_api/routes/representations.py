"""What a task, or a list of them, looks like on the wire.

JSON, an entity tag, the headers all answers share.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import defstruct
from msgspec.json import Encoder
from starlette.responses import Response
from xxhash import xxh3_128

from todo_api.models import TaskRead

RawHeaders = Sequence[tuple[bytes, bytes]]
SHARED_HEADERS: RawHeaders = ((b"cache-control", b"private, no-cache"), (b"vary", b"Authorization"))
JSON_HEADERS: RawHeaders = ((b"content-type", b"application/json"), *SHARED_HEADERS)

Task = defstruct("Task", list(TaskRead.model_fields), frozen=True, gc=False)
"""A row on its way to JSON: what ``TaskRead`` describes, in the form that is fastest to encode."""

_HEADERS = {
    "ETag": "The version of what was answered; for `If-Match` and `If-None-Match`.",
    "Link": '`rel="next"` leads to the next page, relative to the URL of the request; absent on the last.',
    "Location": "Where the task is, relative to the URL of the request.",
    "Idempotent-Replayed": "`true` when the task was created by an earlier request with this key.",
    "Preference-Applied": "`return=minimal`.",
}

_encode = Encoder().encode
# The encoder leaves out a fraction of zero. No string can look like this: its quotes are escaped.
_WHOLE_SECOND = re.compile(rb'(_at":"[0-9T:-]{19})Z')

# A task's JSON ends in its updated_at; with its quotes, that is the form of an entity tag.
_UPDATED_AT = slice(-len('"2026-11-20T20:53:46.424000Z"}'), -1)


def response_headers(*names: str) -> dict[str, Any]:
    """What the OpenAPI document says of an answer with these headers."""
    return {"headers": {name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in names}}


def version(opaque_tag: str) -> datetime | None:
    """The ``updated_at`` in an entity tag of a task, without its quotes; None if it is not ours."""
    try:
        moment = datetime.fromisoformat(opaque_tag)
        return moment if f"{moment.isoformat(timespec='microseconds')[:-6]}Z" == opaque_tag else None
    except ValueError:
        return None


class Json(Response):
    """A task, or a list of them, as ``TaskRead`` describes it; what all answers share is made once.

    ``tag`` is its entity tag (RFC 9110 §8.8.3). A task's is its ``updated_at``, which no two
    versions share; a list's is a digest of everything that tells one page from another, its Link
    included.
    """

    def __init__(self, content: Any, *, status: int = 200, headers: RawHeaders = ()) -> None:
        body = _encode(content)
        if _has_whole_second(content):
            body = _WHOLE_SECOND.sub(rb"\1.000000Z", body)
        if isinstance(content, list):
            digest = xxh3_128(body)
            for _, value in headers:
                digest.update(value)
            self.tag = b'"%b"' % digest.hexdigest().encode()
        else:
            self.tag = body[_UPDATED_AT]
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = [*JSON_HEADERS, (b"content-length", b"%d" % len(body)), (b"etag", self.tag), *headers]


class Empty(Response):
    """An answer without a body.

    304 for a representation that the client has, 204 for one it does not want.
    """

    def __init__(self, status: int, headers: RawHeaders) -> None:
        self.body = b""
        self.status_code = status
        self.background = None
        self.raw_headers = [*SHARED_HEADERS, *headers]


def _has_whole_second(content: Any) -> bool:
    tasks = content if isinstance(content, list) else (content,)
    return not all([task.created_at.microsecond and task.updated_at.microsecond for task in tasks])  # noqa: C419 - faster
