"""HS256 with ``BETTER_AUTH_SECRET``: tokens that Better Auth signs with its secret, and our own for development."""

import json
from collections.abc import Mapping
from typing import Any

from jwt.algorithms import HMACAlgorithm
from jwt.api_jws import PyJWS

ALGORITHM = "HS256"


class _SharedSecret(HMACAlgorithm):
    """HS256 with whatever bytes the secret has; PyJWT refuses those that look like another kind of key."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else key.encode()


_jws = PyJWS(algorithms=[])
_jws.register_algorithm(ALGORITHM, _SharedSecret(HMACAlgorithm.SHA256))


def decode(token: bytes, secret: bytes) -> dict[str, Any]:
    """Header and payload of a genuine token (RFC 7518 §3.2: the secret's bytes are the key).

    Raises:
        jwt.InvalidTokenError, UnicodeError: it is none.
    """
    return _jws.decode_complete(token, secret, algorithms=[ALGORITHM])


def sign(claims: Mapping[str, Any], secret: str) -> str:
    """A token for development: ``claims`` as they stand, signed with HS256."""
    return _jws.encode(json.dumps(claims, separators=(",", ":")).encode(), secret.encode(), algorithm=ALGORITHM)
