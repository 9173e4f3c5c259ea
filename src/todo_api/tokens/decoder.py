"""PyJWT, set up for one type of token.

Its algorithms, the issuers and audiences it may name, strict JSON.

The bytes of a token come in, its claims come out. PyJWT checks the signature, ``iss``, ``aud`` and
that there is an ``exp``; what else a token must say is in ``claims``.
"""

from collections.abc import Mapping
from typing import Any

from jwt import PyJWS, PyJWT
from jwt.algorithms import Algorithm
from jwt.exceptions import InvalidAudienceError, InvalidIssuerError, InvalidTokenError, MissingRequiredClaimError
from jwt.types import Options
from typing_extensions import override

from todo_api.tokens.claims import InvalidToken, json_object

REASONS: Mapping[type[Exception], str] = {InvalidIssuerError: "iss", InvalidAudienceError: "aud"}
OURS: Options = {
    "verify_exp": False,  # checked on every request, whether the token is cached or not
    "verify_nbf": False,  # PyJWT takes true and "123" for a time
    "verify_iat": False,
    "verify_sub": False,  # a cookie cache has none
    "verify_jti": False,
}
"""What PyJWT leaves to ``claims``, which is stricter."""


class Decoder(PyJWT):
    """Verifies the tokens of one type.

    Args:
        algorithms: by their names in a token's header (RFC 7518 §3.1); no other is ever used.
        issuers, audiences: what ``iss`` and ``aud`` may be (RFC 7519 §4.1.1, §4.1.3). Empty:
            anything.
        names_required: whether a token must have ``iss`` and ``aud``. Otherwise a token that lacks
            one is treated as if it named us.
    """

    def __init__(
        self,
        algorithms: Mapping[str, Algorithm],
        *,
        issuers: tuple[str, ...] = (),
        audiences: tuple[str, ...] = (),
        names_required: bool = True,
    ) -> None:
        super().__init__({"require": ["exp"], "verify_iss": bool(issuers), "verify_aud": bool(audiences), **OURS})
        self._jws = PyJWS(algorithms=[])
        for name, algorithm in algorithms.items():
            self._jws.register_algorithm(name, algorithm)
        self._issuers = issuers
        self._audiences = audiences
        ours = {} if names_required else {"iss": issuers[:1], "aud": audiences[:1]}
        self._defaults = {name: values[0] for name, values in ours.items() if values}

    def verify(self, token: bytes, key: Any, algorithm: str) -> dict[str, Any]:
        """The claims of a token that this key signed with this algorithm.

        Raises:
            InvalidToken: it did not, or ``iss``, ``aud`` or ``exp`` is missing or another than it
                may be.
        """
        return self._claims(token, key, [algorithm], self.options)

    def unverified(self, token: bytes) -> dict[str, Any]:
        """The claims that a token has if its signature should prove genuine.

        Raises:
            InvalidToken: ``iss``, ``aud`` or ``exp`` is missing or another than it may be.
        """
        return self._claims(token, "", [], {**self.options, "verify_signature": False})

    def _claims(self, token: bytes, key: Any, algorithms: list[str], options: Any) -> dict[str, Any]:
        try:
            return self.decode(token, key, algorithms, options, issuer=self._issuers, audience=self._audiences)
        except MissingRequiredClaimError as error:
            raise InvalidToken(f"{error.claim} missing") from None
        except (InvalidTokenError, UnicodeError) as error:
            raise InvalidToken(REASONS.get(type(error), type(error).__name__)) from None

    @override
    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        return {**self._defaults, **json_object(decoded["payload"])}
