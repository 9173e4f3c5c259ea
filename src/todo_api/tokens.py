"""A bearer token in, the claims of a user out: Better Auth's shared-secret tokens (HS256).

Two shapes are accepted: a JWT with ``sub``, and Better Auth's cookie-cache token, which has none but
a ``session`` whose ``userId`` is the ``user``'s ``id``. Everything is checked by RFC 7519 and RFC 8725;
what fails raises ``InvalidToken`` with a reason that is for the log alone.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from jwt.algorithms import HMACAlgorithm
from jwt.api_jws import PyJWS
from jwt.exceptions import InvalidTokenError

ALGORITHM = "HS256"
LEEWAY_SECONDS = 10
LONGEST_TOKEN_BYTES = 8192
LONGEST_SUBJECT = 255
LATEST_TIME = 253_402_300_800  # the year 10000
CACHED_TOKENS = 10_000


class _SharedSecret(HMACAlgorithm):
    """HS256 with whatever bytes the secret has; PyJWT refuses those that look like another kind of key."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else key.encode()


_jws = PyJWS(algorithms=[])
_jws.register_algorithm(ALGORITHM, _SharedSecret(HMACAlgorithm.SHA256))


class InvalidToken(Exception):
    """The token proves nothing. ``reason`` is for the log; ``expired`` may be told to the client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    @property
    def expired(self) -> bool:
        """Whether the token was good once."""
        return self.reason == "expired"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says of its user. ``expires_at`` in seconds since 1970."""

    subject: str
    email: str | None
    name: str | None
    expires_at: float


class Verifier:
    """Verifies tokens of one shared secret, and remembers the verified by digest.

    Args:
        secret: the secret's UTF-8 bytes are the key (RFC 7518 §3.2).
        issuers, audiences: what ``iss`` and ``aud`` may be; empty: whatever they are.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        secret: str,
        *,
        issuers: tuple[str, ...] = (),
        audiences: tuple[str, ...] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = secret.encode()
        self._issuers = frozenset(issuers)
        self._audiences = frozenset(audiences)
        self._clock = clock
        self._verified: dict[bytes, Claims] = {}

    def verify(self, token: bytes) -> Claims:
        """The claims of a token that is genuine and valid now.

        Raises:
            InvalidToken: it is not.
        """
        digest = hashlib.sha256(token).digest()
        claims = self._verified.get(digest)
        if claims is None:
            claims = self._examine(token)
            if len(self._verified) >= CACHED_TOKENS:
                del self._verified[next(iter(self._verified))]
            self._verified[digest] = claims
        if claims.expires_at <= self._clock() - LEEWAY_SECONDS:
            self._verified.pop(digest, None)
            raise InvalidToken("expired")
        return claims

    def _examine(self, token: bytes) -> Claims:
        if len(token) > LONGEST_TOKEN_BYTES:
            raise InvalidToken("too long")
        if b"=" in token:
            raise InvalidToken("padded")  # RFC 7515 §2: base64url without padding
        try:
            decoded = _jws.decode_complete(token, self._key, algorithms=[ALGORITHM])
        except (InvalidTokenError, UnicodeError) as error:
            raise InvalidToken(type(error).__name__) from None
        if "crit" in decoded["header"]:
            raise InvalidToken("crit")  # RFC 7515 §4.1.11: we understand no extension
        payload = _json_object(decoded["payload"])
        expires_at = self._check_times(payload)
        self._check_names(payload)
        subject, profile = _user(payload)
        return Claims(subject, _text(profile.get("email")), _text(profile.get("name")), expires_at)

    def _check_times(self, payload: Mapping[str, Any]) -> float:
        """``exp`` is required; ``nbf`` and ``iat`` must not lie ahead (RFC 7519 §4.1.4 to §4.1.6)."""
        expires_at = _time(payload, "exp")
        if expires_at is None:
            raise InvalidToken("exp missing")
        ahead = self._clock() + LEEWAY_SECONDS
        for name in ("nbf", "iat"):
            moment = _time(payload, name)
            if moment is not None and moment > ahead:
                raise InvalidToken(f"{name} in the future")
        return expires_at

    def _check_names(self, payload: Mapping[str, Any]) -> None:
        """A shared-secret token may lack ``iss`` and ``aud``; where both sides name them, they must match."""
        issuer = payload.get("iss")
        if self._issuers and issuer is not None and not (isinstance(issuer, str) and issuer in self._issuers):
            raise InvalidToken("iss")
        audience = payload.get("aud")
        if self._audiences and audience is not None:
            named = audience if isinstance(audience, list) else [audience]
            if not any(isinstance(name, str) and name in self._audiences for name in named):
                raise InvalidToken("aud")


def sign(claims: Mapping[str, Any], secret: str) -> str:
    """A token for development: ``claims`` as they stand, signed with HS256."""
    return _jws.encode(json.dumps(claims, separators=(",", ":")).encode(), secret.encode(), algorithm=ALGORITHM)


def _json_object(payload: bytes) -> dict[str, Any]:
    try:
        value = json.loads(payload.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InvalidToken("payload is not JSON") from None
    if not isinstance(value, dict):
        raise InvalidToken("payload is not an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 7519 §4: claim names must be unique."""
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("duplicate name")
    return names


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are not JSON (RFC 8259 §6)


def _time(payload: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 §2), or None when absent."""
    if name not in payload:
        return None
    value = payload[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken(f"{name} is not a number")
    if not 0 <= value < LATEST_TIME or not math.isfinite(value):
        raise InvalidToken(f"{name} is out of range")
    return float(value)


def _user(payload: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The subject, and the object that holds its ``email`` and ``name``.

    Never ``email``, ``id`` or ``userId`` at the top: Better Auth signs its e-mail links with the same secret.
    """
    if "sub" in payload:
        return _subject(payload["sub"]), payload
    session, user = payload.get("session"), payload.get("user")
    if isinstance(session, dict) and isinstance(user, dict):
        subject = _subject(session.get("userId"))
        if subject == user.get("id"):
            return subject, user
    raise InvalidToken("no subject")


def _subject(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_SUBJECT or _text(value) is None:
        raise InvalidToken("subject is unusable")
    return value


def _text(value: Any) -> str | None:
    """A string that PostgreSQL can hold, or None."""
    if not isinstance(value, str) or "\x00" in value:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return None
    return value
