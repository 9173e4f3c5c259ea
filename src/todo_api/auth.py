"""Who may do what.

A request below ``/api/`` needs its user's token, and ``Owner`` is the proof of it.

Authentication runs before the body is read and before a database connection is taken. Its errors
come in this order: 401 for the token, 404 for a path that names nothing, 403 for another user's
path; what is wrong with the input comes later.
"""

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import Depends, Path, Request
from starlette.responses import Response
from starlette.types import Scope

from todo_api.observability import AuthRejected, AuthUnavailable, observe
from todo_api.problems import respond
from todo_api.tokens import MAX_SUBJECT_LENGTH, Claims, InvalidToken, JwksUnavailable, UnknownKey, Verifier

PROTECTED: Final = "/api/"
SIGN_IN: Final = "/api/auth"
MISSING: Final = "missing"
CHALLENGE: Final = "Bearer"
CHALLENGE_INVALID: Final = 'Bearer error="invalid_token"'
TOKEN_MISSING: Final = "The token is missing."  # noqa: S105 - a sentence
TOKEN_EXPIRED: Final = "The token has expired."  # noqa: S105
TOKEN_INVALID: Final = "The token is invalid."  # noqa: S105
KEYS_UNAVAILABLE: Final = (
    "The token cannot be checked now, because the sign-in service does not answer; please try again."
)
SIGN_IN_IS_ELSEWHERE: Final = (
    "Signing in is not done here but by Better Auth, which the front end serves at its own address under /api/auth."
)


def requires_token(path: str) -> bool:
    """Whether a path requires a token. It is decoded: an encoded slash does not evade that."""
    return path.startswith(PROTECTED)


class Authentication:
    """Verifies the bearer token of a request (RFC 6750), and that its user is the path's."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def authenticate(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Response | None:
        """The error response to a request that requires a token, or None.

        Then ``scope["owner"]`` has the token's claims.

        Args:
            scope: of the request; ``resource`` and ``path_params`` have been found.
            headers: the request's, the last one of each name.
        """
        path: str = scope["path"]
        if path.startswith(SIGN_IN) and path[len(SIGN_IN) :][:1] in {"", "/"}:
            return respond(scope, 404, SIGN_IN_IS_ELSEWHERE)
        try:
            token = _bearer_token(scope, headers)
            try:
                claims = self._verifier.verify(token)
            except UnknownKey as unknown:
                await self._verifier.refresh(unknown)
                claims = self._verifier.verify(token)
        except JwksUnavailable as error:
            observe(AuthUnavailable(error.reason))
            return respond(scope, 503, KEYS_UNAVAILABLE, headers={"Retry-After": str(error.retry_after_seconds)})
        except InvalidToken as error:
            return _unauthorized(scope, error)
        if scope["resource"] is None:
            return respond(scope, 404)
        # A path that names no user is the token's own user's.
        if scope["path_params"].setdefault("user_id", claims.subject) != claims.subject:
            observe(AuthRejected("another user", claims.subject))
            return respond(scope, 403)
        scope["owner"] = claims
        return None


def _unauthorized(scope: Scope, error: InvalidToken) -> Response:
    """401 with a challenge (RFC 6750 §3). The log learns the reason, the client learns little."""
    observe(AuthRejected(error.reason))
    if error.reason == MISSING:
        return respond(scope, 401, TOKEN_MISSING, headers={"WWW-Authenticate": CHALLENGE})
    detail = TOKEN_EXPIRED if error.expired else TOKEN_INVALID
    return respond(scope, 401, detail, headers={"WWW-Authenticate": CHALLENGE_INVALID})


def _bearer_token(scope: Scope, headers: Mapping[bytes, bytes]) -> bytes:
    """The token of the one ``Authorization`` header.

    Raises:
        InvalidToken: there is none, or several.
    """
    value = headers.get(b"authorization", b"")
    if len(headers) < len(scope["headers"]) and [name for name, _ in scope["headers"]].count(b"authorization") > 1:
        raise InvalidToken("several Authorization headers")
    scheme, _, token = value.partition(b" ")
    token = token.strip()
    if scheme.lower() != b"bearer" or not token:
        raise InvalidToken(MISSING)
    return token


def _owner(
    request: Request,
    user_id: Annotated[  # noqa: ARG001 - checked by the middleware; named here for the OpenAPI document
        str,
        Path(
            description="The signed-in user's id: the token's `sub`.",
            json_schema_extra={"minLength": 1, "maxLength": MAX_SUBJECT_LENGTH},
        ),
    ],
) -> Claims:
    claims: Claims = request.scope["owner"]
    return claims


Owner = Annotated[Claims, Depends(_owner)]
"""The path's user, proven to be the token's: ``owner.subject`` is the user's id."""
