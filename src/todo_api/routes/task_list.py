"""Which tasks a list holds, in which order, from where on: query parameters in, a ``ListQuery`` out.

A cursor is a position in a list: the sort key and the id of the last task that was seen. It carries a
digest of whose list it is, of its order and its filters, so that one from elsewhere is noticed. It is
no secret and grants nothing: the statement binds the owner, whatever the cursor says.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from msgspec import Struct
from msgspec.json import Decoder, encode
from msgspec.structs import replace
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from xxhash import xxh3_128

from todo_api.db import Value
from todo_api.models import without_nul

MAXIMUM_LIMIT = 1000
LONGEST_SEARCH = 200
LARGEST_ID = 2**63 - 1
DIGEST_BYTES = 9
COMPLETED_BY_STATUS = {"all": None, "pending": False, "completed": True}

SortName = Literal["created_at", "updated_at", "title", "created", "updated"]
Order = Literal["asc", "desc"]
_CURSOR = re.compile(rb"(?:^|(?<=&))cursor=[^&]*&?")
_UNSAFE = re.compile(rb"[^!#-;=?-~]")  # in the angle brackets of a Link
_SORTS = {"created": "created_at", "updated": "updated_at"}
_POSITIONS: dict[str, Decoder[Any]] = {
    "created_at": Decoder(tuple[datetime, int]),
    "updated_at": Decoder(tuple[datetime, int]),
    "title": Decoder(tuple[str, int]),
}


def _whole_number(text: Any) -> Any:
    """Digits and nothing else: Pydantic would take 1_0, +5 and 5.0 as well."""
    if not (str(text).isascii() and str(text).isdigit()):
        raise ValueError("must be a whole number")
    return text


Limit = Annotated[
    int,
    Field(ge=1, le=MAXIMUM_LIMIT),
    BeforeValidator(_whole_number),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAXIMUM_LIMIT}),
]
Search = Annotated[str, StringConstraints(max_length=LONGEST_SEARCH), AfterValidator(without_nul)]


class ListQuery(Struct, frozen=True):
    """One page of one list. ``after`` is the sort key and the id behind which it begins."""

    owner: str
    status: str
    search: str | None
    sort: str
    descending: bool
    limit: int
    after: tuple[Any, int] | None
    path: bytes
    query_string: bytes

    @property
    def values(self) -> dict[str, Value]:
        """What the statement binds. One row more than the limit tells whether there is another page."""
        key, id = self.after or (None, None)
        return {
            "completed": COMPLETED_BY_STATUS[self.status],
            "search": self.search,
            "limit": self.limit + 1,
            "after_key": key,
            "after_id": id,
        }

    def next_link(self, last: Any) -> bytes:
        """The ``Link`` to the page behind this task, with all the other parameters kept (RFC 8288)."""
        key = getattr(last, self.sort)
        if self.sort == "title":
            key = key.encode().lower().decode()  # as the statement sorts: ASCII letters only
        others = _CURSOR.sub(b"", self.query_string).strip(b"&")
        url = b"%b?%b&" % (self.path, others) if others else b"%b?" % self.path
        url = _UNSAFE.sub(lambda byte: b"%%%02X" % ord(byte[0]), url)
        return b'<%bcursor=%b>; rel="next"' % (url, _sealed(encode((key, last.id)), self._list()).encode())

    def continued(self, cursor: str) -> "ListQuery":
        """The same list from a cursor on.

        Raises:
            ValueError: the cursor is not one of this list.
        """
        key, id = _POSITIONS[self.sort].decode(_opened(cursor, self._list()))
        if not 0 < id <= LARGEST_ID or "\x00" in str(key):
            raise ValueError("a position that no task can have")
        return replace(self, after=(key, id))

    def _list(self) -> bytes:
        return encode((self.owner, self.status, self.search, self.sort, self.descending))


def _list_query(
    request: Request,
    *,
    status: Annotated[Literal["all", "pending", "completed"], Query(description="Which tasks.")] = "all",
    search: Annotated[
        Search | None, Query(description="What the title or the description contains, ignoring case.")
    ] = None,
    sort: Annotated[SortName | None, Query(description="What decides the order: `created_at` unless given.")] = None,
    sort_by: Annotated[SortName | None, Query(description="Another name of `sort`.")] = None,
    order: Annotated[Order | None, Query(description="`desc` unless given; `asc` for `title`.")] = None,
    sort_order: Annotated[Order | None, Query(description="Another name of `order`.")] = None,
    limit: Annotated[Limit, Query(description="How many at most.")] = MAXIMUM_LIMIT,
    cursor: Annotated[str | None, Query(description="Where to go on: from a `Link` header.")] = None,
) -> ListQuery:
    name = sort or sort_by or "created_at"
    direction = order or sort_order or ("asc" if name == "title" else "desc")
    query = ListQuery(
        owner=request.scope["owner"].subject,
        status=status,
        search=search or None,
        sort=_SORTS.get(name, name),
        descending=direction == "desc",
        limit=limit,
        after=None,
        path=request.scope["raw_path"],
        query_string=request.scope["query_string"],
    )
    if cursor is None:
        return query
    try:
        return query.continued(cursor)
    except ValueError:
        message = "must come from the Link header of this very list"
        raise RequestValidationError([{"type": "cursor", "loc": ("query", "cursor"), "msg": message}]) from None


Page = Annotated[ListQuery, Depends(_list_query)]


def _sealed(position: bytes, of_list: bytes) -> str:
    digest = xxh3_128(of_list + position).digest()[:DIGEST_BYTES]
    return urlsafe_b64encode(digest + position).rstrip(b"=").decode()


def _opened(cursor: str, of_list: bytes) -> bytes:
    sealed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    position = sealed[DIGEST_BYTES:]
    if _sealed(position, of_list) != cursor:
        raise ValueError("seal")
    return position
