"""A bearer token in, the claims of a user out.

Both types of token, and a cache of what was verified.

The header's ``alg`` decides the type, and a key verifies its own type's algorithms alone (RFC 8725
§3.1): HS256 belongs to the shared secret, everything else to the JWKS.
"""

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from jwt.utils import base64url_decode

from todo_api.tokens import hs256, jwks
from todo_api.tokens.cache import TokenCache, Verified
from todo_api.tokens.claims import LEEWAY_SECONDS, Claims, InvalidToken, json_object, read_claims
from todo_api.tokens.decoder import Decoder
from todo_api.tokens.jwks_client import JwksClient

MAX_TOKEN_BYTES = 8192
SESSION_TOKEN = re.compile(rb"[A-Za-z0-9]{32}([.][A-Za-z0-9+/%]+(=|%3[Dd])?)?")
"""Better Auth's session token: 32 letters and digits; in its cookie and from the bearer plugin a
signature follows, whose base64 may be percent-encoded."""


class UnknownKey(InvalidToken):
    """The key that the token names is not known; after ``Verifier.refresh`` it may be."""

    def __init__(self, key_id: str | None, algorithm: str) -> None:
        super().__init__("unknown key")
        self.key_id = key_id
        self.algorithm = algorithm


class Verifier:
    """Verifies tokens, and caches the verified by digest.

    Args:
        secret: of the shared-secret tokens; None: there is none.
        keys: of the JWKS tokens; None: there are none.
        issuers, audiences: what ``iss`` and ``aud`` may be. A JWKS token must have them, a
            shared-secret token may lack them. Empty: anything.
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
        self._clock = clock
        self._cache = TokenCache()
        self._cached = self._cache.get
        self._publishes = bool if keys is None else keys.publishes
        shared = {hs256.ALGORITHM: hs256.SharedSecret()}
        self._shared = Decoder(shared, issuers=issuers, audiences=audiences, names_required=False)
        self._published = Decoder(jwks.ALGORITHMS, issuers=issuers, audiences=audiences)

    def verify(self, token: bytes) -> Claims:
        """The claims of a token that is genuine and valid now.

        Raises:
            UnknownKey: it names a key that is not known yet, or none at all.
            InvalidToken: it is not.
        """
        digest = hashlib.sha256(token).digest()
        claims, fingerprint = self._cached(digest) or (None, None)
        if claims is None or (fingerprint is not None and not self._publishes(fingerprint)):
            claims, fingerprint = self._examine(token)
            self._cache.add(digest, (claims, fingerprint), now=self._clock() - LEEWAY_SECONDS)
        if claims.expires_at <= self._clock() - LEEWAY_SECONDS:
            raise InvalidToken("expired")
        return claims

    def known_subject(self, token: bytes) -> str | None:
        """Whose token this is, if it was verified before; it may not be valid any more."""
        verified = self._cached(hashlib.sha256(token).digest())
        return None if verified is None else verified[0].subject

    async def refresh(self, unknown: UnknownKey) -> None:
        """Look for the key after ``UnknownKey``.

        Raises:
            JwksUnavailable: no JWKS was ever obtained, or the last one is too old.
        """
        if self._keys is not None:
            await self._keys.refresh(unknown.key_id, unknown.algorithm)

    def _examine(self, token: bytes) -> Verified:
        if len(token) > MAX_TOKEN_BYTES:
            raise InvalidToken("too long")
        if SESSION_TOKEN.fullmatch(token):
            raise InvalidToken("session token")
        if b"=" in token:
            raise InvalidToken("padded")  # RFC 7515 §2: base64url without padding
        header = _header(token)
        algorithm = header.get("alg")
        if not isinstance(algorithm, str):
            raise InvalidToken("no algorithm")
        if "crit" in header:
            raise InvalidToken("crit")  # RFC 7515 §4.1.11: we understand no extension
        if algorithm == hs256.ALGORITHM and self._secret is not None:
            payload = self._shared.verify(token, self._secret, algorithm)
            return read_claims(payload, now=self._clock()), None
        if algorithm in jwks.ALGORITHMS and self._keys is not None:
            key = self._find_key(self._keys, token, header, algorithm)
            payload = self._published.verify(token, key.public, algorithm)
            return self._read_published(payload), key.fingerprint
        raise InvalidToken("algorithm")

    def _find_key(self, keys: JwksClient, token: bytes, header: Mapping[str, Any], algorithm: str) -> jwks.Key:
        """The key of the token's header.

        A token that no key could make valid (an old one, one of another server) is rejected
        without, so that it causes no fetch.
        """
        key_id = header.get("kid")
        if not isinstance(key_id, str | None):
            raise InvalidToken("kid")
        key = keys.find(key_id, algorithm)
        if key is None:
            claims = self._read_published(self._published.unverified(token))
            if claims.expires_at > self._clock() - LEEWAY_SECONDS:
                raise UnknownKey(key_id, algorithm)
            raise InvalidToken("expired")
        return key

    def _read_published(self, payload: Mapping[str, Any]) -> Claims:
        if "sub" not in payload:
            raise InvalidToken("no subject")  # a cookie cache counts under the shared secret alone
        return read_claims(payload, now=self._clock())


def peek(token: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a token says of itself, unverified.

    Header and payload, empty where they cannot be read.
    """
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
