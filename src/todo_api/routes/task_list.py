"""Which tasks a list holds, in which order, from where on: a query string in, a ``ListQuery`` out.

A cursor is a position in a list: the sort key and the id of the last task that was seen. It carries
a digest of whose list it is, of its order and its filters, so that one from elsewhere is noticed.
It is no secret and grants nothing: the statement binds the owner, whatever the cursor says.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal
from urllib.parse import unquote_plus

from fastapi import Depends, Request
from msgspec import Struct
from msgspec.json import Decoder, encode
from msgspec.structs import replace
from xxhash import xxh3_128

from todo_api.db import Value
from todo_api.routes.list_parameters import MAX_LIMIT, PARAMETERS, invalid_parameters, plain_name, read_parameters
from todo_api.routes.search_pattern import search_pattern

MAX_ID = 2**63 - 1
DIGEST_BYTES = 9
MAX_CACHED_QUERIES = 256
"""Query strings whose values are cached: a front end sends the same few over and over."""

_UNSAFE = re.compile(rb"[^!#-;=?-~]")  # in the angle brackets of a Link
_UTC_OFFSET = timedelta(0)
_POSITIONS: dict[str, Decoder[Any]] = {
    "created_at": Decoder(tuple[datetime, int]),
    "updated_at": Decoder(tuple[datetime, int]),
    "title": Decoder(tuple[str, int]),
}


class ListQuery(Struct, frozen=True):
    """One page of one list.

    ``after`` is the sort key and the id behind which it begins; ``offset`` the number of tasks that
    it leaves out, and ``counted_by`` the parameter that says so. At most one of them is there.
    """

    completed: bool | None
    search: str | None
    sort: str
    descending: bool
    limit: int
    offset: int
    counted_by: str | None
    cursor: str | None
    query_string: bytes
    owner: str = ""
    after: tuple[Any, int] | None = None

    @property
    def start(self) -> Literal["first", "cursor", "offset"]:
        """Where it begins, in the words of ``queries.select_tasks``."""
        return "cursor" if self.after else "offset" if self.offset else "first"

    @property
    def values(self) -> dict[str, Value]:
        """What the statement binds.

        One row more than the limit tells whether there is another page.
        """
        key, id = self.after or (None, None)
        return {
            "completed": self.completed,
            "search": self.search and search_pattern(self.search),
            "limit": self.limit + 1,
            "offset": self.offset,
            "after_key": key,
            "after_id": id,
        }

    def next_link(self, last: Any, path: bytes) -> bytes:
        """The ``Link`` from this page, which ends with a task, to the next one (RFC 8288).

        It keeps all the other parameters, and is relative to the ``path`` of the request (RFC 3986
        §5.2), so that it holds behind a proxy that strips a prefix.
        """
        others = b"&".join(piece for piece in self.query_string.split(b"&") if piece and _name(piece) not in _STARTS)
        target = b"./" if path.endswith(b"/") else b"tasks"
        url = _UNSAFE.sub(lambda byte: b"%%%02X" % ord(byte[0]), b"?%b&" % others if others else b"?")
        return b'<%b%b%b>; rel="next"' % (target, url, self._next_start(last))

    def _next_start(self, last: Any) -> bytes:
        if self.counted_by == "page":
            return b"page=%d" % (self.offset // self.limit + 2)
        if self.counted_by is not None:
            return b"%b=%d" % (self.counted_by.encode(), self.offset + self.limit)
        key = getattr(last, self.sort)
        if self.sort == "title":
            key = key.encode().lower().decode()  # as the statement sorts: ASCII letters only
        return b"cursor=" + _cursor(encode((key, last.id)), self._list()).encode()

    def continued(self, cursor: str) -> "ListQuery":
        """The same list from a cursor on.

        Raises:
            ValueError: the cursor is not one of this list.
        """
        key, id = _POSITIONS[self.sort].decode(_position(cursor, self._list()))
        if not 0 < id <= MAX_ID or "\x00" in str(key):
            raise ValueError("a position that no task can have")
        if isinstance(key, datetime) and key.utcoffset() != _UTC_OFFSET:
            raise ValueError("ours are UTC; PostgreSQL reads no offset beyond 16 hours")
        return replace(self, after=(key, id))

    def _list(self) -> bytes:
        return encode((self.owner, self.completed, self.search, self.sort, self.descending))


def _list_query(request: Request) -> ListQuery:
    query = replace(_read(request.scope["query_string"]), owner=request.scope["owner"].subject)
    try:
        return query if query.cursor is None else query.continued(query.cursor)
    except ValueError:
        raise invalid_parameters({"cursor": "must come from the Link header of this very list"}) from None


Page = Annotated[ListQuery, Depends(_list_query)]


@lru_cache(MAX_CACHED_QUERIES)
def _read(query_string: bytes) -> ListQuery:
    """What a query string says of a list; the same for every user.

    Raises:
        RequestValidationError: values are no values of their parameters, or contradict each other.
    """
    values, names, errors = read_parameters(query_string.decode("latin-1"))
    key, order_in_sort = values.get("sort", ("created_at", None))
    completed = values.get("completed", values.get("status"))
    if values.get("status", completed) not in {None, completed}:
        errors[names["completed"]] = "contradicts status"
    if order_in_sort and values.get("order", order_in_sort) != order_in_sort:
        errors[names["order"]] = "contradicts the order in sort"
    starts = [name for name in ("cursor", "offset", "page") if name in values]
    for name in starts[1:]:
        errors[names[name]] = f"cannot be combined with {names[starts[0]]}"
    if errors:
        raise invalid_parameters(errors)
    order = order_in_sort or values.get("order") or ("asc" if key == "title" else "desc")
    limit = values.get("limit", MAX_LIMIT)
    return ListQuery(
        completed=completed,
        search=values.get("search"),
        sort=key or "created_at",
        descending=key is None or order == "desc",
        limit=limit,
        offset=(values["page"] - 1) * limit if "page" in values else values.get("offset", 0),
        counted_by=names.get("page", names.get("offset")),
        cursor=values.get("cursor"),
        query_string=query_string,
    )


def _name(piece: bytes) -> str:
    return plain_name(unquote_plus(piece.partition(b"=")[0].decode("latin-1")))


_STARTS = {plain_name(name) for start in ("cursor", "offset", "page") for name in PARAMETERS[start].names}


def _cursor(position: bytes, of_list: bytes) -> str:
    """A position with a digest of it and of its list, in base64url."""
    digest = xxh3_128(of_list + position).digest()[:DIGEST_BYTES]
    return urlsafe_b64encode(digest + position).rstrip(b"=").decode()


def _position(cursor: str, of_list: bytes) -> bytes:
    position = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[DIGEST_BYTES:]
    if _cursor(position, of_list) != cursor:
        raise ValueError("the digest is of another position or list")
    return position
