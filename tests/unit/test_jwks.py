"""Which keys of a set are used, for which algorithms, and when the set is fetched again."""

import asyncio
import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.identity_server import IdentityServer, SigningKey, encoded, verify_with_fresh_keys
from todo_api.tokens import InvalidToken, JwksClient, JwksUnavailable, UnknownKey, Verifier, jwks_client
from todo_api.tokens.jwks import ALGORITHMS, ALGORITHMS_BY_KIND, MAX_RSA_BITS, RSA_ALGORITHMS, Jwks, UnusableJwks, parse

USER = "bV12vHh0d3xhAVa7B3NitZNxHrZ0cEWe"
KINDS = {"Ed25519": ("EdDSA",), "P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "RSA": RSA_ALGORITHMS}


@pytest.fixture(scope="module")
def keys() -> dict[str, SigningKey]:
    """One key of each kind, named by it."""
    return {kind: SigningKey(kind, kind) for kind in [*KINDS, "weak RSA"]}


def published(*jwks: Any) -> bytes:
    return json.dumps({"keys": jwks}).encode()


class TestParse:
    def test_key_verifies_the_algorithms_of_its_kind_alone(self, keys: dict[str, SigningKey]) -> None:
        for kind, algorithms in KINDS.items():
            (key,) = parse(published(keys[kind].jwk)).keys

            assert (key.id, sorted(key.algorithms)) == (kind, sorted(algorithms))

    def test_own_algorithm_narrows_it_down(self, keys: dict[str, SigningKey]) -> None:
        (key,) = parse(published({**keys["RSA"].jwk, "alg": "PS256"})).keys

        assert key.algorithms == {"PS256"}

    def test_nothing_symmetric_is_among_them(self) -> None:
        assert not {name for names in ALGORITHMS_BY_KIND.values() for name in names if name.startswith(("HS", "none"))}

    @pytest.mark.parametrize(
        "change",
        [
            {"use": "enc"},
            {"key_ops": ["sign"]},
            {"key_ops": 7},
            {"key_ops": "verify"},
            {"alg": "HS256"},
            {"alg": "ES512"},
            {"alg": None},
            {"kty": "oct", "k": "c2VjcmV0"},
            {"kty": "AKP"},
            {"kty": ["RSA"]},
            {"crv": "secp256k1"},
            {"crv": "P-384"},
            {"x": "AAAA"},
            {"x": None},
            {"kid": 7},
        ],
    )
    def test_key_that_is_not_for_us_is_left_out_and_the_others_serve(
        self, keys: dict[str, SigningKey], change: dict[str, Any]
    ) -> None:
        other = keys["Ed25519"].jwk
        odd: Any
        for odd in ({**keys["P-256"].jwk, **change}, "a string", None, 7, []):
            found = parse(published(odd, other)).keys

            assert [key.id for key in found] == ["Ed25519"]

    def test_weak_rsa_key_is_left_out(self, keys: dict[str, SigningKey]) -> None:
        assert parse(published(keys["weak RSA"].jwk)) == Jwks()

    @pytest.mark.parametrize(
        "content", [b'{"keys": []}', b'{"keys": [{}]}', b'{"keys": [{"kty": "AKP", "kid": "pq"}]}']
    )
    def test_set_without_a_key_that_can_be_used_is_a_set(self, content: bytes) -> None:
        assert parse(content) == Jwks()

    @pytest.mark.parametrize("name", ["n", "e"])
    def test_oversized_rsa_key_is_left_out_before_anything_is_computed(
        self, keys: dict[str, SigningKey], name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def compute(numbers: Any) -> None:
            raise AssertionError(len(numbers[name]))

        monkeypatch.setattr(ALGORITHMS["RS256"], "from_jwk", compute)

        assert parse(published({**keys["RSA"].jwk, name: "_" * 200_000 + "w"})) == Jwks()

    def test_rsa_key_may_have_8192_bits_with_a_leading_zero_and_the_usual_exponents(
        self, keys: dict[str, SigningKey]
    ) -> None:
        for modulus in (b"\xff" * 1024, b"\x00" + b"\xff" * 1024):
            for exponent in (b"\x03", b"\x01\x00\x01", b"\x7f" + b"\xff" * 7):
                jwk = {**keys["RSA"].jwk, "n": encoded(modulus), "e": encoded(exponent)}
                (key,) = parse(published(jwk)).keys

                assert key.public.key_size == MAX_RSA_BITS
        assert parse(published({**keys["RSA"].jwk, "n": encoded(b"\xff" * 1028)})) == Jwks()
        assert parse(published({**keys["RSA"].jwk, "e": encoded(b"\x01" * 9)})) == Jwks()

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"<html>",
            b"[]",
            b"null",
            b"{}",
            b'{"keys": {}}',
            b'{"keys": null}',
            b"\xff",
            b"[" * 9999,
        ],
    )
    def test_what_is_no_jwks_is_unusable(self, content: bytes) -> None:
        with pytest.raises(UnusableJwks):
            parse(content)

    def test_token_without_key_id_finds_the_only_key_that_fits(self, keys: dict[str, SigningKey]) -> None:
        one = parse(published(keys["Ed25519"].jwk, keys["P-256"].jwk))
        two = parse(published(keys["P-256"].jwk, {**keys["P-256"].jwk, "kid": "b"}))

        assert one.find(None, "ES256") is not None
        assert two.find(None, "ES256") is None
        assert Jwks().find(None, "ES256") is None


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def identity(keys: dict[str, SigningKey]) -> Iterator[IdentityServer]:
    """A running identity server with one key."""
    with IdentityServer(keys["Ed25519"]).listening() as server:
        yield server


