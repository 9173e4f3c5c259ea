"""Request headers that say under which conditions, and how, a request is to be carried out.

Each is an ``Annotated`` alias that an endpoint takes as a parameter, and a function that reads it.
"""

import re
from datetime import datetime
from typing import Annotated

from fastapi import Header, Response
from pydantic import AfterValidator

from todo_api.models import MAX_IDEMPOTENCY_KEY_LENGTH
from todo_api.routes.representations import Empty, Json, version

ENTITY_TAGS = {"pattern": r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$'}  # for the OpenAPI document
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# Apache, Caddy and Jetty mark a tag when they compress: "…-gzip", "…-br", "…--gzip".
_OPAQUE_TAGS = re.compile(r'"([^"]*?)(?:--?(?:gzip|br|zstd|deflate))?"')
_TAGS = re.compile(rf"\*|[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")
_VISIBLE = re.compile(rf"[\x21-\x7e]{{1,{MAX_IDEMPOTENCY_KEY_LENGTH}}}")


def _entity_tags(text: str) -> str:
    if not _TAGS.fullmatch(text):
        raise ValueError('must be * or a list of entity tags such as "abc"')
    return text


def _visible(text: str) -> str:
    if not _VISIBLE.fullmatch(text):
        raise ValueError(f"must be 1 to {MAX_IDEMPOTENCY_KEY_LENGTH} visible ASCII characters")
    return text


IfMatch = Annotated[
    str | None,
    AfterValidator(_entity_tags),
    Header(
        alias="If-Match",
        description="Write only if the task still has one of these ETags (RFC 9110 §13.1.1).",
        json_schema_extra=ENTITY_TAGS,
    ),
]
IfNoneMatch = Annotated[
    str | None,
    AfterValidator(_entity_tags),
    Header(
        alias="If-None-Match",
        description="Answer 304 if the ETag is one of these (RFC 9110 §13.1.2).",
        json_schema_extra=ENTITY_TAGS,
    ),
]
IdempotencyKey = Annotated[
    str | None,
    AfterValidator(_visible),
    Header(
        alias="Idempotency-Key",
        description="A name of your choice for this create. Sent again with the same body, within 24 hours, "
        "it creates nothing and answers what it answered first.",
        json_schema_extra={"pattern": f"^[!-~]{{1,{MAX_IDEMPOTENCY_KEY_LENGTH}}}$"},
    ),
]
Prefer = Annotated[
    str | None,
    Header(alias="Prefer", description="`return=minimal` asks for 204 and no body (RFC 7240)."),
]


def versions(if_match: str) -> list[datetime]:
    """The versions that ``If-Match`` allows; a foreign tag allows none.

    A weak tag counts, against RFC 9110 §8.8.3.2: ours name a version of the row, not of the bytes,
    and a proxy that compresses makes every tag weak or marks it. Without this nobody could write
    behind one.
    """
    moments = [version(opaque) for opaque in _OPAQUE_TAGS.findall(if_match)]
    return [moment for moment in moments if moment is not None]


def unless_matched(response: Json, if_none_match: str | None) -> Response:
    """The answer, or 304 when ``If-None-Match`` is ``*`` or holds its tag in any form."""
    if if_none_match is None:
        return response
    opaque_tag = response.tag[1:-1].decode()
    if if_none_match != "*" and opaque_tag not in _OPAQUE_TAGS.findall(if_none_match):
        return response
    return Empty(304, [header for header in response.raw_headers if header[0] in {b"etag", b"link"}])


def wants_minimal(prefer: str | None) -> bool:
    """Whether the first ``return`` preference is ``minimal`` (RFC 7240 §2, §4.2)."""
    for preference in (prefer or "").lower().split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip() == "return":
            return value.strip().strip('"') == "minimal"
    return False
