"""Attacks on JWKS tokens, one row each with its one answer; the service takes both types.

``test_tokens.py`` has the same for the shared secret, and for credentials that are not where they
belong.
"""

import hmac
import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.api.test_tasks import assert_problem
from tests.harness import SECRET, Server, serving
from tests.identity_server import IdentityServer, SigningKey, encoded

USER = "bV12vHh0d3xhAVa7B3NitZNxHrZ0cEWe"
INVALID, EXPIRED = "The token is invalid.", "The token has expired."


class Scene:
    """An identity server with a key of three kinds, a forger's keys, and a service."""

    def __init__(self, identity: IdentityServer) -> None:
        self.identity = identity
        self.ed, self.ec, self.rsa = identity.keys
        self.forger = SigningKey("RSA", "forger")

    def claims(self, **more: Any) -> dict[str, Any]:
        return self.identity.claims(USER, **more)

    def good(self, **more: Any) -> str:
        return self.ed.sign(self.claims(**more), "EdDSA")

    def headed(self, key: SigningKey | None = None, algorithm: str = "EdDSA", **header: Any) -> str:
        """A genuine token with something more in its header."""
        return (key or self.ed).sign(self.claims(), algorithm, **header)

    def forged(self, **header: Any) -> str:
        """A token of the forger's own, whose header says what else to believe."""
        return self.forger.sign(self.claims(), "RS256", **{"kid": self.rsa.id, **header})

    def confused(self, key: bytes, algorithm: str = "HS256") -> str:
        """HMAC with a public key as the secret (RFC 8725 §2.1)."""
        digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[algorithm]
        return self.unsigned({"alg": algorithm, "kid": self.rsa.id}, lambda text: hmac.digest(key, text, digest))

    def unsigned(self, header: Any, sign: Callable[[bytes], bytes] = lambda _: b"", payload: Any = None) -> str:
        """A token made by hand."""
        text = f"{encoded(header)}.{encoded(self.claims() if payload is None else payload)}"
        return f"{text}.{encoded(sign(text.encode()))}"

    def raw(self, payload: bytes) -> str:
        """A genuine signature over bytes that no library would sign."""
        header = {"alg": "EdDSA", "kid": self.ed.id}
        return self.unsigned(header, self.ed.private.sign, payload)

    def pem(self, key: SigningKey) -> bytes:
        public: bytes = key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return public

    def der(self, key: SigningKey) -> bytes:
        public: bytes = key.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return public


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    keys = SigningKey("Ed25519", "ed"), SigningKey("P-256", "ec"), SigningKey("RSA", "rsa", alg="RS256")
    with IdentityServer(*keys).listening() as identity:
        yield Scene(identity)


