"""The guard of ``/api/`` by itself: who comes through to the application behind it, and what the others are told."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from tests.harness import SECRET, free_port, token
from tests.identity_server import IdentityServer, SigningKey
from todo_api import auth
from todo_api.auth import Authentication
from todo_api.observability import AuthRefused, KeySetMissing
from todo_api.tokens import Claims, JwksClient, Verifier

ALICE = "alice"
TOKEN = token(ALICE)
INVALID = b'Bearer error="invalid_token"'


class Visit:
    """One request at the guard: what came through, and what was answered."""

    def __init__(self, target: str, *authorization: str, verifier: Verifier | None = None, kind: str = "http") -> None:
        self.inside: dict[str, Any] | None = None
        self.answers: list[Any] = []
        headers = [(b"authorization", value.encode()) for value in authorization]
        self.scope: dict[str, Any] = {
            "type": kind,
            "path": unquote(target),
            "raw_path": target.encode(),
            "headers": [(b"accept", b"*/*"), *headers],
            "request_id": "a1",
        }
        self.sent = 0
        asyncio.run(Authentication(self.app, verifier or Verifier(SECRET))(self.scope, self.receive, self.send))

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        assert (receive, send) == (self.receive, self.send)
        self.inside = dict(scope)

    async def receive(self) -> Any:
        raise AssertionError("the guard never reads a body")

    async def send(self, message: Any) -> None:
        self.answers.append(message)

    @property
    def status(self) -> int | None:
        return self.answers[0]["status"] if self.answers else None

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.answers[0]["headers"])

    @property
    def problem(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.answers[1]["body"])
        return content


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was written down."""
    events: list[Any] = []
    monkeypatch.setattr(auth, "observe", events.append)
    return events


class TestWhoComesThrough:
    @pytest.mark.parametrize("target", ["/health", "/metrics", "/api", "/apix/alice/tasks", "/"])
    def test_everybody_to_what_is_not_guarded(self, target: str) -> None:
        visit = Visit(target)

        assert visit.inside == visit.scope
        assert "owner" not in visit.scope

    def test_what_is_no_request(self) -> None:
        assert Visit("/api/alice/tasks", kind="websocket").inside is not None

    @pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
    def test_the_user_with_their_token(self, scheme: str) -> None:
        visit = Visit("/api/alice/tasks/7", scheme + TOKEN)

        assert visit.inside is not None
        assert visit.answers == []
        assert isinstance(visit.inside["owner"], Claims)
        assert visit.inside["owner"].subject == ALICE
        assert visit.inside["path"] == "/api/alice/tasks/7"

    @pytest.mark.parametrize(
        ("user", "target", "path"),
        [
            ("alice", "/api/%61lice/tasks/7", "/api/alice/tasks/7"),
            ("a/b", "/api/a%2Fb/tasks", "/api/a%2Fb/tasks"),
            ("a%2Fb", "/api/a%252Fb/tasks", "/api/a%252Fb/tasks"),
            ("ü", "/api/%C3%BC/tasks/%37", "/api/%C3%BC/tasks/7"),
            ("a b", "/api/a%20b", "/api/a%20b"),
        ],
    )
    def test_a_user_whose_name_needs_encoding_as_one_segment(self, user: str, target: str, path: str) -> None:
        visit = Visit(target, f"Bearer {token(user)}")

        assert visit.inside is not None
        assert visit.inside["path"] == path