class Scene:
    """A verifier and its source, in an event loop."""

    def __init__(self, identity: IdentityServer, clock: Clock) -> None:
        self.identity = identity
        self.source = JwksClient(f"{identity.origin}/api/auth/jwks", clock=clock)
        self.verifier = Verifier(keys=self.source, issuers=(identity.origin,), audiences=(identity.origin,))

    def token(self, key: SigningKey, algorithm: str = "EdDSA", **more: Any) -> bytes:
        return key.sign(self.identity.claims(USER, **more), algorithm).encode()

    async def settle(self) -> None:
        """Wait for a fetch in the background."""
        while self.source._fetching is not None:  # noqa: ASYNC110 - a task of the client's own
            await asyncio.sleep(0.01)

    async def verify(self, token: bytes) -> str:
        return await verify_with_fresh_keys(self.verifier, token)


@pytest.fixture
def scene(identity: IdentityServer, clock: Clock) -> Scene:
    return Scene(identity, clock)


def play(scene: Scene, work: Any) -> None:
    """Run a scene to its end, and close what it opened."""

    async def run() -> None:
        try:
            await asyncio.wait_for(work(), 10)
        finally:
            await scene.source.close()

    asyncio.run(run())


class TestFetch:
    def test_every_algorithm_is_verified_after_one_fetch(
        self, scene: Scene, identity: IdentityServer, keys: dict[str, SigningKey]
    ) -> None:
        identity.keys = [keys[kind] for kind in KINDS]

        async def work() -> None:
            for kind, algorithms in KINDS.items():
                for algorithm in algorithms:
                    assert await scene.verify(scene.token(keys[kind], algorithm)) == USER
            assert identity.fetches == 1

        play(scene, work)

    def test_nobody_fetches_before_a_token_needs_it(self, scene: Scene, identity: IdentityServer) -> None:
        assert identity.fetches == 0

    def test_concurrent_requests_share_one_fetch(
        self, scene: Scene, identity: IdentityServer, keys: dict[str, SigningKey]
    ) -> None:
        identity.delay_seconds = 0.2

        async def work() -> None:
            token = scene.token(keys["Ed25519"])
            assert await asyncio.gather(*(scene.verify(token) for _ in range(100))) == [USER] * 100
            assert identity.fetches == 1

        play(scene, work)

    def test_request_that_leaves_does_not_take_the_fetch_along(
        self, scene: Scene, identity: IdentityServer, keys: dict[str, SigningKey]
    ) -> None:
        identity.delay_seconds = 0.2

        async def work() -> None:
            token = scene.token(keys["Ed25519"])
            first = asyncio.create_task(scene.verify(token))
            await asyncio.sleep(0.05)
            second = asyncio.create_task(scene.verify(token))
            await asyncio.sleep(0.05)
            first.cancel()

            assert await second == USER
            assert identity.fetches == 1

        play(scene, work)

    def test_rotated_key_works_on_its_first_token_right_after_another_fetch(
        self, scene: Scene, identity: IdentityServer, keys: dict[str, SigningKey]
    ) -> None:
        async def work() -> None:
            assert await scene.verify(scene.token(keys["Ed25519"])) == USER
            for name in ("a", "b"):
                new = SigningKey("Ed25519", name)
                identity.keys.append(new)
                assert await scene.verify(scene.token(new)) == USER
            assert await scene.verify(scene.token(keys["Ed25519"])) == USER
            assert identity.fetches == 3

        play(scene, work)

    def test_every_rotation_within_seconds_works_on_its_first_token(
        self, scene: Scene, identity: IdentityServer
    ) -> None:
        async def work() -> None:
            for number in range(jwks_client.MAX_FRUITLESS_FETCHES + 3):
                identity.keys = [SigningKey("Ed25519", f"rotated {number}")]
                assert await scene.verify(scene.token(identity.keys[0])) == USER

        play(scene, work)

    def test_eight_invented_keys_do_not_delay_a_rotated_one(
        self, scene: Scene, identity: IdentityServer, keys: dict[str, SigningKey]
    ) -> None:
        async def work() -> None:
            assert await scene.verify(scene.token(keys["Ed25519"])) == USER
            for number in range(8):
                with pytest.raises(InvalidToken, match="unknown key"):
                    await scene.verify(scene.token(SigningKey("Ed25519", f"invented {number}")))
            identity.keys = [SigningKey("Ed25519", "rotated")]
            assert await scene.verify(scene.token(identity.keys[0])) == USER

        play(scene, work)

    def test_flood_of_invented_keys_causes_three_fetches_a_minute_after_the_first_ten(
        self, scene: Scene, identity: IdentityServer, clock: Clock, keys: dict[str, SigningKey]
    ) -> None:
        async def work() -> None:
            assert await scene.verify(scene.token(keys["Ed25519"])) == USER
            forger = SigningKey("Ed25519", "x")
            for number in range(1200):
                clock.now += 0.1
                forger.id = f"invented {number}"
                with pytest.raises(InvalidToken, match="unknown key"):
                    await scene.verify(scene.token(forger))
            assert identity.fetches <= 1 + jwks_client.MAX_FRUITLESS_FETCHES + 2 * 3
            assert await scene.verify(scene.token(keys["Ed25519"])) == USER

            new = SigningKey("Ed25519", "new")
            identity.keys.append(new)
            clock.now += jwks_client.FRUITLESS_SECONDS
            assert await scene.verify(scene.token(new)) == USER

        play(scene, work)

    def test_key_published_during_a_fetch_that_misses_it_is_found_by_the_next(
        self, scene: Scene, identity: IdentityServer, keys: dict[str, SigningKey]
    ) -> None:
        async def work() -> None:
            assert await scene.verify(scene.token(keys["Ed25519"])) == USER
            identity.answering.clear()
            first = asyncio.create_task(scene.verify(scene.token(SigningKey("Ed25519", "invented"))))
            await asyncio.to_thread(identity.held_back.wait)
            new = SigningKey("Ed25519", "new")
            waiting = [asyncio.create_task(scene.verify(scene.token(new, jti=str(number)))) for number in range(9)]
            await asyncio.sleep(0)
            identity.keys.append(new)
            identity.answering.set()
            with pytest.raises(InvalidToken, match="unknown key"):
                await first
            assert await asyncio.gather(*waiting) == [USER] * 9
            assert identity.fetches == 3

        play(scene, work)

    @pytest.mark.parametrize(
        ("more", "reason"),
        [
            ({"exp": 1_700_000_000}, "expired"),
            ({"exp": None}, "exp missing"),
            ({"nbf": 9_999_999_999}, "nbf in the future"),
            ({"iss": "https://a.example"}, "iss"),
            ({"aud": "b"}, "aud"),
            ({"sub": None}, "no subject"),
        ],
    )
    def test_token_that_no_key_could_make_valid_causes_no_fetch(
        self, scene: Scene, identity: IdentityServer, more: dict[str, Any], reason: str
    ) -> None:
        async def work() -> None:
            with pytest.raises(InvalidToken) as rejected:
                await scene.verify(scene.token(SigningKey("Ed25519", "of last week"), **more))
            assert rejected.value.reason == reason
            assert identity.fetches == 0

        play(scene, work)


