"""What a token must say, and what it says of its user; the same for both families of tokens.

Bytes of a JSON object come in, ``Claims`` come out. Everything is checked by RFC 7519 and RFC 8725; what
fails raises ``InvalidToken`` with a reason that is for the log alone.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

LEEWAY_SECONDS = 10
MAX_SUBJECT_LENGTH = 255
MAX_TIME = 253_402_300_800  # the year 10000


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


@dataclass(frozen=True, slots=True)
class Names:
    """What ``iss`` and ``aud`` may be. Empty: whatever they are."""

    issuers: frozenset[str] = frozenset()
    audiences: frozenset[str] = frozenset()

    def check(self, payload: Mapping[str, Any], *, required: bool) -> None:
        """Hold ``iss`` and ``aud`` (RFC 7519 §4.1.1, §4.1.3) to them; they may be absent unless required.

        Raises:
            InvalidToken: one of them is another, or is missing.
        """
        issuer = payload.get("iss")
        if self.issuers and (required or issuer is not None):
            _require(isinstance(issuer, str) and issuer in self.issuers, "iss")
        audience = payload.get("aud")
        if self.audiences and (required or audience is not None):
            named = audience if isinstance(audience, list) else [audience]
            _require(any(isinstance(name, str) and name in self.audiences for name in named), "aud")


def read_claims(payload: Mapping[str, Any], *, now: float) -> Claims:
    """The user of a payload whose signature is genuine, unless its time has not come.

    That it has passed is not looked at here: ``expires_at`` says when.

    Raises:
        InvalidToken: something is missing, unusable or in the future.
    """
    expires_at = _check_times(payload, now)
    subject, profile = _user(payload)
    return Claims(subject, _text(profile.get("email")), _text(profile.get("name")), expires_at)


def _require(condition: bool, reason: str) -> None:  # noqa: FBT001 - what is required comes first
    if not condition:
        raise InvalidToken(reason)


def _check_times(payload: Mapping[str, Any], now: float) -> float:
    """``exp`` is required; ``nbf`` and ``iat`` must not lie ahead (RFC 7519 §4.1.4 to §4.1.6)."""
    expires_at = _time(payload, "exp")
    if expires_at is None:
        raise InvalidToken("exp missing")
    for name in ("nbf", "iat"):
        moment = _time(payload, name)
        if moment is not None and moment > now + LEEWAY_SECONDS:
            raise InvalidToken(f"{name} in the future")
    return expires_at


def json_object(payload: bytes) -> dict[str, Any]:
    """A JSON object whose names are unique.

    Raises:
        InvalidToken: the bytes are none.
    """
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
    if not 0 <= value < MAX_TIME or not math.isfinite(value):
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
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_SUBJECT_LENGTH or _text(value) is None:
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