class TestWhoIsRefused:
    @pytest.mark.parametrize("authorization", [(), ("Basic YWxpY2U6eA==",), ("Bearer",), ("Bearer ",), (TOKEN,), ("",)])
    def test_without_a_token(self, seen: list[Any], authorization: tuple[str, ...]) -> None:
        visit = Visit("/api/alice/tasks", *authorization)

        assert (visit.status, visit.inside) == (401, None)
        assert visit.headers[b"www-authenticate"] == b"Bearer"
        assert visit.problem["detail"] == "The token is missing."
        assert visit.problem["request_id"] == "a1"
        assert seen == [AuthRefused("missing")]

    @pytest.mark.parametrize(
        ("authorization", "detail", "reason"),
        [
            ((f"Bearer {TOKEN[:-4]}AAAA",), "The token is invalid.", "InvalidSignatureError"),
            (("Bearer x",), "The token is invalid.", "header"),
            ((f"Bearer {token(ALICE, exp=1)}",), "The token has expired.", "expired"),
            ((f"Bearer {TOKEN}", f"Bearer {TOKEN}"), "The token is invalid.", "several Authorization headers"),
        ],
    )
    def test_with_a_token_that_proves_nothing(
        self, seen: list[Any], authorization: tuple[str, ...], detail: str, reason: str
    ) -> None:
        visit = Visit("/api/alice/tasks", *authorization)

        assert (visit.status, visit.inside) == (401, None)
        assert visit.headers[b"www-authenticate"] == INVALID
        assert (visit.problem["detail"], visit.problem["request_id"]) == (detail, "a1")
        assert seen == [AuthRefused(reason)]

    @pytest.mark.parametrize(
        "target",
        [
            "/api/bob/tasks",
            "/api/Alice/tasks",
            "/api//tasks",
            "/api/",
            "/api/%2561lice/tasks",
            "/api/%FF/tasks",
            "/api%2Falice",
            "/api/alice%00/tasks",
            "/api/ü%20/tasks",
        ],
    )
    def test_with_another_users_token(self, seen: list[Any], target: str) -> None:
        visit = Visit(target, f"Bearer {TOKEN}")

        assert (visit.status, visit.inside) == (403, None)
        assert visit.problem["request_id"] == "a1"
        assert seen == [AuthRefused("another user")]

    def test_with_the_token_of_a_user_whose_name_is_what_broken_bytes_are_shown_as(self) -> None:
        assert Visit("/api/%FF/tasks", f"Bearer {token(chr(0xFFFD))}").status == 403


class TestKeySet:
    @pytest.fixture
    def identity(self) -> Iterator[IdentityServer]:
        with IdentityServer(SigningKey("Ed25519", "one")).listening() as identity:
            yield identity

    def verifier(self, identity: IdentityServer) -> Verifier:
        return Verifier(keys=JwksClient(identity.origin), issuers=(identity.origin,), audiences=(identity.origin,))

    def test_is_fetched_for_the_first_token(self, identity: IdentityServer) -> None:
        signed = identity.keys[0].sign(identity.claims(ALICE), "EdDSA")
        visit = Visit("/api/alice/tasks", f"Bearer {signed}", verifier=self.verifier(identity))

        assert visit.inside is not None
        assert identity.fetches == 1

    def test_that_lacks_the_key_refuses_the_token(self, identity: IdentityServer, seen: list[Any]) -> None:
        signed = SigningKey("Ed25519", "another").sign(identity.claims(ALICE), "EdDSA")
        visit = Visit("/api/alice/tasks", f"Bearer {signed}", verifier=self.verifier(identity))

        assert (visit.status, identity.fetches) == (401, 1)
        assert seen == [AuthRefused("unknown key")]

    def test_that_cannot_be_had_is_503_and_says_when_to_come_back(self, seen: list[Any]) -> None:
        identity = IdentityServer(SigningKey("Ed25519", "one"))
        identity.port = free_port()
        signed = identity.keys[0].sign(identity.claims(ALICE), "EdDSA")
        verifier = self.verifier(identity)
        for _ in range(3):
            visit = Visit("/api/alice/tasks", f"Bearer {signed}", verifier=verifier)

        assert (visit.status, visit.inside) == (503, None)
        assert visit.headers[b"retry-after"] == b"5"
        assert visit.problem["detail"] == auth.KEYS_UNAVAILABLE
        assert visit.problem["request_id"] == "a1"
        assert [type(event) for event in seen] == [KeySetMissing] * 3
        assert all(event.reason for event in seen)
