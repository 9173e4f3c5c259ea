"""A JWK Set (RFC 7517).

The public keys that Better Auth's JWT plugin signs with, as they are published.

Bytes of JSON come in; what comes out knows which key may verify which algorithm. Symmetric keys,
keys for encryption, weak keys, oversized keys and kinds that nobody here knows are left out,
whatever else the set holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from jwt.algorithms import Algorithm, get_default_algorithms
from jwt.exceptions import PyJWTError

from todo_api.tokens.claims import InvalidToken, json_object

MAX_KEYS = 100
MIN_RSA_BITS = 2048  # RFC 7518 §3.3
MAX_RSA_BITS = 8192
MAX_EXPONENT_BITS = 64
"""To verify one signature takes 1 ms of the event loop with 8192 bits, and 6 ms with an exponent of
3064 bits."""

RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ALGORITHMS_BY_KIND: Mapping[tuple[Any, Any], tuple[str, ...]] = {
    ("OKP", "Ed25519"): ("EdDSA",),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("RSA", None): RSA_ALGORITHMS,
}
"""By ``kty`` and ``crv`` (RFC 7518 §6.2.1, RFC 8037 §2): what the key may verify. Nothing
symmetric."""

ALGORITHMS: Mapping[str, Algorithm] = {
    name: algorithm
    for name, algorithm in get_default_algorithms().items()
    if any(name in names for names in ALGORITHMS_BY_KIND.values())
}


class UnusableJwks(Exception):
    """What was fetched is no JWK Set."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key.

    ``fingerprint`` is equal for two with the same id, algorithms and numbers, and only then.
    """

    id: str | None
    algorithms: frozenset[str]
    fingerprint: str
    public: Any = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Jwks:
    """Public keys, in the order in which they were published."""

    keys: tuple[Key, ...] = ()

    def find(self, key_id: str | None, algorithm: str) -> Key | None:
        """The key that a token's header names.

        Without ``kid`` the one that fits, if there is exactly one.
        """
        fitting = [key for key in self.keys if algorithm in key.algorithms and key_id in {None, key.id}]
        return fitting[0] if len(fitting) == 1 or (fitting and key_id is not None) else None


def parse(content: bytes) -> Jwks:
    """Read a JWK Set (RFC 7517 §5).

    One without a key that can be used is a set too: all keys were withdrawn.

    Raises:
        UnusableJwks: it is none.
    """
    try:
        published = json_object(content).get("keys")
    except InvalidToken:
        raise UnusableJwks("not a JSON object") from None
    if not isinstance(published, list):
        raise UnusableJwks("no keys member")
    return Jwks(tuple(key for key in map(_key, published[:MAX_KEYS]) if key is not None))


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
    public = _public_key(numbers, ALGORITHMS[algorithms[0]])
    if public is None:
        return None
    identity = repr((key_id, sorted(algorithms), sorted(numbers.items())))
    return Key(key_id, frozenset(algorithms), sha256(identity.encode(errors="surrogatepass")).hexdigest(), public)


def _public_key(numbers: dict[str, str], algorithm: Algorithm) -> Any:
    """The key without its private part, should the set hold one.

    None when it is malformed, weak or oversized.

    Lengths are looked at before anything is computed: base64url has 6 bits a character.
    """
    if len(numbers.get("e", "")) * 6 > MAX_EXPONENT_BITS + 6 or max(map(len, numbers.values())) * 6 > MAX_RSA_BITS + 16:
        return None
    try:
        public = algorithm.from_jwk(numbers)
    except (PyJWTError, ValueError, TypeError):
        return None
    is_weak = numbers["kty"] == "RSA" and public.key_size < MIN_RSA_BITS
    return None if is_weak else public


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
