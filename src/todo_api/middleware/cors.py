"""CORS (WHATWG Fetch §3.2).

Which origins' scripts may read a response, and what a preflight is answered.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.responses import PlainTextResponse, Response
from starlette.types import Scope

from todo_api.problems import respond

ALLOWED_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
ALLOWED_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "Prefer",
    "X-Request-ID",
)
SAFELISTED_HEADERS: Final = ("Accept", "Accept-Language", "Content-Language")
EXPOSED_HEADERS: Final = (
    "ETag",
    "Link",
    "Location",
    "Retry-After",
    "X-Request-ID",
    "Idempotent-Replayed",
    "Preference-Applied",
)
MAX_AGE_SECONDS: Final = 600
"""How long a browser may remember a preflight."""

ORIGIN_NOT_ALLOWED: Final = "This origin may not call the service from a browser."
METHOD_NOT_ALLOWED: Final = "This method may not be used from another origin."
HEADER_NOT_ALLOWED: Final = "One of these headers may not be sent from another origin."

_PREFLIGHT_HEADERS: Final = {
    "Access-Control-Allow-Methods": ", ".join(ALLOWED_METHODS),
    "Access-Control-Allow-Headers": ", ".join((*SAFELISTED_HEADERS, *ALLOWED_HEADERS)),
    "Access-Control-Max-Age": str(MAX_AGE_SECONDS),
}
_METHODS: Final = frozenset(method.encode() for method in ALLOWED_METHODS)
_HEADERS: Final = frozenset(name.lower() for name in (*SAFELISTED_HEADERS, *ALLOWED_HEADERS))


class Cors:
    """What browsers are told. That responses differ by origin (``Vary``), every response says.

    Args:
        origins: exact origins, as browsers send them.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        exposed = (b"access-control-expose-headers", ", ".join(EXPOSED_HEADERS).encode())
        credentials = (b"access-control-allow-credentials", b"true")
        self._headers = {
            origin.encode(): ((b"access-control-allow-origin", origin.encode()), credentials, exposed)
            for origin in origins
        }

    def response_headers(self, headers: Mapping[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
        """The headers by which the request's origin may read the response.

        None for other origins.
        """
        return self._headers.get(headers.get(b"origin", b""), ())

    def preflight(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Response | None:
        """The response to a preflight; None for any other request."""
        if scope["method"] != "OPTIONS" or b"origin" not in headers:
            return None
        method = headers.get(b"access-control-request-method")
        if method is None:
            return None
        if headers[b"origin"] not in self._headers:
            return respond(scope, 400, ORIGIN_NOT_ALLOWED)
        if method not in _METHODS:
            return respond(scope, 400, METHOD_NOT_ALLOWED)
        names = headers.get(b"access-control-request-headers", b"").decode("latin-1").lower().split(",")
        if not _HEADERS.issuperset(name.strip() for name in names if name.strip()):
            return respond(scope, 400, HEADER_NOT_ALLOWED)
        allowed = dict(_PREFLIGHT_HEADERS)
        if headers.get(b"access-control-request-private-network") == b"true":  # from a public page to localhost
            allowed["Access-Control-Allow-Private-Network"] = "true"
        return PlainTextResponse("OK", headers=allowed)