class TestOutage:
    @pytest.mark.parametrize(
        "trouble",
        [
            {"status": 500},
            {"status": 404},
            {"body": b"<html>sign in</html>"},
            {"body": b'{"keys": null}'},
            {"body": gzip.compress(b'{"keys": ["' + b"x" * 100_000_000 + b'"]}'), "encoding": "gzip"},
            {"body": b'{"keys": ["' + b"x" * 10_000_000 + b'"]}'},
            {"status": 302, "location": "http://localhost:9/api/auth/jwks"},
            {"status": 302, "location": "/api/auth/jwks"},
            {"status": 302, "location": "http://[bad"},
        ],
        ids=["500", "404", "garbage", "null", "gzip bomb", "10 MB", "elsewhere", "in circles", "nowhere"],
    )
    def test_set_that_was_obtained_serves_on_and_before_that_the_answer_is_503(
        self, scene: Scene, identity: IdentityServer, clock: Clock, keys: dict[str, SigningKey], trouble: dict[str, Any]
    ) -> None:
        good = {"status": 200, "body": None, "location": None, "encoding": None}

        async def work() -> None:
            token = scene.token(keys["Ed25519"])
            vars(identity).update(trouble)
            with pytest.raises(JwksUnavailable) as failure:
                await scene.verify(token)
            assert failure.value.retry_after_seconds >= 1

            vars(identity).update(good)
            assert await scene.verify(token) == USER

            vars(identity).update(trouble)
            clock.now += jwks_client.FRESH_SECONDS
            assert await scene.verify(token) == USER
            with pytest.raises(InvalidToken, match="unknown key"):
                await scene.verify(scene.token(SigningKey("Ed25519", "new")))
            assert await scene.verify(scene.token(keys["Ed25519"], jti="another")) == USER

        play(scene, work)

    def test_server_that_is_not_there_is_found_when_it_comes_back(
        self, clock: Clock, keys: dict[str, SigningKey]
    ) -> None:
        identity = IdentityServer(keys["Ed25519"])
        with identity.listening():
            pass
        scene = Scene(identity, clock)

        async def work() -> None:
            for _ in range(3):
                with pytest.raises(JwksUnavailable):
                    await scene.verify(scene.token(keys["Ed25519"]))
            clock.now += jwks_client.FAILED_SECONDS
            with identity.listening():
                assert await scene.verify(scene.token(keys["Ed25519"])) == USER

        play(scene, work)

    def test_hanging_server_holds_nobody_longer_than_the_time_allowed(
        self, scene: Scene, identity: IdentityServer, keys: dict[str, SigningKey], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jwks_client, "FETCH_TIMEOUT_SECONDS", 0.2)
        identity.delay_seconds = 1.0

        async def work() -> None:
            started = time.monotonic()
            with pytest.raises(JwksUnavailable):
                await scene.verify(scene.token(keys["Ed25519"]))
            assert time.monotonic() - started < 0.8

        play(scene, work)

    def test_redirect_within_the_origin_is_followed(
        self, scene: Scene, identity: IdentityServer, keys: dict[str, SigningKey]
    ) -> None:
        """A server that redirects once: the first answer is a redirect, the second the set."""
        identity.status, identity.location = 302, "/elsewhere"

        async def work() -> None:
            original = identity.content

            def content() -> bytes:
                if identity.fetches > 0:
                    identity.status = 200
                return original()

            identity.content = content  # type: ignore[method-assign]
            waiting = asyncio.create_task(scene.verify(scene.token(keys["Ed25519"])))
            assert await waiting == USER

        play(scene, work)


