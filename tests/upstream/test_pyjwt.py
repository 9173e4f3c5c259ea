"""What ``todo_api.tokens`` relies on in PyJWT beyond its documentation, and why on no more."""

import json
from typing import Any

import jwt
import pytest
from jwt.algorithms import HMACAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError
from typing_extensions import override

from tests.identity_server import SigningKey, encoded
from todo_api.tokens.decoder import Decoder
from todo_api.tokens.hs256 import ALGORITHM, SharedSecret, sign

SECRET = "a secret of more than 32 bytes, for HS256"  # pragma: allowlist secret
LIKE_A_KEY = "-----BEGIN PUBLIC KEY-----\nQm9yaW5n\n-----END PUBLIC KEY-----"
FUTURE = 4_102_444_800


def decoder(**names: Any) -> Decoder:
    return Decoder({ALGORITHM: SharedSecret()}, **names)


class TestReliedUpon:
    def test_pyjwt_verifies_signatures_with_its_attribute_jws(self) -> None:
        assert isinstance(jwt.PyJWT()._jws, jwt.PyJWS)
        with pytest.raises(jwt.InvalidAlgorithmError):  # ours knows HS256 alone
            decoder()._jws.decode_complete(sign({}, SECRET), b"", algorithms=["HS512"])

    def test_payload_is_decoded_by_the_hook_after_the_signature_was_verified(self) -> None:
        seen = []

        class Hooked(jwt.PyJWT):
            @override
            def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
                seen.append(decoded["payload"])
                return {"changed": True}

        with pytest.raises(jwt.InvalidSignatureError):
            Hooked().decode(sign({"a": 1}, SECRET), SECRET[1:], ["HS256"])
        assert seen == []
        assert Hooked().decode(sign({"a": 1}, SECRET), SECRET, ["HS256"]) == {"changed": True}
        assert seen == [b'{"a":1}']

    def test_names_are_checked_though_the_signature_is_not(self) -> None:
        options: Any = {"verify_signature": False, "verify_iss": True}
        with pytest.raises(jwt.InvalidIssuerError):
            jwt.decode(sign({"iss": "b"}, SECRET), options=options, issuer=["a"])

    def test_prepare_key_is_called_for_every_signature(self) -> None:
        with pytest.raises(InvalidKeyError):
            HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(LIKE_A_KEY)
        assert SharedSecret().prepare_key(LIKE_A_KEY) == LIKE_A_KEY.encode()
        assert decoder().verify(sign({"exp": 1}, LIKE_A_KEY).encode(), LIKE_A_KEY.encode(), ALGORITHM) == {"exp": 1}

    def test_key_of_a_jwk_is_cryptographys_with_its_size(self) -> None:
        assert RSAAlgorithm.from_jwk(SigningKey("RSA").jwk).key_size == 2048


class TestWhyOursIsStricter:
    @pytest.mark.parametrize("moment", [True, "123", 123.9])
    def test_pyjwt_takes_booleans_and_text_for_times_and_cuts_fractions_off(self, moment: Any) -> None:
        assert jwt.decode(sign({"nbf": moment, "iat": moment}, SECRET), SECRET, ["HS256"])["nbf"] == moment

    def test_pyjwt_accepts_names_that_occur_twice_and_numbers_that_are_not_json(self) -> None:
        jws = jwt.PyJWS()
        for content in (b'{"sub":"a","sub":"b"}', b'{"n":NaN}'):
            token = jws.encode(content, SECRET, "HS256")
            assert jwt.decode(token, SECRET, ["HS256"])

    def test_pyjwt_demands_the_names_of_every_token_or_of_none(self) -> None:
        token = sign({"exp": FUTURE}, SECRET)
        with pytest.raises(jwt.MissingRequiredClaimError) as missing:
            jwt.decode(token, SECRET, ["HS256"], issuer=["a"])
        assert missing.value.claim == "iss"
        lenient = decoder(issuers=("a",), audiences=("b",), names_required=False)
        assert lenient.verify(token.encode(), SECRET.encode(), ALGORITHM) == {"exp": FUTURE, "iss": "a", "aud": "b"}

    def test_pyjwt_verifies_with_a_key_of_any_length(self) -> None:
        numbers = {"kty": "RSA", "n": encoded(b"\xff" * 4096), "e": "AQAB"}
        assert RSAAlgorithm.from_jwk(json.dumps(numbers)).key_size == 8 * 4096
