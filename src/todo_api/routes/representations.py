"""What a task, or a list of them, looks like on the wire: JSON, an entity tag, the headers all answers share."""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import defstruct
from msgspec.json import Encoder
from starlette.responses import Response

from todo_api.models import TaskRead

RawHeaders = Sequence[tuple[bytes, bytes]]
SHARED_HEADERS: RawHeaders = ((b"cache-control", b"private, no-cache"), (b"vary", b"Authorization"))
JSON_HEADERS: RawHeaders = ((b"content-type", b"application/json"), *SHARED_HEADERS)

Task = defstruct("Task", list(TaskRead.model_fields), frozen=True, gc=False)
"""A row on its way to JSON: what ``TaskRead`` describes, in the form that is fastest to encode."""

_HEADERS = {
    "ETag": "The version of what was answered; for `If-Match` and `If-None-Match`.",
    "Link": '`rel="next"` leads to the next page; absent on the last.',
    "Location": "The task's path.",
    "Idempotent-Replayed": "`true` when the task was created by an earlier request with this key.",
    "Preference-Applied": "`return=minimal`.",
}

_encode = Encoder().encode
# The encoder leaves out a fraction of zero. No string can look like this: its quotes are escaped.
_WHOLE_SECOND = re.compile(rb'(_at":"[0-9T:-]{19})Z')


def described(*names: str) -> dict[str, Any]:
    """What the OpenAPI document says of an answer with these headers."""
    return {"headers": {name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in names}}


def task_tag(task: Any) -> str:
    """The entity tag of a task (RFC 9110 §8.8.3): its ``updated_at``, which no two versions share."""
    moment: datetime = task.updated_at
    return version_tag(moment)


def version_tag(moment: datetime) -> str:
    """The entity tag of the version that was made at this moment, quotes included."""
    return f'"{moment.isoformat(timespec="microseconds")[:-6]}Z"'


def version(opaque_tag: str) -> datetime | None:
    """The moment at which the version of this tag (without quotes) was made; None for a tag that is not ours."""
    try:
        moment = datetime.fromisoformat(opaque_tag)
    except ValueError:
        return None
    return moment if version_tag(moment) == f'"{opaque_tag}"' else None


class Json(Response):
    """A task, or a list of them, as ``TaskRead`` describes it; what all answers share is made once."""

    def __init__(self, content: Any, *, tag: str | None = None, status: int = 200, headers: RawHeaders = ()) -> None:
        self.body = _encode(content)
        if _has_whole_second(content):
            self.body = _WHOLE_SECOND.sub(rb"\1.000000Z", self.body)
        self.tag = tag or _digest(self.body, headers)
        self.status_code = status
        self.background = None
        self.raw_headers = [
            *JSON_HEADERS,
            (b"content-length", b"%d" % len(self.body)),
            (b"etag", self.tag.encode()),
            *headers,
        ]


class Empty(Response):
    """An answer without a body: 304 for a representation that the client has, 204 for one it does not want."""

    def __init__(self, status: int, headers: RawHeaders) -> None:
        self.body = b""
        self.status_code = status
        self.background = None
        self.raw_headers = [*SHARED_HEADERS, *headers]


def _digest(body: bytes, headers: RawHeaders) -> str:
    """An entity tag of everything that tells one page of a list from another, its Link included."""
    digest = hashlib.sha256(body)
    for _, value in headers:
        digest.update(value)
    return f'"{digest.hexdigest()[:32]}"'


def _has_whole_second(content: Any) -> bool:
    tasks = content if isinstance(content, list) else (content,)
    return not all([task.created_at.microsecond and task.updated_at.microsecond for task in tasks])  # noqa: C419 - faster