@pytest.fixture(scope="module")
def both(scene: Scene, worker_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that accepts both types of token."""
    directory = tmp_path_factory.mktemp("both")
    with serving(directory, DATABASE_URL=worker_database, BETTER_AUTH_URL=scene.identity.origin) as running:
        yield running


def ask(both: Server, token: str | bytes) -> httpx.Response:
    """What the list of the user's tasks answers to a token."""
    credential = b"Bearer " + (token if isinstance(token, bytes) else token.encode())
    return httpx.get(f"{both.url}/api/{USER}/tasks", headers=[(b"Authorization", credential)], timeout=20)


def swapped(token: str, part: int, other: str) -> str:
    """A token with one part of another."""
    parts = token.split(".")
    parts[part] = other.split(".")[part]
    return ".".join(parts)


def under(algorithm: Any) -> Callable[[Scene], str]:
    """A token without a signature whose header says so, in one spelling or another."""
    return lambda scene: scene.unsigned({"alg": algorithm, "kid": "ed"})


ALGORITHM_NAMES: list[Any] = [
    "none", "None", "NONE", "nOnE", "none ", "", None, ["EdDSA"], ["none", "EdDSA"], 0, {}, "eddsa", "Ed25519",
]  # fmt: skip
ACCEPTED: dict[str, Callable[[Scene], str]] = {
    "EdDSA": lambda scene: scene.good(),
    "ES256": lambda scene: scene.headed(scene.ec, "ES256"),
    "RS256": lambda scene: scene.headed(scene.rsa, "RS256"),
    "typ": lambda scene: scene.headed(typ="JWT"),
    "HS256 with the shared secret": lambda scene: scene.confused(SECRET.encode()),
    "jwk beside a genuine signature": lambda scene: scene.headed(jwk=scene.forger.jwk),
    "several audiences": lambda scene: scene.good(aud=["x", scene.identity.origin]),
}
ATTACKS: dict[str, Callable[[Scene], str]] = {
    **{f"alg {name!r}": under(name) for name in ALGORITHM_NAMES},
    "no alg": lambda scene: scene.unsigned({"kid": "ed"}),
    "HS256 with the public key in PEM": lambda scene: scene.confused(scene.pem(scene.rsa)),
    "HS256 with the PEM's last line break cut": lambda scene: scene.confused(scene.pem(scene.rsa).strip()),
    "HS256 with the public key in DER": lambda scene: scene.confused(scene.der(scene.rsa)),
    "HS256 with the public key as JWK": lambda scene: scene.confused(json.dumps(scene.rsa.jwk).encode()),
    "HS256 with the modulus": lambda scene: scene.confused(scene.rsa.jwk["n"].encode()),
    "HS256 with the Ed25519 public key": lambda scene: scene.confused(scene.ed.private.public_key().public_bytes_raw()),
    "HS256 with nothing": lambda scene: scene.confused(b""),
    "HS384 with the shared secret": lambda scene: scene.confused(SECRET.encode(), "HS384"),
    "HS512 with the shared secret": lambda scene: scene.confused(SECRET.encode(), "HS512"),
    "PS256 where the key says RS256": lambda scene: scene.headed(scene.rsa, "PS256"),
    "RS512 where the key says RS256": lambda scene: scene.headed(scene.rsa, "RS512"),
    "RS256 under an EC key's id": lambda scene: scene.headed(scene.rsa, "RS256", kid="ec"),
    "ES256 under an Ed25519 key's id": lambda scene: scene.headed(scene.ec, "ES256", kid="ed"),
    "forged under a known id": lambda scene: scene.forged(),
    "jwk": lambda scene: scene.forged(jwk=scene.forger.jwk),
    "jku": lambda scene: scene.forged(jku=f"{scene.identity.origin}/forged"),
    "x5u": lambda scene: scene.forged(x5u=f"{scene.identity.origin}/forged"),
    "x5c": lambda scene: scene.forged(x5c=[b64encode(scene.der(scene.forger)).decode()]),
    "kid of nobody": lambda scene: scene.forged(kid="nobody"),
    "kid as a path": lambda scene: scene.forged(kid="../../../../dev/null"),
    "kid as SQL": lambda scene: scene.forged(kid="' OR 1=1 --"),
    "kid as an address": lambda scene: scene.forged(kid=f"{scene.identity.origin}/forged"),
    "kid a number": lambda scene: scene.unsigned({"alg": "EdDSA", "kid": 1}, scene.ed.private.sign),
    "kid a list": lambda scene: scene.unsigned({"alg": "EdDSA", "kid": ["ed"]}, scene.ed.private.sign),
    "kid twice": lambda scene: scene.unsigned(b'{"alg":"EdDSA","kid":"x","kid":"ed"}', scene.ed.private.sign),
    "alg twice": lambda scene: scene.unsigned(b'{"alg":"none","kid":"ed","alg":"EdDSA"}', scene.ed.private.sign),
    "crit": lambda scene: scene.headed(crit=["exp"]),
    "crit empty": lambda scene: scene.unsigned({"alg": "EdDSA", "kid": "ed", "crit": []}, scene.ed.private.sign),
    "b64": lambda scene: scene.unsigned({"alg": "EdDSA", "kid": "ed", "b64": False}, scene.ed.private.sign),
    "b64 and crit": lambda scene: scene.unsigned(
        {"alg": "EdDSA", "kid": "ed", "b64": False, "crit": ["b64"]}, scene.ed.private.sign
    ),
    "JWE": lambda scene: ".".join([encoded({"alg": "RSA-OAEP", "enc": "A256GCM"}), "a", "b", "c", "d"]),
    "JWE of the JWKS's own algorithm": lambda scene: scene.good() + ".x.y",
    "JSON serialisation": lambda scene: json.dumps({"payload": "x", "signatures": []}),
    "signature of another token": lambda scene: swapped(scene.good(), 2, scene.good(jti="x")),
    "payload of another token": lambda scene: swapped(scene.good(), 1, scene.good(jti="x")),
    "header of another token": lambda scene: swapped(scene.good(), 0, scene.headed(scene.ec, "ES256")),
    "signature truncated": lambda scene: scene.good()[:-4],
    "signature missing": lambda scene: scene.good().rpartition(".")[0],
    "signature empty": lambda scene: scene.good().rpartition(".")[0] + ".",
    "signature doubled": lambda scene: scene.good() + scene.good().rpartition(".")[2],
    "signature padded": lambda scene: scene.good() + "==",
    "signature of zeros": lambda scene: scene.good().rpartition(".")[0] + "." + "A" * 86,
    "ES256 signature of zeros": lambda scene: scene.headed(scene.ec, "ES256").rpartition(".")[0] + "." + "A" * 86,
    "ES256 signature in DER": lambda scene: scene.unsigned(
        {"alg": "ES256", "kid": "ec"}, lambda text: b"\x30\x06\x02\x01\x01\x02\x01\x01"
    ),
    "sub twice": lambda scene: scene.raw(json.dumps(scene.claims())[:-1].encode() + b', "sub": "v"}'),
    "exp twice": lambda scene: scene.raw(json.dumps(scene.claims(exp=1))[:-1].encode() + b', "exp": 9999999999}'),
    "exp missing": lambda scene: scene.good(exp=None),
    "exp a string": lambda scene: scene.good(exp="9999999999"),
    "exp true": lambda scene: scene.good(exp=True),
    "exp NaN": lambda scene: scene.raw(json.dumps(scene.claims(exp=float("nan"))).encode()),
    "exp infinite": lambda scene: scene.raw(json.dumps(scene.claims(exp=float("inf"))).encode()),
    "exp of 400 digits": lambda scene: scene.good(exp=10**400),
    "exp far beyond": lambda scene: scene.good(exp=10**15),
    "exp negative": lambda scene: scene.good(exp=-1),
    "nbf in the future": lambda scene: scene.good(nbf=int(time.time()) + 600),
    "iat in the future": lambda scene: scene.good(iat=int(time.time()) + 600),
    "iat a string": lambda scene: scene.good(iat="now"),
    "sub missing": lambda scene: scene.good(sub=None),
    "sub empty": lambda scene: scene.good(sub=""),
    "sub a number": lambda scene: scene.good(sub=1),
    "sub a list": lambda scene: scene.good(sub=[USER]),
    "sub with U+0000": lambda scene: scene.good(sub=f"{USER}\x00"),
    "sub a lone surrogate": lambda scene: scene.raw(
        json.dumps(scene.claims()).replace(USER, f"{USER}\\ud800").encode()
    ),
    "id instead of sub": lambda scene: scene.good(sub=None, id=USER, email="ada@example.com"),
    "userId instead of sub": lambda scene: scene.good(sub=None, userId=USER),
    "a session instead of sub": lambda scene: scene.good(sub=None, session={"userId": USER}, user={"id": USER}),
    "iss missing": lambda scene: scene.good(iss=None),
    "iss of another": lambda scene: scene.good(iss="https://evil.example"),
    "iss with /api/auth": lambda scene: scene.good(iss=f"{scene.identity.origin}/api/auth"),
    "aud missing": lambda scene: scene.good(aud=None),
    "aud of another": lambda scene: scene.good(aud=["https://evil.example"]),
    "shared secret, iss of another": lambda scene: scene.unsigned(
        {"alg": "HS256"},
        lambda text: hmac.digest(SECRET.encode(), text, "sha256"),
        scene.claims(iss="https://evil.example"),
    ),
    "payload a list": lambda scene: scene.raw(b"[]"),
    "payload empty": lambda scene: scene.raw(b""),
    "payload compressed": lambda scene: scene.headed(zip="DEF", crit=["zip"]),
    "9 KB": lambda scene: scene.good(padding="x" * 9000),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_genuine_token_is_accepted(both: Server, scene: Scene, name: str) -> None:
    assert ask(both, ACCEPTED[name](scene)).status_code == 200


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_answers_401_and_tells_nothing(both: Server, scene: Scene, name: str) -> None:
    problem = assert_problem(ask(both, ATTACKS[name](scene)), 401, "unauthorized")

    assert problem["detail"] == INVALID
    (line,) = both.log(event="auth.refused", request_id=problem["request_id"])
    assert line["reason"] not in {"missing", "expired", "another user"}


def test_expired_token_is_called_expired(both: Server, scene: Scene) -> None:
    problem = assert_problem(ask(both, scene.good(exp=int(time.time()) - 60)), 401, "unauthorized")

    assert problem["detail"] == EXPIRED


def test_token_of_a_megabyte_is_rejected_before_it_is_read(both: Server, scene: Scene) -> None:
    assert ask(both, scene.good(padding="x" * 2**20)).status_code in {400, 401, 431}


def test_no_header_makes_the_service_fetch_what_it_names(both: Server, scene: Scene) -> None:
    assert ask(both, scene.good()).status_code == 200
    before = scene.identity.fetches
    for name in ("jku", "x5u"):
        assert ask(both, scene.forged(**{name: f"{scene.identity.origin}/forged"})).status_code == 401

    assert scene.identity.fetches == before


@pytest.mark.parametrize("name", ["X-User-Id", "X-Forwarded-User", "X-Auth-Request-User", "Remote-User"])
def test_header_that_names_the_user_is_no_credential(both: Server, name: str) -> None:
    response = httpx.get(f"{both.url}/api/{USER}/tasks", headers={name: USER})

    assert_problem(response, 401, "unauthorized")
