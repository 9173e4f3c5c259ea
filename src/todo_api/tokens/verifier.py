"""A bearer token in, the claims of a user out: both families, and a memory of what was verified.

The header's ``alg`` decides the family, and a key verifies its own family's algorithms alone (RFC 8725
§3.1): HS256 belongs to the shared secret, everything else to the key set.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from jwt.exceptions import InvalidTokenError
from jwt.utils import base64url_decode

from todo_api.tokens import hs256 as shared_secret
from todo_api.tokens import jwks as key_set
from todo_api.tokens.claims import LEEWAY_SECONDS, Claims, InvalidToken, Names, json_object, read_claims
from todo_api.tokens.jwks import Key
from todo_api.tokens.jwks_client import JwksClient

MAX_TOKEN_BYTES = 8192
CACHED_TOKENS = 10_000


class UnknownKey(InvalidToken):
    """No key that is known now verifies the token; after ``Verifier.refresh`` one may."""


class Verifier:
    """Verifies tokens, and remembers the verified by digest.

    Args:
        secret: of the shared-secret family; None: there is none.
        keys: of the key-set family; None: there is none.
        issuers, audiences: what ``iss`` and ``aud`` may be. A key-set token must have them, a shared-secret
            token may lack them. Empty: whatever they are.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        secret: str | None = None,
        *,
        keys: JwksClient | None = None,
        issuers: tuple[str, ...] = (),
        audiences: tuple[str, ...] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret = None if secret is None else secret.encode()
        self._keys = keys
        self._names = Names(frozenset(issuers), frozenset(audiences))
        self._clock = clock
        self._verified: dict[bytes, tuple[Claims, Key | None]] = {}
        self._removals = 0

    def verify(self, token: bytes) -> Claims:
        """The claims of a token that is genuine and valid now.

        Raises:
            UnknownKey: it is signed with a key that is not known yet, or with none.
            InvalidToken: it is not.
        """
        if self._keys is not None and self._keys.removals != self._removals:
            self._forget_removed_keys(self._keys)
        digest = hashlib.sha256(token).digest()
        known = self._verified.get(digest)
        if known is None:
            known = self._examine(token)
            if len(self._verified) >= CACHED_TOKENS:
                del self._verified[next(iter(self._verified))]
            self._verified[digest] = known
        claims, key = known
        if claims.expires_at <= self._clock() - LEEWAY_SECONDS:
            self._verified.pop(digest, None)
            raise InvalidToken("expired")
        if key is not None and self._keys is not None:
            self._keys.keep_fresh()
        return claims

    async def refresh(self) -> None:
        """Look for new keys after ``UnknownKey``.

        Raises:
            JwksUnavailable: no key set was ever obtained.
        """
        if self._keys is not None:
            await self._keys.refresh()

    def _examine(self, token: bytes) -> tuple[Claims, Key | None]:
        if len(token) > MAX_TOKEN_BYTES:
            raise InvalidToken("too long")
        if b"=" in token:
            raise InvalidToken("padded")  # RFC 7515 §2: base64url without padding
        header = _header(token)
        algorithm = header.get("alg")
        if not isinstance(algorithm, str):
            raise InvalidToken("no algorithm")
        if "crit" in header:
            raise InvalidToken("crit")  # RFC 7515 §4.1.11: we understand no extension
        key = None
        try:
            if algorithm == shared_secret.ALGORITHM and self._secret is not None:
                decoded = shared_secret.decode(token, self._secret)
            elif algorithm in key_set.ALGORITHMS and self._keys is not None:
                key = self._key(header, algorithm, self._keys)
                decoded = key_set.decode(token, key, algorithm)
            else:
                raise InvalidToken("algorithm")
        except (InvalidTokenError, UnicodeError) as error:
            raise InvalidToken(type(error).__name__) from None
        payload = json_object(decoded["payload"])
        claims = read_claims(payload, now=self._clock())
        self._names.check(payload, required=key is not None)
        if key is not None and "sub" not in payload:
            raise InvalidToken("no subject")  # the cookie cache is signed with the secret
        return claims, key

    def _key(self, header: Mapping[str, Any], algorithm: str, keys: JwksClient) -> Key:
        key_id = header.get("kid")
        if not isinstance(key_id, str | None):
            raise InvalidToken("kid")
        key = keys.keys.find(key_id, algorithm)
        if key is None:
            raise UnknownKey("unknown key")
        return key

    def _forget_removed_keys(self, keys: JwksClient) -> None:
        self._removals = keys.removals
        present = {None, *keys.keys.keys}
        self._verified = {digest: known for digest, known in self._verified.items() if known[1] in present}


def peek(token: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a token says of itself, unverified: header and payload, empty where they cannot be read."""
    parts: list[dict[str, Any]] = []
    for part in [*token.split(b"."), b"", b""][:2]:
        try:
            parts.append(json_object(base64url_decode(part)))
        except (ValueError, InvalidToken):
            parts.append({})
    return parts[0], parts[1]


def _header(token: bytes) -> dict[str, Any]:
    try:
        return json_object(base64url_decode(token.partition(b".")[0]))
    except (ValueError, InvalidToken):
        raise InvalidToken("header") from None
