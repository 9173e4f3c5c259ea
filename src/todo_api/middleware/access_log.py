"""Request ids and the access log.

One line for each request, with route template, status and milliseconds.
"""

import random
import re
import time
from collections.abc import Mapping
from typing import Final

from starlette.types import Scope

from todo_api.observability import REQUEST_ID, RequestServed, observe

UNMATCHED: Final = "unmatched"
_USABLE_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """The client's ``X-Request-ID`` when it is usable, else a new one.

    Log lines carry it from now on.
    """
    given = headers.get(b"x-request-id")
    request_id = make_request_id() if given is None or not _USABLE_ID.fullmatch(given) else given.decode()
    REQUEST_ID.set(request_id)
    return request_id


def make_request_id() -> str:
    """A new request id: to be found again, not to be guessed at."""
    return f"{random.getrandbits(64):016x}"


def log_request(scope: Scope, status: int | None, started: float) -> None:
    """Write the access line; ``started`` is what ``time.perf_counter`` said. No status is a 500."""
    resource = scope.get("resource")
    template = getattr(scope.get("route"), "path_format", UNMATCHED) if resource is None else resource.template
    milliseconds = round((time.perf_counter() - started) * 1000, 3)
    observe(RequestServed(scope["method"], template, status or 500, milliseconds))
