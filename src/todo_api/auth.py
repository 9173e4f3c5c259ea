"""The guard of ``/api/``: a JWT middleware, and ``Owner``, the proof of login that routes ask for.

It runs before the body is read and before a database connection is taken. Refusals come in this
order: 401 for the token, 403 for another user's path; what is wrong with the input comes later.
"""

from typing import Annotated
from urllib.parse import quote, unquote

from fastapi import Depends, Path, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from todo_api.models import USER_ID_LENGTH
from todo_api.observability import AuthRefused, KeySetMissing, observe
from todo_api.problems import respond
from todo_api.tokens import Claims, InvalidToken, JwksUnavailable, UnknownKey, Verifier

GUARDED = "/api/"
CHALLENGE = "Bearer"
CHALLENGE_INVALID = 'Bearer error="invalid_token"'
TOKEN_MISSING = "The token is missing."  # noqa: S105 - a sentence
TOKEN_EXPIRED = "The token has expired."  # noqa: S105
TOKEN_INVALID = "The token is invalid."  # noqa: S105

KEYS_UNAVAILABLE = "The token cannot be checked now, because the sign-in service does not answer; please try again."


class Authentication:
    """Lets a request pass into ``/api/{user_id}/…`` only with that user's token (RFC 6750)."""

    def __init__(self, app: ASGIApp, verifier: Verifier) -> None:
        self._app = app
        self._verifier = verifier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(GUARDED):
            await self._app(scope, receive, send)
            return
        try:
            token = _bearer_token(scope)
            if token is None:
                refusal = respond(scope, 401, TOKEN_MISSING, headers={"WWW-Authenticate": CHALLENGE})
                observe(AuthRefused("missing"))
                await refusal(scope, receive, send)
                return
            try:
                claims = self._verifier.verify(token)
            except UnknownKey as unknown:
                await self._verifier.refresh(unknown)
                claims = self._verifier.verify(token)
        except JwksUnavailable as error:
            observe(KeySetMissing(error.reason))
            headers = {"Retry-After": str(error.retry_after_seconds)}
            await respond(scope, 503, KEYS_UNAVAILABLE, headers=headers)(scope, receive, send)
            return
        except InvalidToken as error:
            detail = TOKEN_EXPIRED if error.expired else TOKEN_INVALID
            refusal = respond(scope, 401, detail, headers={"WWW-Authenticate": CHALLENGE_INVALID})
            observe(AuthRefused(error.reason))
            await refusal(scope, receive, send)
            return
        if _take_user(scope) != claims.subject:
            observe(AuthRefused("another user"))
            await respond(scope, 403)(scope, receive, send)
            return
        scope["owner"] = claims
        await self._app(scope, receive, send)


def _bearer_token(scope: Scope) -> bytes | None:
    """The token of the one ``Authorization`` header; None without one, or with another scheme.

    Raises:
        InvalidToken: there are several such headers.
    """
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) > 1:
        raise InvalidToken("several Authorization headers")
    if not values:
        return None
    scheme, _, token = values[0].partition(b" ")
    token = token.strip()
    return token if scheme.lower() == b"bearer" and token else None


def _take_user(scope: Scope) -> str:
    """The path's user after exactly one percent-decoding.

    The server has decoded the path already, and a user's id may contain a slash. So the segments are
    read from the raw path, and the router gets a path in which the user is one segment.
    """
    raw: bytes = scope["raw_path"]
    if b"%" not in raw:
        return str(scope["path"]).split("/", 3)[2]
    segments = raw.decode("ascii", "replace").split("/")
    try:
        user = unquote(segments[2], errors="strict")
    except (IndexError, UnicodeDecodeError):
        return ""  # nobody: a subject is never empty
    scope["path"] = "/".join(["", "api", quote(user, safe=""), *map(unquote, segments[3:])])
    return user


def _owner(
    request: Request,
    user_id: Annotated[  # noqa: ARG001 - checked by the middleware; named here for the OpenAPI document
        str,
        Path(
            description="The signed-in user's id: the token's `sub`.",
            json_schema_extra={"minLength": 1, "maxLength": USER_ID_LENGTH},
        ),
    ],
) -> Claims:
    claims: Claims = request.scope["owner"]
    return claims


Owner = Annotated[Claims, Depends(_owner)]
"""The path's user, proven to be the token's: ``owner.subject`` is the user's id."""
