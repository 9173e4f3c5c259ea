"""What a token must say, and what it says of its user; the same for both types of token.

A payload comes in, ``Claims`` come out. The rules are those of RFC 7519 and RFC 8725; a token that
breaks one raises ``InvalidToken`` with a reason that is for the log alone.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

LEEWAY_SECONDS = 10
MAX_SUBJECT_LENGTH = 255
MAX_EMAIL_LENGTH = 320  # RFC 5321 §4.5.3.1: 64 octets, an @ and 255 octets
MAX_NAME_LENGTH = 255
MAX_LEVELS = 500  # of nested JSON: what Python's reader takes differs from version to version
MAX_TIME = 253_402_300_800  # the year 10000


class InvalidToken(Exception):
    """The token proves nothing.

    ``reason`` is for the log; ``expired`` may be told to the client.
    """

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


def read_claims(payload: Mapping[str, Any], *, now: float) -> Claims:
    """The user of a payload whose signature is genuine, unless ``nbf`` or ``iat`` is to come.

    Whether the token has expired is not looked at here: ``expires_at`` says when.

    The times are not left to PyJWT, which takes ``true`` and ``"123"`` for times and cuts fractions
    off.

    Raises:
        InvalidToken: something is missing, unusable or in the future.
    """
    expires_at = _check_times(payload, now)
    subject, profile = _user(payload)
    email = _profile_text(profile.get("email"), MAX_EMAIL_LENGTH)
    return Claims(subject, email, _profile_text(profile.get("name"), MAX_NAME_LENGTH), expires_at)


def _check_times(payload: Mapping[str, Any], now: float) -> float:
    """``exp`` is required; ``nbf`` and ``iat`` must not lie ahead (RFC 7519 §4.1.4 to §4.1.6)."""
    for name in ("nbf", "iat"):
        if name in payload and _time(payload, name) > now + LEEWAY_SECONDS:
            raise InvalidToken(f"{name} in the future")
    return _time(payload, "exp")


def _time(payload: Mapping[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519 §2)."""
    value = payload[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken(f"{name} is not a number")
    if not 0 <= value < MAX_TIME or not math.isfinite(value):
        raise InvalidToken(f"{name} is out of range")
    return float(value)


def _user(payload: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The subject, and the object that holds its ``email`` and ``name``.

    Never ``email``, ``id`` or ``userId`` at the top: Better Auth signs its e-mail links with the
    same secret.
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
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_SUBJECT_LENGTH or not _is_storable(value):
        raise InvalidToken("subject is unusable")
    return value


def _profile_text(value: Any, max_length: int) -> str | None:
    """The text, or None: somebody whose name cannot be stored is signed in all the same."""
    return value if isinstance(value, str) and len(value) <= max_length and _is_storable(value) else None


def _is_storable(value: str) -> bool:
    """Whether PostgreSQL can hold the text: no NUL, no lone surrogate."""
    try:
        return b"\x00" not in value.encode()
    except UnicodeEncodeError:
        return False


def json_object(content: bytes) -> dict[str, Any]:
    """A JSON object whose names are unique (RFC 7519 §4).

    Raises:
        InvalidToken: the bytes are none.
    """
    try:
        value = json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InvalidToken("payload is not JSON") from None
    if not isinstance(value, dict):
        raise InvalidToken("payload is not an object")
    if _is_too_deep(value):
        raise InvalidToken("payload is nested too deeply")
    return value


def _is_too_deep(value: Any) -> bool:
    level, levels = [value], 0
    while level and levels < MAX_LEVELS:
        containers = [outer for outer in level if isinstance(outer, dict | list)]
        level = [inner for outer in containers for inner in (outer.values() if isinstance(outer, dict) else outer)]
        levels += 1
    return bool(level)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("duplicate name")
    return names


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are not JSON (RFC 8259 §6)
