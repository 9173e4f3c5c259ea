"""Whatever bytes a token, a JWKS, a cursor or a header holds.

It is read, or rejected by the exception for that.
"""

import json
import time
from base64 import urlsafe_b64encode
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st
from jwt.api_jws import PyJWS
from msgspec.structs import replace

from tests.harness import SECRET, claims, token
from tests.properties.effort import effort
from todo_api.routes import preconditions, task_list
from todo_api.routes.task_list import ListQuery, _read
from todo_api.tokens import Claims, InvalidToken, Verifier, peek
from todo_api.tokens.jwks import UnusableJwks, parse

SUBJECT = "bV12vHh0d3xhAVa7B3NitZNxHrZ0cEWe"
GENUINE = token(SUBJECT, exp=int(time.time()) + 86_400, email="ada@example.com", name="Ada").encode()

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def any_of(names: list[str], likely: dict[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of these names, each holding what belongs there or anything at all."""
    return st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(likely.get(name, [None])) | values for name in names}
    )


moments = [0, 1, int(time.time()) + 3600, 253_402_300_799, 253_402_300_800, -1, 1e400, 10**400]
payloads = any_of(
    ["sub", "exp", "nbf", "iat", "iss", "aud", "email", "name", "session", "user"],
    {
        "sub": [SUBJECT, "", "x" * 256, "\ud800", "\x00"],
        **dict.fromkeys(["exp", "nbf", "iat"], moments),
        "session": [{"userId": SUBJECT}],
        "user": [{"id": SUBJECT, "email": "ada@example.com"}],
    },
)
headers = any_of(["alg", "typ", "kid", "crit", "jwk", "zip", "b64"], {"alg": ["HS256"], "typ": ["JWT"], "b64": [False]})


@st.composite
def damaged(draw: st.DrawFn, genuine: bytes) -> bytes:
    """The genuine bytes with a piece cut out, and another put in."""
    start = draw(st.integers(0, len(genuine)))
    end = draw(st.integers(start, min(len(genuine), start + 8)))
    return genuine[:start] + draw(st.binary(max_size=8) | st.sampled_from([b".", b"=", b"A", b"-"])) + genuine[end:]


class TestTokens:
    @effort(75, soak_share=0.005)
    @given(candidate=st.binary(max_size=200) | st.text(".ABeyJ-_=", max_size=60).map(str.encode))
    def test_bytes_that_nobody_signed_are_rejected(self, candidate: bytes) -> None:
        with pytest.raises(InvalidToken):
            Verifier(SECRET).verify(candidate)

    @effort(100, soak_share=0.005)
    @given(candidate=damaged(GENUINE))
    @example(GENUINE[:-1])
    @example(GENUINE + b".")
    def test_damaged_token_is_rejected_or_says_what_the_genuine_one_does(self, candidate: bytes) -> None:
        genuine = Verifier(SECRET).verify(GENUINE)
        with suppress(InvalidToken):
            assert Verifier(SECRET).verify(candidate) == genuine  # the last letter has bits to spare

    @effort(100, soak_share=0.005)
    @given(payload=payloads | values)
    def test_signed_payload_is_rejected_or_names_a_user_that_postgresql_can_hold(self, payload: Any) -> None:
        signed = PyJWS().encode(json.dumps(payload).encode(), SECRET, algorithm="HS256").encode()
        try:
            found = Verifier(SECRET).verify(signed)
        except InvalidToken:
            return
        assert 1 <= len(found.subject) <= 255
        for text in (found.subject, found.email or "", found.name or ""):
            assert "\x00" not in text.encode().decode()
        assert found.expires_at > time.time() - 60
        assert found.subject in {payload.get("sub"), payload.get("session", {}).get("userId")}

    @effort(75, soak_share=0.005)
    @given(header=headers)
    def test_signed_header_is_rejected_or_is_plain_hs256(self, header: dict[str, Any]) -> None:
        head, body = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims(SUBJECT)))
        key = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
        signature = urlsafe_b64encode(key.sign(head + b"." + body, SECRET.encode())).rstrip(b"=")
        try:
            Verifier(SECRET).verify(b".".join((head, body, signature)))
        except InvalidToken:
            return
        assert header["alg"] == "HS256"
        assert "crit" not in header

    @effort(75, soak_share=0.005)
    @given(candidate=st.binary(max_size=200) | damaged(GENUINE))
    def test_doctor_can_look_at_anything(self, candidate: bytes) -> None:
        assert [type(part) for part in peek(candidate)] == [dict, dict]


PUBLISHED = jwt.algorithms.OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate().public_key(), as_dict=True)
jwks = any_of(
    ["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops"],
    {
        "kty": ["OKP", "EC", "RSA", "oct"],
        "crv": ["Ed25519", "P-256", "P-384", "P-521", "Ed448"],
        **{name: [PUBLISHED["x"], "AQAB", "AA", "=", "A" * 400] for name in ("x", "y", "n", "e")},
        "alg": ["EdDSA", "ES256", "RS256", "HS256"],
        "use": ["sig", "enc"],
        "key_ops": [["verify"], ["sign"], "verify", 5],
    },
)


class TestJwks:
    @effort(100, soak_share=0.005)
    @given(published=st.lists(jwks | jwks.map(lambda jwk: {**PUBLISHED, **jwk}) | values, max_size=3))
    def test_published_keys_are_usable_or_left_out(self, published: list[Any]) -> None:
        content = json.dumps({"keys": [*published, {**PUBLISHED, "kid": "ours"}]}).encode()
        if b"NaN" in content or b"Infinity" in content:
            return
        found = parse(content)
        assert found.find("ours", "EdDSA") is not None
        assert not any(found.find(None, name) for name in ("HS256", "none"))

    @effort(75, soak_share=0.005)
    @given(content=st.binary(max_size=100) | values.map(lambda value: json.dumps(value).encode()))
    def test_what_is_no_jwks_is_rejected(self, content: bytes) -> None:
        with pytest.raises(UnusableJwks):
            parse(content)


def page(**more: Any) -> ListQuery:
    return replace(_read(b"sort=title&limit=10"), **{"owner": SUBJECT, **more})


def cursor_of(query: ListQuery, title: str, id: int) -> str:
    moment = datetime(2026, 11, 20, 20, 53, 46, 424_000, tzinfo=UTC)
    link = query.next_link(SimpleNamespace(title=title, created_at=moment, updated_at=moment, id=id), b"/").decode()
    return link.partition("cursor=")[2].partition(">")[0]


def rejected(query: ListQuery, cursor: str) -> bool:
    try:
        query.continued(cursor)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("sort", ["title", "created_at", "updated_at"])
class TestCursors:
    @effort(60, soak_share=0.005)
    @given(candidate=st.text(max_size=80) | st.binary(max_size=60).map(lambda raw: urlsafe_b64encode(raw).decode()))
    def test_invented_cursor_is_a_value_error(self, sort: str, candidate: str) -> None:
        assert rejected(page(sort=sort), candidate)

    @effort(75, soak_share=0.005)
    @given(position=values | st.tuples(st.datetimes().map(str) | st.text(), st.integers()))
    def test_position_with_the_right_digest_is_a_value_error_or_one_that_a_task_can_have(
        self, sort: str, position: Any
    ) -> None:
        query = page(sort=sort)
        forged = task_list._cursor(json.dumps(position).encode(), query._list())  # the digest holds no secret
        try:
            after = query.continued(forged).after
        except ValueError:
            return
        assert after is not None
        key, id = after
        assert 0 < id < 2**63
        assert isinstance(key, str if sort == "title" else datetime)
        assert "\x00" not in str(key).encode().decode()
        assert isinstance(key, str) or key.utcoffset() == timedelta(0)

    @effort(60, soak_share=0.005)
    @given(title=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), data=st.data())
    def test_cursor_of_one_list_is_rejected_by_every_other_and_when_damaged(
        self, sort: str, title: str, data: st.DataObject
    ) -> None:
        cursor = cursor_of(page(sort=sort), title, 7)
        other: dict[str, Any] = data.draw(
            st.sampled_from([{"owner": "mallory"}, {"completed": False}, {"search": "x"}, {"descending": True}])
        )
        broken = data.draw(damaged(cursor.encode()).map(lambda raw: raw.decode("latin-1")))

        assert rejected(page(sort=sort, **other), cursor)
        assert rejected(page(sort=sort), broken) == (broken != cursor)


latin = st.text(st.characters(max_codepoint=255), max_size=60)
tags = st.lists(
    st.sampled_from(['"', "W/", ",", " ", "*", "2026-11-20T20:53:46.424000Z", "9999-12-31T24:00:00Z", "\xff"]) | latin,
    max_size=8,
).map("".join)


class TestHeaders:
    @effort(100, soak_share=0.005)
    @given(text=tags)
    def test_entity_tags_are_a_value_error_or_a_list_of_versions(self, text: str) -> None:
        try:
            preconditions._entity_tags(text)
        except ValueError:
            return
        assert all(moment.tzinfo is not None for moment in preconditions.versions(text))

    @effort(60, soak_share=0.005)
    @given(text=latin)
    def test_idempotency_key_is_a_value_error_or_visible_ascii(self, text: str) -> None:
        try:
            assert preconditions._visible(text) == text
        except ValueError:
            assert not text or not all("!" <= letter <= "~" for letter in text)
        else:
            assert all("!" <= letter <= "~" for letter in text)

    @effort(60, soak_share=0.005)
    @given(text=latin | st.lists(st.sampled_from(["return", "=", "minimal", ",", ";", '"', " "])).map("".join))
    def test_preference_is_minimal_only_when_it_says_so(self, text: str) -> None:
        assert not preconditions.wants_minimal(text) or ("return" in text.lower() and "minimal" in text.lower())


def test_claims_are_those_of_the_genuine_token() -> None:
    found = Verifier(SECRET).verify(GENUINE)

    assert found == Claims(SUBJECT, "ada@example.com", "Ada", found.expires_at)
