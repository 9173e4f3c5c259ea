"""Where exactly a token or a JWKS stops being good, what is logged, and what is cached."""

import asyncio
import gc
import gzip
import json
import logging
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.harness import SECRET, free_port
from tests.identity_server import IdentityServer, SigningKey, verify_with_fresh_keys
from tests.unit.test_tokens import ISSUER, NOW, USER, Clock, forge, payload, segment, without
from todo_api.tokens import (
    InvalidToken,
    JwksClient,
    JwksUnavailable,
    UnknownKey,
    Verifier,
    jwks_client,
    jwks_download,
    peek,
    sign,
)
from todo_api.tokens.cache import ENTRY_BYTES, MAX_CACHE_BYTES
from todo_api.tokens.claims import LEEWAY_SECONDS, MAX_EMAIL_LENGTH, MAX_NAME_LENGTH, MAX_SUBJECT_LENGTH, MAX_TIME
from todo_api.tokens.jwks import UnusableJwks, parse
from todo_api.tokens.verifier import MAX_TOKEN_BYTES

KEY = SigningKey("Ed25519", "one")


def verified(token: bytes, **options: Any) -> str:
    return Verifier(SECRET, clock=Clock(), **options).verify(token).subject


def reason(token: bytes, **options: Any) -> str:
    with pytest.raises(InvalidToken) as caught:
        verified(token, **options)
    assert str(caught.value) == caught.value.reason
    return caught.value.reason


def as_long_as(length: int) -> bytes:
    """A genuine token of exactly so many bytes."""
    for padding in range(length * 3 // 4, 0, -1):
        for more in ("", "x"):  # no base64url is one letter longer than a multiple of four
            token = forge(payload(more="x" * padding), {"alg": "HS256", "more": more})
            if len(token) == length:
                return token
    raise AssertionError(length)


class TestReasons:
    @pytest.mark.parametrize(
        ("token", "expected"),
        [
            (b"x" * (MAX_TOKEN_BYTES + 1), "too long"),
            (forge(payload()) + b"=", "padded"),
            (b"vSmAcFdrAgRsQ5Vk1t3bYJ7pX0zLwNeh", "session token"),  # pragma: allowlist secret
            (b"vSmAcFdrAgRsQ5Vk1t3bYJ7pX0zLwNeh.Q2F0Y2ggbWUgaWYgeW91IGNhbiwgc2Vzc2lvbjEyMzQ=", "session token"),
            (b"vSmAcFdrAgRsQ5Vk1t3bYJ7pX0zLwNeh.Q2F0Y2g%2FbWUgaWYgeW91IGNhbiwgc2Vzc2lvbjEyMzQ%3D", "session token"),
            (b"vSmAcFdrAgRsQ5Vk1t3bYJ7pX0zLwNe", "header"),  # pragma: allowlist secret
            (b"e30.e30.AAAA", "no algorithm"),
            (forge(payload(), {"alg": "HS256", "crit": ["exp"]}), "crit"),
            (forge(payload(), {"alg": "HS512"}), "algorithm"),
            (b"no header", "header"),
            (forge(without("exp")), "exp missing"),
            (forge(payload(nbf=NOW + 60)), "nbf in the future"),
            (forge(payload(iat=NOW + 60)), "iat in the future"),
            (forge(payload(exp="soon")), "exp is not a number"),
            (forge(payload(nbf=-1)), "nbf is out of range"),
            (forge(without("sub")), "no subject"),
            (forge(payload(sub="")), "subject is unusable"),
            (forge(b"[]"), "payload is not an object"),
            (forge(b"{"), "payload is not JSON"),
            (forge(payload(iss="https://elsewhere.example.com")), "iss"),
            (forge(payload(aud="https://elsewhere.example.com")), "aud"),
        ],
    )
    def test_log_is_told_what_is_wrong(self, token: bytes, expected: str) -> None:
        assert reason(token, issuers=(ISSUER,), audiences=(ISSUER,)) == expected

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"<html>", "not a JSON object"),
            (b"{}", "no keys member"),
            (b'{"keys": {}}', "no keys member"),
        ],
    )
    def test_log_is_told_what_is_wrong_with_a_jwks(self, content: bytes, expected: str) -> None:
        with pytest.raises(UnusableJwks) as caught:
            parse(content)

        assert str(caught.value) == expected


