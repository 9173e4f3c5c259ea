"""What the HTTP server answers itself: to what is no request, and when the application failed."""

from typing import Any

from todo_api.middleware.access_log import UNMATCHED, make_request_id
from todo_api.observability import REQUEST_ID, RequestServed, observe
from todo_api.problems import SHARED_HEADERS, respond

_NOT_HTTP = ({"field": "request", "message": "is not valid HTTP"},)


def error_response(status: int, scope: dict[str, Any]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of the server's own error response.

    It is logged, unless the application logs the request.

    Args:
        status: 400, 408, 414, 431, 500, 503 or 505.
        scope: ASGI's scope of the request; empty if there is none.
    """
    request_id = scope.get("request_id")
    if request_id is None:
        request_id = make_request_id()
        context = REQUEST_ID.set(request_id)
        observe(RequestServed("other", UNMATCHED, status, 0.0))
        REQUEST_ID.reset(context)
    errors, detail = (_NOT_HTTP, "request: is not valid HTTP") if status == 400 else ((), None)
    response = respond({"request_id": request_id}, status, detail, errors=errors)
    return [*response.raw_headers, *SHARED_HEADERS, (b"x-request-id", request_id.encode())], bytes(response.body)
