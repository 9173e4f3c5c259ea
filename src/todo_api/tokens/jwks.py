"""A key set (RFC 7517): the public keys that Better Auth's JWT plugin signs with, as they are published.

Bytes of JSON come in; what comes out knows which key may verify which algorithm. Symmetric keys, keys for
encryption, weak keys and kinds that nobody here knows are left out, whatever else the set holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jwt.algorithms import Algorithm, get_default_algorithms
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from todo_api.tokens.claims import InvalidToken, json_object

MAX_KEYS = 100
MIN_RSA_BITS = 2048  # RFC 7518 §3.3

RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ALGORITHMS_BY_KIND: Mapping[tuple[Any, Any], tuple[str, ...]] = {
    ("OKP", "Ed25519"): ("EdDSA",),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("RSA", None): RSA_ALGORITHMS,
}
"""By ``kty`` and ``crv`` (RFC 7518 §6.2.1, RFC 8037 §2): what the key may verify. Nothing symmetric."""

ALGORITHMS = frozenset(name for names in ALGORITHMS_BY_KIND.values() for name in names)

_jws = PyJWS(algorithms=sorted(ALGORITHMS))


class UnusableJwks(Exception):
    """What was fetched is no key set, or holds no key that can be used."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key. Two are equal when they have the same id, kind and numbers."""

    id: str | None
    algorithms: frozenset[str]
    numbers: frozenset[tuple[str, str]]
    public: Any = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Jwks:
    """Public keys, in the order in which they were published."""

    keys: tuple[Key, ...] = ()

    def find(self, key_id: str | None, algorithm: str) -> Key | None:
        """The key that a token's header names; for a header without ``kid`` the only one that fits, if it is the only one."""
        fitting = [key for key in self.keys if algorithm in key.algorithms and key_id in {None, key.id}]
        return fitting[0] if len(fitting) == 1 or (fitting and key_id is not None) else None


def parse(content: bytes) -> Jwks:
    """Read a JWK Set (RFC 7517 §5).

    Raises:
        UnusableJwks: it is none, or none of its keys can be used.
    """
    try:
        published = json_object(content).get("keys")
    except InvalidToken:
        raise UnusableJwks("not a JSON object") from None
    if not isinstance(published, list):
        raise UnusableJwks("no keys member")
    keys = tuple(key for key in map(_key, published[:MAX_KEYS]) if key is not None)
    if not keys:
        raise UnusableJwks("no key that can be used" if published else "empty")
    return Jwks(keys)


def decode(token: bytes, key: Key, algorithm: str) -> dict[str, Any]:
    """Header and payload of a token that this key signed with this algorithm.

    Raises:
        jwt.InvalidTokenError, UnicodeError: it is none.
    """
    return _jws.decode_complete(token, key.public, algorithms=[algorithm])


def _key(jwk: Any) -> Key | None:
    """The key, or None when it is not for us to use."""
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig":
        return None
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    algorithms = ALGORITHMS_BY_KIND.get((_text(jwk.get("kty")), _text(jwk.get("crv"))), ())
    if "alg" in jwk:  # its own algorithm and no other, where it names one
        algorithms = tuple(name for name in algorithms if name == jwk["alg"])
    key_id = jwk.get("kid")
    if not algorithms or not isinstance(key_id, str | None):
        return None
    numbers = {name: jwk[name] for name in ("kty", "crv", "x", "y", "n", "e") if isinstance(jwk.get(name), str)}
    try:
        public = _ALGORITHMS[algorithms[0]].from_jwk(numbers)  # without its private part, should it hold one
    except (PyJWTError, ValueError, TypeError):
        return None
    if getattr(public, "key_size", MIN_RSA_BITS) < MIN_RSA_BITS and numbers["kty"] == "RSA":
        return None
    return Key(key_id, frozenset(algorithms), frozenset(numbers.items()), public)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


_ALGORITHMS: Mapping[str, type[Algorithm] | Algorithm] = get_default_algorithms()