class TestBoundaries:
    def test_token_may_have_8192_bytes(self) -> None:
        assert verified(as_long_as(MAX_TOKEN_BYTES)) == USER

    def test_leeway_ends_with_its_last_second(self) -> None:
        assert verified(forge(payload(nbf=NOW + LEEWAY_SECONDS, iat=NOW + LEEWAY_SECONDS))) == USER
        assert verified(forge(payload(exp=NOW - LEEWAY_SECONDS + 1))) == USER
        assert reason(forge(payload(exp=NOW - LEEWAY_SECONDS))) == "expired"

    def test_year_10000_is_no_time(self) -> None:
        assert verified(forge(payload(exp=MAX_TIME - 1))) == USER
        assert reason(forge(payload(exp=MAX_TIME))) == "exp is out of range"


def largest(number: int) -> bytes:
    """A token whose claims take as much memory as a token's can: four bytes a character."""
    wide = "\N{GRINNING FACE}"
    name, email = wide + "n" * (MAX_NAME_LENGTH - 1), wide + "e" * (MAX_EMAIL_LENGTH - 1)
    return forge(payload(sub=f"{number}{wide}".ljust(MAX_SUBJECT_LENGTH, "s"), name=name, email=email))


class TestCache:
    def test_verified_token_is_not_examined_again(self) -> None:
        verifier = Verifier(SECRET, clock=Clock())

        assert verifier.verify(forge(payload())) is verifier.verify(forge(payload()))

    def test_token_that_expires_first_makes_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("todo_api.tokens.cache.MAX_CACHE_BYTES", 2 * (ENTRY_BYTES + 150))
        verifier = Verifier(SECRET, clock=Clock())
        tokens = [forge(payload(exp=NOW + seconds)) for seconds in (30, 10, 20)]
        first, second, third = map(verifier.verify, tokens)

        assert verifier.verify(tokens[0]) is first
        assert verifier.verify(tokens[2]) is third
        assert verifier.verify(tokens[1]) is not second

    def test_expired_tokens_are_dropped_though_there_is_room(self) -> None:
        clock = Clock()
        verifier = Verifier(SECRET, clock=clock)
        for number in range(100):
            verifier.verify(forge(payload(exp=NOW + 60, n=number)))
        clock.now += 60 + LEEWAY_SECONDS
        verifier.verify(forge(payload(exp=NOW + 900)))

        assert len(verifier._cache._verified) == len(verifier._cache._by_expiry) == 1
        assert ENTRY_BYTES < verifier._cache._bytes < 2 * ENTRY_BYTES

    def test_rejected_and_expired_tokens_are_not_held(self) -> None:
        verifier = Verifier(SECRET, clock=Clock())
        for token in (forge(payload(), key=b"x" * 32), forge(payload(exp=NOW - 60))):
            with pytest.raises(InvalidToken):
                verifier.verify(token)

        assert verifier._cache._bytes == len(verifier._cache._verified) == 0

    @pytest.mark.parametrize("token", [largest, lambda number: forge({"sub": str(number), "exp": NOW + 900})])
    def test_it_takes_no_more_memory_than_it_may(
        self, token: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert MAX_CACHE_BYTES == 8 * 1024 * 1024
        limit = MAX_CACHE_BYTES // 16
        monkeypatch.setattr("todo_api.tokens.cache.MAX_CACHE_BYTES", limit)
        verifier = Verifier(SECRET, clock=Clock())
        tracemalloc.start()
        try:
            for number in range(2 * limit // ENTRY_BYTES):
                verifier.verify(token(number))
            gc.collect()
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert limit * 0.9 < verifier._cache._bytes <= limit
        assert limit * 0.5 < taken < limit * 1.1

    @pytest.mark.parametrize(("name", "longest"), [("email", MAX_EMAIL_LENGTH), ("name", MAX_NAME_LENGTH)])
    def test_longer_profile_counts_as_absent(self, name: str, longest: int) -> None:
        verifier = Verifier(SECRET, clock=Clock())

        assert getattr(verifier.verify(forge(payload(**{name: "x" * longest}))), name) == "x" * longest
        assert getattr(verifier.verify(forge(payload(**{name: "x" * (longest + 1)}))), name) is None


def test_peek_shows_header_and_payload() -> None:
    header = {"alg": "HS256", "kid": "x"}

    assert peek(segment(header) + b"." + segment({"sub": USER}) + b".AAAA.more") == (header, {"sub": USER})
    assert peek(segment(header)) == (header, {})
    assert peek(b"") == ({}, {})


def test_signed_token_is_compact_hs256() -> None:
    token = sign({"sub": USER, "exp": NOW + 1}, SECRET).encode()

    assert peek(token)[0]["alg"] == "HS256"
    assert segment(json.dumps({"sub": USER, "exp": NOW + 1}, separators=(",", ":")).encode()) in token.split(b".")


class Both:
    """A verifier of both types of token, and its identity server."""

    def __init__(self, identity: IdentityServer) -> None:
        self.identity = identity
        self.clock = Clock()
        self.source = JwksClient(f"{identity.origin}/jwks", clock=self.clock)
        names = (identity.origin,)
        self.verifier = Verifier(SECRET, keys=self.source, issuers=names, audiences=names)

    def token(self, key: SigningKey = KEY) -> bytes:
        return key.sign(self.identity.claims(USER), "EdDSA").encode()

    def shared(self) -> bytes:
        return sign(self.identity.claims(USER), SECRET).encode()

    async def verify(self, token: bytes) -> str:
        return await verify_with_fresh_keys(self.verifier, token)

    async def settle(self) -> None:
        """Wait for a fetch beside the requests."""
        while self.source._fetching is not None:  # noqa: ASYNC110 - a task of the source's own
            await asyncio.sleep(0.01)


def play(work: Callable[[Both], Coroutine[Any, Any, None]], **answers: Any) -> IdentityServer:
    identity = IdentityServer(KEY)
    for name, value in answers.items():
        setattr(identity, name, value)

    async def run() -> None:
        both = Both(identity)
        try:
            await asyncio.wait_for(work(both), 10)
        finally:
            await both.source.close()
            http = both.source._download._http
            assert http is None or http.is_closed

    with identity.listening():
        asyncio.run(run())
    return identity


class TestBothTypes:
    def test_live_side_by_side(self) -> None:
        async def work(both: Both) -> None:
            assert await both.verify(both.shared()) == USER
            assert both.identity.fetches == 0
            assert await both.verify(both.token()) == USER

        play(work)

    def test_token_of_the_secret_never_renews_the_jwks(self) -> None:
        async def work(both: Both) -> None:
            await both.verify(both.token())
            both.clock.now += 100_000
            await both.verify(both.shared())
            await both.settle()
            assert both.identity.fetches == 1
            await both.verify(both.token())
            await both.settle()
            assert both.identity.fetches == 2

        play(work)

    def test_key_id_that_is_no_text_is_rejected(self) -> None:
        async def work(both: Both) -> None:
            with pytest.raises(InvalidToken) as caught:
                await both.verify(forge(payload(), {"alg": "EdDSA", "kid": 7}))
            assert caught.value.reason == "kid"

        play(work)

    def test_every_removal_is_noticed_not_only_the_first(self) -> None:
        others = [SigningKey("Ed25519", name) for name in ("two", "three")]

        async def work(both: Both) -> None:
            both.identity.keys = [KEY, *others]
            tokens = [both.token(key) for key in others]
            assert [await both.verify(token) for token in tokens] == [USER, USER]
            for token, key in zip(tokens, others, strict=True):
                both.identity.keys.remove(key)
                both.clock.now += jwks_client.FRESH_SECONDS
                await both.verify(both.token())
                await both.settle()
                with pytest.raises(UnknownKey):
                    both.verifier.verify(token)

        play(work)


class TestDownload:
    def test_asks_for_plain_json_and_ignores_the_proxies_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")

        async def work(both: Both) -> None:
            assert await both.verify(both.token()) == USER

        asked = play(work).asked[0]

        assert (asked["accept"], asked["accept-encoding"]) == ("application/json", "identity")

    @pytest.mark.parametrize("moves", [1, 3])
    def test_follows_redirects_to_the_same_origin(self, moves: int) -> None:
        async def work(both: Both) -> None:
            assert await both.verify(both.token()) == USER

        assert play(work, moves=moves).fetches == moves + 1

    def test_gives_up_at_the_fourth_redirect(self) -> None:
        async def work(both: Both) -> None:
            with pytest.raises(JwksUnavailable, match="too many redirects"):
                await both.source.refresh()

        assert play(work, moves=4).fetches == 4

    def test_may_have_256_kib(self) -> None:
        content = json.dumps({"keys": [KEY.jwk]}).encode()

        async def work(both: Both) -> None:
            assert await both.verify(both.token()) == USER

        play(work, body=content.ljust(jwks_download.MAX_JWKS_BYTES))

    @pytest.mark.parametrize(
        ("answers", "expected"),
        [
            ({"status": 404}, "status 404"),
            ({"moves": 100}, "too many redirects"),
            ({"status": 302, "location": "http://127.0.0.1:1/jwks"}, "redirected to another origin"),
            ({"body": b" " * (jwks_download.MAX_JWKS_BYTES + 1)}, "too large"),
            ({"body": b"[]"}, "not a JSON object"),
            ({"body": gzip.compress(b"[]"), "encoding": "gzip"}, "compressed, against Accept-Encoding"),
        ],
    )
    def test_failure_is_logged_and_says_when_to_come_back(
        self, answers: dict[str, Any], expected: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def work(both: Both) -> None:
            waits = []
            for _ in range(4):
                with pytest.raises(JwksUnavailable) as caught:
                    await both.source.refresh()
                assert str(caught.value) == caught.value.reason == expected
                waits.append(caught.value.retry_after_seconds)
            assert waits == [1, 1, 5, 5]  # seconds
            both.clock.now += 3.5
            with pytest.raises(JwksUnavailable) as caught:
                await both.source.refresh()
            assert caught.value.retry_after_seconds == 2

        caplog.set_level(logging.WARNING, jwks_client.log.name)
        play(work, **answers)

        assert {(line.getMessage(), line.__dict__["reason"]) for line in caplog.records} == {
            ("JWKS not obtained", expected)
        }

    def test_failure_without_words_is_named_by_its_kind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(jwks_client, "FETCH_TIMEOUT_SECONDS", 0.05)

        async def work(both: Both) -> None:
            with pytest.raises(JwksUnavailable) as caught:
                await both.source.refresh()
            assert caught.value.reason == "TimeoutError"

        play(work, delay_seconds=0.3)

    def test_failed_renewal_is_tried_again_after_twenty_seconds(self) -> None:
        async def work(both: Both) -> None:
            await both.verify(both.token())
            both.identity.status = 500
            both.clock.now += jwks_client.FRESH_SECONDS
            for seconds, fetches in ((0, 2), (19, 2), (1, 3)):
                both.clock.now += seconds
                await both.verify(both.token())
                await both.settle()
                assert both.identity.fetches == fetches

        play(work)

    def test_nothing_is_renewed_before_the_first(self) -> None:
        clock = Clock()
        source = JwksClient("http://127.0.0.1:1/jwks", clock=clock)
        clock.now += 1e9

        assert not source.publishes("a fingerprint")
        assert source.find(None, "EdDSA") is None
        assert source.keys == ()
        assert source._fetching is None