class TestRemoval:
    def test_removed_key_is_noticed_by_use_and_its_tokens_rejected_though_verified_before(
        self, scene: Scene, identity: IdentityServer, clock: Clock, keys: dict[str, SigningKey]
    ) -> None:
        other = SigningKey("Ed25519", "other")
        identity.keys.append(other)

        async def work() -> None:
            tokens = [scene.token(key) for key in (keys["Ed25519"], other)]
            assert [await scene.verify(token) for token in tokens] == [USER] * 2
            identity.keys.remove(keys["Ed25519"])
            clock.now += jwks_client.FRESH_SECONDS
            assert [await scene.verify(token) for token in tokens] == [USER] * 2
            await scene.settle()
            with pytest.raises(InvalidToken, match="unknown key"):
                await scene.verify(tokens[0])
            assert await scene.verify(tokens[1]) == USER

        play(scene, work)

    def test_key_replaced_under_its_own_id_is_another_key(
        self, scene: Scene, identity: IdentityServer, clock: Clock, keys: dict[str, SigningKey]
    ) -> None:
        async def work() -> None:
            token = scene.token(keys["Ed25519"])
            assert await scene.verify(token) == USER
            identity.keys = [SigningKey("Ed25519", "Ed25519")]
            await scene.source.refresh()
            with pytest.raises(InvalidToken, match="InvalidSignature"):
                await scene.verify(token)

        play(scene, work)

    def test_key_that_is_narrowed_to_one_algorithm_still_verifies_that(
        self, scene: Scene, identity: IdentityServer, keys: dict[str, SigningKey]
    ) -> None:
        identity.keys = [keys["RSA"]]

        async def work() -> None:
            tokens = [scene.token(keys["RSA"], algorithm) for algorithm in ("RS256", "PS256")]
            assert [await scene.verify(token) for token in tokens] == [USER] * 2
            identity.body = published({**keys["RSA"].jwk, "alg": "RS256"})
            await scene.source.refresh()
            assert await scene.verify(tokens[0]) == USER
            with pytest.raises(InvalidToken, match="unknown key"):
                await scene.verify(tokens[1])

        play(scene, work)

    def test_nothing_is_fetched_without_a_token(
        self, scene: Scene, identity: IdentityServer, clock: Clock, keys: dict[str, SigningKey]
    ) -> None:
        async def work() -> None:
            await scene.verify(scene.token(keys["Ed25519"]))
            clock.now += 100_000
            await asyncio.sleep(0.1)
            assert identity.fetches == 1

        play(scene, work)

    @pytest.mark.parametrize("content", [b'{"keys": []}', b'{"keys": [{"kty": "AKP", "kid": "pq"}]}'])
    def test_set_without_keys_withdraws_them_all(
        self, scene: Scene, clock: Clock, content: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        identity = scene.identity

        async def work() -> None:
            token = scene.token(identity.keys[0])
            assert await scene.verify(token) == USER
            identity.body = content
            clock.now += jwks_client.FRESH_SECONDS
            assert await scene.verify(token) == USER
            await scene.settle()
            with pytest.raises(InvalidToken, match="unknown key"):
                await scene.verify(token)
            assert [line.getMessage() for line in caplog.records] == [
                "JWKS holds no key that can be used: all tokens of it are rejected"
            ] * 2

            identity.body = None
            assert await scene.verify(token) == USER

        caplog.set_level("WARNING", jwks_client.log.name)
        play(scene, work)

    def test_set_that_cannot_be_renewed_serves_for_a_day_and_no_longer(
        self, scene: Scene, identity: IdentityServer, clock: Clock, keys: dict[str, SigningKey]
    ) -> None:
        assert jwks_client.MAX_AGE_SECONDS == 24 * 60 * 60

        async def work() -> None:
            verified, unseen = scene.token(keys["Ed25519"]), scene.token(keys["Ed25519"], jti="unseen")
            assert await scene.verify(verified) == USER
            identity.status = 500
            clock.now += jwks_client.MAX_AGE_SECONDS - 1
            assert [await scene.verify(token) for token in (verified, unseen)] == [USER] * 2
            await scene.settle()
            clock.now += 1 + jwks_client.RETRY_SECONDS
            with pytest.raises(UnknownKey):
                scene.verifier.verify(verified)
            for token in (verified, unseen):
                with pytest.raises(JwksUnavailable) as unavailable:
                    await scene.verify(token)
                assert unavailable.value.retry_after_seconds >= 1

            identity.status = 200
            clock.now += jwks_client.FAILED_SECONDS
            assert [await scene.verify(token) for token in (verified, unseen)] == [USER] * 2

        play(scene, work)

    def test_set_that_nobody_used_for_days_is_fetched_before_it_is_trusted(
        self, scene: Scene, identity: IdentityServer, clock: Clock, keys: dict[str, SigningKey]
    ) -> None:
        async def work() -> None:
            token = scene.token(keys["Ed25519"])
            assert await scene.verify(token) == USER
            identity.keys = [SigningKey("Ed25519", "other")]
            clock.now += 3 * jwks_client.MAX_AGE_SECONDS
            with pytest.raises(InvalidToken, match="unknown key"):
                await scene.verify(token)

        play(scene, work)


class TestNames:
    @pytest.mark.parametrize(
        "more",
        [
            {"iss": None},
            {"aud": None},
            {"iss": "https://evil.example"},
            {"aud": "https://evil.example"},
            {"aud": ["a", "b"]},
            {"aud": []},
            {"iss": ["x"]},
        ],
    )
    def test_token_must_name_its_issuer_and_audience(
        self, scene: Scene, keys: dict[str, SigningKey], more: dict[str, Any]
    ) -> None:
        async def work() -> None:
            with pytest.raises(InvalidToken):
                await scene.verify(scene.token(keys["Ed25519"], **more))

        play(scene, work)

    @pytest.mark.parametrize(
        "more", [{}, {"session": {"userId": USER}, "user": {"id": USER}}, {"email": "ada@example.com"}]
    )
    def test_token_must_name_its_subject_itself(
        self, scene: Scene, keys: dict[str, SigningKey], more: dict[str, Any]
    ) -> None:
        async def work() -> None:
            with pytest.raises(InvalidToken) as rejection:
                await scene.verify(scene.token(keys["Ed25519"], sub=None, **more))
            assert rejection.value.reason == "no subject"

        play(scene, work)

    def test_one_of_several_audiences_is_enough(self, scene: Scene, keys: dict[str, SigningKey]) -> None:
        async def work() -> None:
            token = scene.token(keys["Ed25519"], aud=["https://a.example", scene.identity.origin])
            assert await scene.verify(token) == USER

        play(scene, work)


class TestClosing:
    def test_without_ever_having_fetched(self) -> None:
        asyncio.run(JwksClient("http://127.0.0.1:1/jwks").close())

    def test_gives_up_a_fetch_under_way(self, identity: IdentityServer) -> None:
        async def run() -> None:
            source = JwksClient(f"{identity.origin}/api/auth/jwks")
            waiting = asyncio.create_task(source.refresh())
            while not identity.fetches:  # noqa: ASYNC110 - counted by the server's thread
                await asyncio.sleep(0.01)
            started = time.monotonic()
            await source.close()
            assert time.monotonic() - started < 0.5
            with pytest.raises(asyncio.CancelledError):
                await waiting

        identity.delay_seconds = 1
        asyncio.run(run())


def test_verifier_without_a_jwks_has_nothing_to_look_for() -> None:
    asyncio.run(Verifier("x" * 32).refresh(UnknownKey(None, "EdDSA")))
