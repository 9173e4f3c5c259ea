"""The query parameters of a list: the names, the values and the description of each.

Front ends call the same thing by several names; ``PARAMETERS`` is the one table of them all, for
the service and for its OpenAPI document. Text comes in, values go out, or sentences about what is
wrong.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError

from todo_api.models import without_nul

MAX_LIMIT = 1000
MAX_SEARCH_LENGTH = 200
MAX_OFFSET = 10**15  # times MAX_LIMIT still a bigint

# What a list can be sorted by, in lower case without underscores. Tasks here have no due date and
# no priority: all of them tie, and the default order decides.
_SORTS = {
    "createdat": "created_at",
    "created": "created_at",
    "updatedat": "updated_at",
    "updated": "updated_at",
    "title": "title",
    "duedate": None,
    "priority": None,
}
_SORT = re.compile(r"(?P<minus>-?)(?P<name>\w+)(?::(?P<order>asc|desc))?", re.ASCII)
_COMPLETED_BY_STATUS = {"all": None, "pending": False, "completed": True}


class Parameter(NamedTuple):
    """One query parameter of a list; of several names that are given, the first one here counts.

    ``read`` turns its text into its value, or raises ``ValueError`` with a sentence.
    """

    names: tuple[str, ...]
    read: Callable[[str], Any]
    schema: dict[str, Any]
    description: str


def _one_of(values: dict[str, Any]) -> Callable[[str], Any]:
    *others, last = values
    message = f"must be {', '.join(map(repr, others))} or {last!r}"

    def read(text: str) -> Any:
        if text not in values:
            raise ValueError(message)
        return values[text]

    return read


def _number(minimum: int, maximum: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit()):
            raise ValueError("must be a whole number")
        digits = text.lstrip("0") or "0"
        if len(digits) > len(str(maximum)) or int(digits) > maximum:
            raise ValueError(f"must be at most {maximum}")
        if int(digits) < minimum:
            raise ValueError(f"must be at least {minimum}")
        return int(digits)

    return read


def _search(text: str) -> str:
    if len(text) > MAX_SEARCH_LENGTH:
        raise ValueError(f"must be at most {MAX_SEARCH_LENGTH} characters")
    return without_nul(text)


def _sort(text: str) -> tuple[str | None, str | None]:
    """The key, None where all tasks tie, and the order if the text names one."""
    match = _SORT.fullmatch(text)
    name = match["name"].lower().replace("_", "") if match else ""
    if not match or name not in _SORTS or (match["minus"] and match["order"]):
        raise ValueError(
            "must be created_at, updated_at, title, due_date or priority, each also as field:asc, field:desc or -field"
        )
    return _SORTS[name], "desc" if match["minus"] else match["order"]


PARAMETERS = {
    parameter.names[0]: parameter
    for parameter in (
        Parameter(
            ("status",),
            _one_of(_COMPLETED_BY_STATUS),
            {"type": "string", "enum": list(_COMPLETED_BY_STATUS), "default": "all"},
            "Which tasks.",
        ),
        Parameter(
            ("completed",),
            _one_of({"true": True, "false": False}),
            {"type": "boolean"},
            "Another form of `status`; the two must not contradict each other.",
        ),
        Parameter(
            ("search",),
            _search,
            {"type": "string", "maxLength": MAX_SEARCH_LENGTH},
            "What the title or the description contains, ignoring case.",
        ),
        Parameter(
            ("sort", "sort_by"),
            _sort,
            {
                "type": "string",
                "enum": ["created_at", "updated_at", "title", "due_date", "priority"],
                "default": "created_at",
            },
            "What decides the order. Also taken: `created`, `updated`, camelCase, and each as `field:asc`, "
            "`field:desc` or `-field`. No task has a `due_date` or a `priority`: the default order decides. "
            "Another name of this parameter is `sort_by`.",
        ),
        Parameter(
            ("order", "sort_order"),
            _one_of({"asc": "asc", "desc": "desc"}),
            {"type": "string", "enum": ["asc", "desc"]},
            "`desc` unless given; `asc` for `title`. Another name is `sort_order`.",
        ),
        Parameter(
            ("limit", "page_size", "per_page"),
            _number(1, MAX_LIMIT),
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": MAX_LIMIT},
            "How many at most. Other names are `page_size` and `per_page`.",
        ),
        Parameter(
            ("cursor",),
            str,
            {"type": "string"},
            "Where to go on: from a `Link` header.",
        ),
        Parameter(
            ("offset", "skip"),
            _number(0, MAX_OFFSET),
            {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_OFFSET},
            "How many to leave out; not together with `cursor` or `page`. Another name is `skip`. "
            "Following `Link` is faster and misses nothing.",
        ),
        Parameter(
            ("page",),
            _number(1, MAX_OFFSET),
            {"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_OFFSET},
            "Which page, of `limit` tasks each, from 1; not together with `cursor` or `offset`.",
        ),
    )
}
LIST_PARAMETERS = [
    {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
    for name, (_, _, schema, description) in PARAMETERS.items()
]

COMPLETED_PARAMETER = {
    "name": "completed",
    "in": "query",
    "required": False,
    "schema": {"type": "boolean"},
    "description": "Sets `completed`, for those who send no body.",
}


def _completed_in_query(request: Request) -> bool | None:
    for name, text in parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True):
        if plain_name(name) == "completed":
            try:
                completed: bool = PARAMETERS["completed"].read(text)
            except ValueError as error:
                raise invalid_parameters({"completed": str(error)}) from None
            return completed
    return None


CompletedInQuery = Annotated[bool | None, Depends(_completed_in_query)]
"""``?completed=true|false`` of a request that completes a task. Empty is wrong: a toggle would be a
guess."""


def read_parameters(query: str) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """What the parameters say, by which of their names, and what is wrong with them.

    Names are compared without case and underscores (``pageSize``); an empty value is none at all.
    """
    given = {plain_name(name): text for name, text in parse_qsl(query)}
    values: dict[str, Any] = {}
    names: dict[str, str] = {}
    errors: dict[str, str] = {}
    for parameter in PARAMETERS.values():
        name = next((name for name in parameter.names if plain_name(name) in given), None)
        if name is None:
            continue
        names[parameter.names[0]] = name
        try:
            values[parameter.names[0]] = parameter.read(given[plain_name(name)])
        except ValueError as error:
            errors[name] = str(error)
    return values, names, errors


def plain_name(name: str) -> str:
    """A parameter's name as it is compared."""
    return name.lower().replace("_", "")


def invalid_parameters(errors: dict[str, str]) -> RequestValidationError:
    """400 for these parameters, each with a sentence."""
    return RequestValidationError(
        [{"type": "list_query", "loc": ("query", name), "msg": message} for name, message in errors.items()]
    )
