"""Which tokens prove a user, and which do not, however well they are signed."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jwt
import pytest

from tests.harness import SECRET
from todo_api.tokens import Claims, InvalidToken, Verifier, sign
from todo_api.tokens.claims import MAX_LEVELS

NOW = 1_800_000_000
USER = "bV12vHh0d3xhAVa7B3NitZNxHrZ0cEWe"
CANARY = "canarycanarycanary"
HS256 = {"alg": "HS256"}
ISSUER = "https://app.example.com"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(clock: Clock) -> Verifier:
    return Verifier(SECRET, clock=clock)


def segment(content: bytes | Mapping[str, Any]) -> bytes:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def forge(
    payload: bytes | Mapping[str, Any],
    header: bytes | Mapping[str, Any] = HS256,
    *,
    key: bytes = SECRET.encode(),
    digest: str = "sha256",
) -> bytes:
    """A token made by hand, with a genuine signature."""
    signed = segment(header) + b"." + segment(payload)
    return signed + b"." + segment(hmac.digest(key, signed, digest))


def payload(**more: Any) -> dict[str, Any]:
    return {"sub": USER, "iat": NOW, "exp": NOW + 900, **more}


def raw(**more: str) -> bytes:
    """A payload whose values are JSON text as given."""
    members = {"sub": json.dumps(USER), "exp": str(NOW + 900), **more}
    return ("{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in members.items()) + "}").encode()


def without(name: str, **more: Any) -> dict[str, Any]:
    return {key: value for key, value in payload(**more).items() if key != name}


def cookie_cache(**more: Any) -> dict[str, Any]:
    """What Better Auth puts into its cookie cache."""
    return {
        "session": {"id": "s1", "token": "t1", "userId": USER, "expiresAt": "2027-01-22T08:00:00.000Z"},
        "user": {"id": USER, "email": "ada@example.com", "name": "Ada", "emailVerified": True},
        "updatedAt": NOW * 1000,
        "version": "1",
        "iat": NOW,
        "exp": NOW + 300,
        **more,
    }


def rejection(verifier: Verifier, token: bytes) -> InvalidToken:
    """The rejection of the token."""
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token)
    return caught.value


class TestGenuineToken:
    def test_claims_are_answered(self, verifier: Verifier) -> None:
        token = forge(payload(email="ada@example.com", name="Ada"))

        assert verifier.verify(token) == Claims(USER, "ada@example.com", "Ada", NOW + 900)

    def test_email_and_name_may_be_absent(self, verifier: Verifier) -> None:
        assert verifier.verify(forge(payload())) == Claims(USER, None, None, NOW + 900)

    def test_same_token_answers_the_same_claims_again(self, verifier: Verifier) -> None:
        token = forge(payload(email="ada@example.com"))

        assert verifier.verify(token) == verifier.verify(token)

    @pytest.mark.parametrize(
        "header",
        [
            {"alg": "HS256"},
            {"alg": "HS256", "typ": "JWT"},
            {"alg": "HS256", "typ": "at+jwt"},
            {"alg": "HS256", "typ": "odd"},
            {"alg": "HS256", "typ": ""},
            {"alg": "HS256", "typ": None},
            {"alg": "HS256", "kid": "k1"},
            {"alg": "HS256", "jku": "http://127.0.0.1:1/jwks", "x5u": "http://127.0.0.1:1/x5u"},
            {"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}, "x5c": ["AAAA"]},
        ],
    )
    def test_header_parameters_that_prove_nothing_are_ignored(self, verifier: Verifier, header: dict[str, Any]) -> None:
        assert verifier.verify(forge(payload(), header)).subject == USER

    @pytest.mark.parametrize(
        "secret",
        [
            "ключ-" * 8,
            "dGhpcyBsb29rcyBsaWtlIGJhc2U2NCBidXQgaXMgdGV4dA==",  # pragma: allowlist secret
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ",
            "-----BEGIN PUBLIC KEY-----\nQm9yaW5n\n-----END PUBLIC KEY-----",
        ],
    )
    def test_key_is_the_secrets_raw_utf8_bytes_whatever_it_looks_like(self, clock: Clock, secret: str) -> None:
        token = forge(payload(), key=secret.encode())

        assert Verifier(secret, clock=clock).verify(token).subject == USER

    def test_token_of_8_kib_is_accepted_and_the_next_longer_is_rejected(self, verifier: Verifier) -> None:
        by_length = {len(token): token for token in (forge(payload(pad="x" * size)) for size in range(5900, 6100))}
        longest = max(length for length in by_length if length <= 8192)
        too_long = min(length for length in by_length if length > 8192)

        assert longest >= 8190
        assert verifier.verify(by_length[longest]).subject == USER
        assert rejection(verifier, by_length[too_long])

    def test_longest_token_is_rejected_unread(self, verifier: Verifier) -> None:
        reasons = {rejection(verifier, content).reason for content in (b"x" * 8193, b"." * 8193, forge(b"x" * 9000))}

        assert len(reasons) == 1


class TestSignature:
    @pytest.mark.parametrize(
        "alg", ["none", "None", "NONE", "nOnE", "", None, "hs256", "Hs256", "HS256 ", ["HS256"], 0]
    )
    def test_other_spelling_of_the_algorithm_is_rejected_signed_or_not(self, verifier: Verifier, alg: Any) -> None:
        signed = forge(payload(), {"alg": alg})

        assert rejection(verifier, signed)
        assert rejection(verifier, signed.rpartition(b".")[0] + b".")

    @pytest.mark.parametrize(
        ("alg", "digest"),
        [("HS384", "sha384"), ("HS512", "sha512"), ("HS384", "sha256"), ("HS512", "sha256"), ("HS256", "sha512")],
    )
    def test_other_digest_is_rejected(self, verifier: Verifier, alg: str, digest: str) -> None:
        assert rejection(verifier, forge(payload(), {"alg": alg}, digest=digest))

    @pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA", "Ed25519", "A128KW", "unknown"])
    def test_algorithm_of_another_type_of_token_is_rejected(self, verifier: Verifier, alg: str) -> None:
        assert rejection(verifier, forge(payload(), {"alg": alg}))

    def test_header_without_algorithm_is_rejected(self, verifier: Verifier) -> None:
        assert rejection(verifier, forge(payload(), {"typ": "JWT"}))

    @pytest.mark.parametrize("crit", [["exp"], ["b64"], [], None, "exp", {}])
    def test_crit_header_is_rejected(self, verifier: Verifier, crit: Any) -> None:
        assert rejection(verifier, forge(payload(), {"alg": "HS256", "crit": crit, "exp": NOW, "b64": True}))

    def test_unencoded_payload_is_rejected(self, verifier: Verifier) -> None:
        assert rejection(verifier, forge(payload(), {"alg": "HS256", "b64": False, "crit": ["b64"]}))
        assert rejection(verifier, forge(payload(), {"alg": "HS256", "b64": False}))

    @pytest.mark.parametrize(
        "key",
        [b"", b"x" * 32, SECRET.upper().encode(), SECRET[:-1].encode(), bytes.fromhex(SECRET), b"\n" + SECRET.encode()],
    )
    def test_wrong_secret_is_rejected(self, verifier: Verifier, key: bytes) -> None:
        assert rejection(verifier, forge(payload(), key=key))

    def test_key_inside_the_token_is_not_trusted(self, verifier: Verifier) -> None:
        key = b"the attacker's own key, 32 bytes"
        jwk = {"kty": "oct", "alg": "HS256", "k": segment(key).decode()}

        assert rejection(verifier, forge(payload(), {"alg": "HS256", "jwk": jwk}, key=key))

    def test_payload_of_another_user_under_the_same_signature_is_rejected(self, verifier: Verifier) -> None:
        header, _, signature = forge(payload()).split(b".")

        assert rejection(verifier, b".".join([header, segment(payload(sub="mallory")), signature]))

    def test_any_changed_character_is_rejected(self, verifier: Verifier) -> None:
        token = forge(payload())
        verifier.verify(token)
        changed = [
            token[:index] + (b"A" if token[index : index + 1] != b"A" else b"w") + token[index + 1 :]
            for index in range(len(token))
        ]

        assert all(rejection(verifier, other) for other in changed)

    def test_any_truncation_is_rejected(self, verifier: Verifier) -> None:
        token = forge(payload())
        verifier.verify(token)

        assert all(rejection(verifier, token[:length]) for length in range(len(token)))
        assert all(rejection(verifier, token[start:]) for start in range(1, len(token)))

    @pytest.mark.parametrize("padding", [b"=", b"==", b"===", b"===="])
    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_padding_is_rejected(self, verifier: Verifier, padding: bytes, place: int) -> None:
        segments = forge(payload()).split(b".")
        segments[place] += padding

        assert rejection(verifier, b".".join(segments))

    def test_padding_that_is_signed_is_rejected(self, verifier: Verifier) -> None:
        signed = base64.urlsafe_b64encode(json.dumps(HS256).encode()) + b"." + segment(payload())
        assert b"=" in signed

        assert rejection(verifier, signed + b"." + segment(hmac.digest(SECRET.encode(), signed, "sha256")))

    @pytest.mark.parametrize(
        "token",
        [
            b"",
            b".",
            b"..",
            b"a.b",
            b"a.b.c",
            b"a.b.c.d.e",
            b"\xff.\xff.\xff",
            "ü.ü.ü".encode(),
            b"\x00",
            b"null",
            b"{}",
            segment(b"\xff") + b".e30.AAAA",
            segment(b"[]") + b".e30.AAAA",
            segment(b"[" * 3000 + b"]" * 3000) + b".e30.AAAA",
            segment(b'{"alg":' + b"9" * 5000 + b"}") + b".e30.AAAA",
        ],
        ids=range(15),
    )
    def test_what_is_no_token_at_all_is_rejected(self, verifier: Verifier, token: bytes) -> None:
        assert rejection(verifier, token)

    @pytest.mark.parametrize(("before", "after"), [(b"", b"\n"), (b" ", b""), (b"", b"."), (b".", b""), (b"", b".x")])
    def test_anything_around_a_genuine_token_is_rejected(self, verifier: Verifier, before: bytes, after: bytes) -> None:
        assert rejection(verifier, before + forge(payload()) + after)


class TestTimes:
    def test_exp_is_required(self, verifier: Verifier) -> None:
        assert rejection(verifier, forge(without("exp")))

    @pytest.mark.parametrize(
        "exp",
        [
            "null",
            "true",
            "false",
            f'"{NOW + 900}"',
            '""',
            "[]",
            "{}",
            f"[{NOW + 900}]",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e400",
            "-1e400",
            "1e308",
            "-1",
            "-1.5",
            f"-{NOW}",
            f"{NOW + 900}000",
            "9007199254740993",
            "9" * 400,
            "9" * 5000,
            "-" + "9" * 400,
        ],
    )
    def test_unusable_exp_is_rejected(self, verifier: Verifier, exp: str) -> None:
        assert not rejection(verifier, forge(raw(exp=exp))).expired

    @pytest.mark.parametrize("exp", [f"{NOW + 900}.5", f"{NOW + 900}.0", "1.9e9", "19E8", "4102444800"])
    def test_whole_or_finite_number_is_accepted_as_exp(self, verifier: Verifier, exp: str) -> None:
        assert verifier.verify(forge(raw(exp=exp))).expires_at == float(exp)

    @pytest.mark.parametrize("exp", [0, 1, NOW - 86400, NOW - 31, NOW - 30.5])
    def test_expired_token_is_rejected_as_such(self, verifier: Verifier, exp: float) -> None:
        assert rejection(verifier, forge(payload(exp=exp))).expired

    def test_token_is_good_until_exp(self, verifier: Verifier, clock: Clock) -> None:
        token = forge(payload(exp=NOW + 60))
        clock.now = NOW + 59

        assert verifier.verify(token).subject == USER

    def test_token_verified_before_is_rejected_once_expired(self, verifier: Verifier, clock: Clock) -> None:
        token = forge(payload(exp=NOW + 60))
        verifier.verify(token)
        clock.now = NOW + 60 + 31

        assert rejection(verifier, token).expired
        assert rejection(verifier, token).expired

    def test_each_token_expires_by_itself(self, verifier: Verifier, clock: Clock) -> None:
        short, long = forge(payload(exp=NOW + 60)), forge(payload(exp=NOW + 900))
        verifier.verify(short)
        verifier.verify(long)
        clock.now = NOW + 100

        assert rejection(verifier, short).expired
        assert verifier.verify(long).expires_at == NOW + 900

    @pytest.mark.parametrize("name", ["nbf", "iat"])
    @pytest.mark.parametrize("moment", [NOW + 31, NOW + 86400, NOW * 1000, -1, True, f"{NOW}", [], {}])
    def test_nbf_or_iat_in_the_future_or_unusable_is_rejected(self, verifier: Verifier, name: str, moment: Any) -> None:
        assert not rejection(verifier, forge(payload(**{name: moment}))).expired

    @pytest.mark.parametrize("name", ["nbf", "iat"])
    @pytest.mark.parametrize("moment", [NOW, NOW - 1, NOW - 0.5, NOW - 86400 * 365, 0])
    def test_nbf_or_iat_in_the_past_is_accepted(self, verifier: Verifier, name: str, moment: float) -> None:
        assert verifier.verify(forge(payload(**{name: moment}))).subject == USER

    def test_iat_may_be_absent(self, verifier: Verifier) -> None:
        assert verifier.verify(forge(without("iat"))).subject == USER

    def test_token_rejected_for_nbf_is_accepted_when_its_time_has_come(self, verifier: Verifier, clock: Clock) -> None:
        token = forge(payload(nbf=NOW + 60))

        assert rejection(verifier, token)
        clock.now = NOW + 60
        assert verifier.verify(token).subject == USER


class TestSubject:
    @pytest.mark.parametrize(
        "subject", ["1", "x" * 255, "😀" * 255, "a/b", " ", "ü", "550e8400-e29b-41d4-a716-446655440000"]
    )
    def test_any_text_of_up_to_255_characters_is_a_user(self, verifier: Verifier, subject: str) -> None:
        assert verifier.verify(forge(payload(sub=subject))).subject == subject

    @pytest.mark.parametrize(
        "subject",
        [
            '""',
            "1",
            "1.5",
            "null",
            "true",
            "[]",
            f'["{USER}"]',
            "{}",
            '"' + "x" * 256 + '"',
            r'"a\u0000b"',
            r'"\ud800"',
        ],
    )
    def test_unusable_subject_is_rejected(self, verifier: Verifier, subject: str) -> None:
        assert rejection(verifier, forge(raw(sub=subject)))

    @pytest.mark.parametrize("subject", ['""', "1", "null", "false", "[]", r'"a\u0000"'])
    def test_unusable_subject_beside_a_good_session_is_rejected(self, verifier: Verifier, subject: str) -> None:
        session = {name: json.dumps(value) for name, value in cookie_cache().items()}
        assert rejection(verifier, forge(raw(**{**session, "sub": subject})))

    @pytest.mark.parametrize(
        "claims",
        [
            {},
            {"email": "ada@example.com"},
            {"email": "ada@example.com", "updateTo": "eve@example.com", "requestType": "change-email-confirmation"},
            {"id": USER},
            {"userId": USER},
            {"user_id": USER},
            {"uid": USER},
            {"user": USER},
            {"user": {"id": USER, "email": "ada@example.com"}},
            {"session": {"userId": USER}},
        ],
    )
    def test_token_without_subject_or_session_is_rejected(self, verifier: Verifier, claims: dict[str, Any]) -> None:
        assert rejection(verifier, forge({"iat": NOW, "exp": NOW + 3600, **claims}))


class TestCookieCache:
    def test_user_is_the_one_of_session_and_user(self, verifier: Verifier) -> None:
        assert verifier.verify(forge(cookie_cache())) == Claims(USER, "ada@example.com", "Ada", NOW + 300)

    def test_email_and_name_come_from_the_user_alone(self, verifier: Verifier) -> None:
        token = forge(cookie_cache(user={"id": USER}, email="eve@example.com", name="Eve"))

        assert verifier.verify(token) == Claims(USER, None, None, NOW + 300)

    def test_subject_where_present_is_the_user(self, verifier: Verifier) -> None:
        assert verifier.verify(forge(cookie_cache(sub="grace"))) == Claims("grace", None, None, NOW + 300)

    @pytest.mark.parametrize(
        "more",
        [
            {"user": {"id": "mallory", "email": "ada@example.com"}},
            {"user": {"email": "ada@example.com"}},
            {"user": {"id": None}},
            {"user": {"id": [USER]}},
            {"user": None},
            {"user": USER},
            {"user": [{"id": USER}]},
            {"session": {"userId": "mallory"}},
            {"session": {"id": USER}},
            {"session": {"user_id": USER}},
            {"session": None},
            {"session": USER},
            {"session": {"userId": None}, "user": {"id": None}},
            {"session": {}, "user": {}},
            {"session": {"userId": ""}, "user": {"id": ""}},
            {"session": {"userId": 1}, "user": {"id": 1}},
            {"session": {"userId": True}, "user": {"id": True}},
            {"session": {"userId": ["x"]}, "user": {"id": ["x"]}},
            {"session": {"userId": "x" * 256}, "user": {"id": "x" * 256}},
            {"session": {"userId": "a\x00"}, "user": {"id": "a\x00"}},
            {"session": {"userId": "\ud800"}, "user": {"id": "\ud800"}},
        ],
    )
    def test_session_and_user_that_do_not_agree_on_a_usable_id_are_rejected(
        self, verifier: Verifier, more: dict[str, Any]
    ) -> None:
        assert rejection(verifier, forge(cookie_cache(**more)))

    @pytest.mark.parametrize("name", ["session", "user", "exp"])
    def test_nothing_of_it_may_be_missing(self, verifier: Verifier, name: str) -> None:
        claims = cookie_cache()
        del claims[name]

        assert rejection(verifier, forge(claims))

    def test_it_expires_like_any_other(self, verifier: Verifier, clock: Clock) -> None:
        token = forge(cookie_cache())
        verifier.verify(token)
        clock.now = NOW + 300 + 31

        assert rejection(verifier, token).expired


class TestPayload:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"[]",
            b"null",
            b"1",
            b'"text"',
            b"not JSON",
            b"{",
            b"{}}",
            b"{'sub':'x'}",
            raw().replace(b"}", b",}"),
            raw(more="NaN"),
            raw(more="[Infinity]"),
            raw(more='{"deep":-Infinity}'),
            raw() + b"\x00",
            b"\xff\xfe" + raw(),
            b"\xef\xbb\xbf" + raw(),
            raw(name='"\xff"').decode().encode("latin-1"),
            raw().decode().encode("utf-16"),
            raw(sub='"\x01"'),
            raw(more="9" * 5000),
            raw(more="[" * 2900 + "]" * 2900),
        ],
        ids=range(21),
    )
    def test_what_is_no_json_object_is_rejected(self, verifier: Verifier, content: bytes) -> None:
        token = forge(content)
        assert len(token) <= 8192

        assert not rejection(verifier, token).expired

    @pytest.mark.parametrize(("levels", "accepted"), [(MAX_LEVELS - 1, True), (MAX_LEVELS, False)])
    def test_json_may_be_nested_as_deep_under_every_python(
        self, verifier: Verifier, levels: int, accepted: bool
    ) -> None:
        token = forge(raw(more="[" * levels + "]" * levels))

        if accepted:
            assert verifier.verify(token).subject == USER
        else:
            assert not rejection(verifier, token).expired

    @pytest.mark.parametrize(
        "content",
        [
            raw()[:-1] + b',"sub":"mallory"}',
            raw()[:-1] + b',"sub":"' + USER.encode() + b'"}',
            raw()[:-1] + b',"exp":9999999999}',
            raw()[:-1] + rb',"\u0073ub":"mallory"}',
            raw(other='{"a":1,"a":2}'),
            raw(other='[{"a":1,"a":1}]'),
            json.dumps(cookie_cache()).replace('"userId"', '"userId":"mallory","userId"').encode(),
        ],
        ids=range(7),
    )
    def test_name_that_occurs_twice_is_rejected(self, verifier: Verifier, content: bytes) -> None:
        assert not rejection(verifier, forge(content)).expired

    @pytest.mark.parametrize("name", ["email", "name"])
    @pytest.mark.parametrize("value", ["1", "null", "true", "[]", '{"a":1}', r'"a\u0000b"', r'"\ud800"', r'"x\udfffy"'])
    def test_profile_that_cannot_be_stored_counts_as_absent(self, verifier: Verifier, name: str, value: str) -> None:
        claims = verifier.verify(forge(raw(**{name: value})))

        assert (claims.subject, claims.email, claims.name) == (USER, None, None)

    def test_profile_may_hold_any_text(self, verifier: Verifier) -> None:
        claims = verifier.verify(forge(payload(email="ü@例え.jp", name="Ada 😀 \u2028")))

        assert (claims.email, claims.name) == ("ü@例え.jp", "Ada 😀 \u2028")


class TestIssuerAndAudience:
    @pytest.fixture
    def strict(self, clock: Clock) -> Verifier:
        return Verifier(SECRET, issuers=(ISSUER, "https://b.example"), audiences=(ISSUER, "api"), clock=clock)

    @pytest.mark.parametrize(
        "more",
        [
            {},
            {"iss": ISSUER},
            {"iss": "https://b.example", "aud": "api"},
            {"aud": ISSUER},
            {"aud": ["api"]},
            {"aud": ["other", "api"]},
        ],
    )
    def test_absent_or_matching_names_are_accepted(self, strict: Verifier, more: dict[str, Any]) -> None:
        assert strict.verify(forge(payload(**more))).subject == USER

    @pytest.mark.parametrize(
        "more",
        [
            {"iss": "https://evil.example"},
            {"iss": f"{ISSUER}/"},
            {"iss": ISSUER.upper()},
            {"iss": ""},
            {"iss": [ISSUER]},
            {"iss": {}},
            {"iss": 1},
            {"aud": "other"},
            {"aud": ""},
            {"aud": []},
            {"aud": ["other", "another"]},
            {"aud": [["api"]]},
            {"aud": [{"api": 1}, 1, None]},
            {"aud": {"api": True}},
            {"aud": 1},
            {"iss": ISSUER, "aud": "other"},
            {"iss": "other", "aud": "api"},
        ],
    )
    def test_other_names_are_rejected(self, strict: Verifier, more: dict[str, Any]) -> None:
        assert rejection(strict, forge(payload(**more)))

    @pytest.mark.parametrize("more", [{"iss": "https://evil.example"}, {"aud": "other"}, {"aud": ["other"]}])
    def test_any_name_is_accepted_where_the_settings_name_none(self, verifier: Verifier, more: dict[str, Any]) -> None:
        assert verifier.verify(forge(payload(**more))).subject == USER

    @pytest.mark.parametrize("more", [{"iss": "https://evil.example"}, {"aud": "other"}])
    def test_cookie_cache_token_is_held_to_them_as_well(self, strict: Verifier, more: dict[str, Any]) -> None:
        assert strict.verify(forge(cookie_cache())).subject == USER
        assert rejection(strict, forge(cookie_cache(**more)))


def test_two_verifiers_share_nothing(verifier: Verifier, clock: Clock) -> None:
    token = forge(payload())
    verifier.verify(token)

    assert rejection(Verifier("another secret of 32 bytes or more", clock=clock), token)


class TestReason:
    def hostile(self) -> Iterator[bytes]:
        """Tokens that carry a canary wherever one fits, each rejected for another reason."""
        yield CANARY.encode()
        yield f"{CANARY}.{CANARY}.{CANARY}".encode()
        yield CANARY.encode() * 600
        yield forge(payload(sub=CANARY), key=CANARY.encode())
        yield forge(payload(sub=CANARY), {"alg": CANARY})
        yield forge(payload(sub=CANARY), {"alg": "HS256", "kid": [CANARY]})
        yield forge(payload(sub=CANARY), {"alg": "HS256", "crit": [CANARY], CANARY: 1})
        yield forge(payload(sub=CANARY), CANARY.encode())
        yield forge(CANARY.encode())
        yield forge(f'["{CANARY}"]'.encode())
        yield forge(f'{{"{CANARY}":1,"{CANARY}":2}}'.encode())
        yield forge(payload(sub=CANARY * 20))
        yield forge(payload(sub=CANARY + "\x00"))
        yield forge(payload(sub=CANARY + "\ud800"))
        yield forge(without("sub", email=CANARY))
        yield forge(payload(sub=CANARY, iss=CANARY))
        yield forge(payload(sub=CANARY, aud=[CANARY]))
        for name in ("exp", "nbf", "iat"):
            yield forge(payload(sub=CANARY, **{name: CANARY}))
            yield forge(payload(sub=CANARY, **{name: NOW * 1000}))
        yield forge(payload(sub=CANARY, exp=NOW - 3600))

    def test_it_holds_no_part_of_the_token(self, clock: Clock) -> None:
        strict = Verifier(SECRET, issuers=(ISSUER,), audiences=(ISSUER,), clock=clock)
        for token in self.hostile():
            error = rejection(strict, token)
            shown = f"{error.reason} {error} {error!r}"
            parts = {token[start : start + 6].decode() for start in range(len(token) - 5)}

            assert [part for part in {*parts, CANARY, str(NOW), SECRET} if part in shown] == []

    def test_reasons_are_a_small_closed_set(self, clock: Clock) -> None:
        strict = Verifier(SECRET, issuers=(ISSUER,), audiences=(ISSUER,), clock=clock)
        reasons = {rejection(strict, token).reason for token in self.hostile()}
        again = {rejection(strict, token.replace(b"Y2FuYXJ5", b"Y2FuYXJx")).reason for token in self.hostile()}

        assert 5 <= len(reasons) <= 30
        assert again <= reasons | {"InvalidSignatureError"}

    def test_only_an_expired_token_is_called_expired(self, verifier: Verifier) -> None:
        assert rejection(verifier, forge(payload(exp=NOW - 60))).expired
        assert not rejection(verifier, forge(payload(exp=NOW - 60), key=b"x" * 32)).expired


class TestSign:
    def claims(self) -> dict[str, Any]:
        now = int(time.time())
        return {"sub": USER, "iat": now, "exp": now + 60, "email": "ü@example.com", "name": 'Ada "the first"'}

    def test_verifier_accepts_it(self) -> None:
        claims = self.claims()
        token = sign(claims, SECRET)

        assert Verifier(SECRET).verify(token.encode()) == Claims(USER, claims["email"], claims["name"], claims["exp"])

    def test_pyjwt_decodes_it(self) -> None:
        claims = self.claims()

        assert jwt.decode(sign(claims, SECRET), SECRET, algorithms=["HS256"]) == claims

    def test_it_is_hs256_under_the_raw_bytes_of_the_secret(self) -> None:
        signed, _, signature = sign(self.claims(), SECRET).encode().rpartition(b".")
        expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()

        assert signature == segment(expected)
