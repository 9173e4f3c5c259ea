"""HS256 with ``BETTER_AUTH_SECRET``.

Tokens that Better Auth signs with its secret, and our own for development.
"""

import json
from collections.abc import Mapping
from typing import Any

from jwt import PyJWS
from jwt.algorithms import HMACAlgorithm
from typing_extensions import override

ALGORITHM = "HS256"


class SharedSecret(HMACAlgorithm):
    """HS256 with the secret's bytes as they are (RFC 7518 §3.2).

    PyJWT rejects those that look like a public key.
    """

    def __init__(self) -> None:
        super().__init__(HMACAlgorithm.SHA256)

    @override
    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else key.encode()


_jws = PyJWS(algorithms=[])
_jws.register_algorithm(ALGORITHM, SharedSecret())


def sign(claims: Mapping[str, Any], secret: str) -> str:
    """A token for development: ``claims`` as they stand, signed with HS256."""
    return _jws.encode(json.dumps(claims, separators=(",", ":")).encode(), secret.encode(), algorithm=ALGORITHM)
