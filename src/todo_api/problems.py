"""Every error response, as ``application/problem+json`` (RFC 9457).

One table says what each status is called; ``Problem`` is raised inside the application, ``respond``
is called by middleware, which must not raise. What the client learns is here; why is in the log.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

from fastapi.exceptions import RequestValidationError
from msgspec.json import encode
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from todo_api.server.request_parser import MAX_HEAD_BYTES, MAX_HEADERS, MAX_TARGET_BYTES

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = "1"
MAX_BODY_BYTES: Final = 64 * 1024

SHARED_HEADERS: Final = (
    (b"vary", b"Origin"),  # CORS headers depend on it
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
"""What every response has, whichever module makes it."""


class ProblemType(NamedTuple):
    """What is said of all problems of one status.

    ``detail`` is a sentence for people, where there is no better one.
    """

    title: str
    code: str
    detail: str


PROBLEMS: Final = {
    400: ProblemType("Bad Request", "invalid_request", "The request is invalid."),
    401: ProblemType("Unauthorized", "unauthorized", "The token is missing."),
    403: ProblemType("Forbidden", "forbidden", "The token belongs to another user."),
    404: ProblemType("Not Found", "not_found", "There is nothing here."),
    405: ProblemType("Method Not Allowed", "method_not_allowed", "This method is not allowed here."),
    408: ProblemType("Request Timeout", "request_timeout", "The request did not arrive in time."),
    412: ProblemType("Precondition Failed", "precondition_failed", "The task has changed since you read it."),
    413: ProblemType(
        "Content Too Large", "content_too_large", f"The body is larger than {MAX_BODY_BYTES // 1024} KiB."
    ),
    414: ProblemType(
        "URI Too Long", "uri_too_long", f"The request's target is longer than {MAX_TARGET_BYTES // 1024} KiB."
    ),
    415: ProblemType(
        "Unsupported Media Type",
        "unsupported_media_type",
        "The body must be JSON (Content-Type: application/json), in UTF-8 and not encoded.",
    ),
    421: ProblemType(
        "Misdirected Request",
        "misdirected_request",
        "While the service uses its sample secret, it is there under the name localhost only.",
    ),
    422: ProblemType(
        "Unprocessable Content",
        "idempotency_key_reused",
        "This Idempotency-Key was used for another task; use a new one for each task.",
    ),
    431: ProblemType(
        "Request Header Fields Too Large",
        "headers_too_large",
        f"The request's headers are larger than {MAX_HEAD_BYTES // 1024} KiB, or more than {MAX_HEADERS}.",
    ),
    500: ProblemType("Internal Server Error", "internal_error", "Something went wrong on our side."),
    503: ProblemType("Service Unavailable", "unavailable", "The database cannot be reached now; please try again."),
    505: ProblemType(
        "HTTP Version Not Supported", "http_version_not_supported", "Only HTTP/1.1 and HTTP/1.0 are spoken here."
    ),
}

# Pydantic's error types, in words for people. Anything else keeps Pydantic's own sentence.
_MESSAGES = {
    "missing": "is required",
    "json_invalid": "is not valid JSON",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "string_type": "must be a string",
    "string_too_short": "must not be blank",
    "string_too_long": "must be at most {max_length} characters",
    "bool_type": "must be true or false",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
}

CONNECTION_STATUSES: Final = (408, 414, 421, 431, 505)
"""What any request may be answered before its operation is known; the OpenAPI document describes
these once."""


class FieldError(BaseModel):
    """One offending field."""

    field: str
    message: str


class ProblemDetails(BaseModel):
    """The body of every error response (RFC 9457 §3.1).

    Beyond the RFC's members it has ``message``, ``code``, ``request_id`` and, at 400, ``errors``.
    """

    type: str
    title: str
    status: int
    detail: str
    message: str
    code: Annotated[str, Field(json_schema_extra={"enum": [problem.code for problem in PROBLEMS.values()]})]
    request_id: str
    errors: list[FieldError] = Field(default_factory=list)


class Problem(HTTPException):
    """An error response, raised anywhere inside the application."""

    def __init__(self, status: int, detail: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail or PROBLEMS[status].detail, headers)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says of error responses with these statuses, with examples."""
    return {status: _problem_response(status) for status in statuses}


def _problem_response(status: int) -> dict[str, Any]:
    blank = [{"field": "title", "message": "must not be blank"}] if status == 400 else []
    sentence = "title: must not be blank" if blank else PROBLEMS[status].detail
    example = _body(status, sentence, "0d6c6a1e5d0f4c27", blank)
    schema = {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}
    response: dict[str, Any] = {
        "description": PROBLEMS[status].title,
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }
    if status in _HEADERS:
        name, description = _HEADERS[status]
        response["headers"] = {name: {"description": description, "schema": {"type": "string"}}}
    return response


_HEADERS = {
    401: ("WWW-Authenticate", "`Bearer`, with `error` when a token was sent (RFC 6750)."),
    503: ("Retry-After", "Seconds after which it makes sense to try again."),
}


def respond(
    scope: Scope,
    status: int,
    detail: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, str]] = (),
) -> Response:
    """An error response; ``scope["request_id"]`` goes into its body."""
    body = _body(status, detail or PROBLEMS[status].detail, scope.get("request_id", ""), errors)
    extra = dict(headers or {})
    if status == 503:
        extra.setdefault("Retry-After", RETRY_AFTER_SECONDS)
    return ProblemResponse(status, encode(body), extra)


class ProblemResponse(Response):
    """A problem on its way out.

    Floods are answered with these, so that the headers are made by hand.
    """

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            *[(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
        ]


def _body(status: int, sentence: str, request_id: str, errors: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": PROBLEMS[status].title,
        "status": status,
        "detail": sentence,
        "message": sentence,
        "code": PROBLEMS[status].code,
        "request_id": request_id,
    }
    return {**body, "errors": errors} if errors else body


def respond_invalid(scope: Scope, error: RequestValidationError) -> Response:
    """400, naming every offending field."""
    errors = [{"field": _field(item["loc"]), "message": _message(item)} for item in error.errors()]
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors)
    return respond(scope, 400, detail, errors=errors)


def _field(location: Sequence[str | int]) -> str:
    """``("body", "title")`` is title; ``("body",)`` and ``("body", 17)``, a position, are body."""
    names = [part for part in location[1:] if isinstance(part, str)]
    return ".".join(names) or str(location[0])


def _message(item: Mapping[str, Any]) -> str:
    template = _MESSAGES.get(item["type"])
    if template is None:
        return str(item["msg"]).removeprefix("Value error, ")
    return template.format(**item.get("ctx", {}))
