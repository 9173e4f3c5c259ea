"""Authentication by itself: whose requests pass, and what the others are answered."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from tests.harness import SECRET, free_port, token
from tests.identity_server import IdentityServer, SigningKey
from todo_api import auth
from todo_api.app import ALIASES
from todo_api.auth import Authentication, requires_token
from todo_api.middleware.path import read_path
from todo_api.observability import AuthRejected, AuthUnavailable
from todo_api.planned.dispatch import Dispatch
from todo_api.routes import tasks
from todo_api.tokens import Claims, JwksClient, Verifier

ALICE = "alice"
TOKEN = token(ALICE)
INVALID = 'Bearer error="invalid_token"'


async def nowhere(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("nothing is dispatched")


class Attempt:
    """One request: whether it passed, and what it was answered."""

    def __init__(self, target: str, *authorization: str, verifier: Verifier | None = None) -> None:
        headers = [(b"accept", b"*/*"), *((b"authorization", value.encode()) for value in authorization)]
        self.scope: dict[str, Any] = {
            "type": "http",
            "path": unquote(target),
            "raw_path": target.encode(),
            "headers": headers,
            "request_id": "a1",
        }
        Dispatch(nowhere, tasks.router.routes, ALIASES).find(read_path(self.scope), self.scope)
        authentication = Authentication(verifier or Verifier(SECRET))
        assert requires_token(self.scope["path"])
        self.response = asyncio.run(authentication.authenticate(self.scope, dict(headers)))

    @property
    def passed(self) -> bool:
        return self.response is None and isinstance(self.scope["owner"], Claims)

    @property
    def status(self) -> int | None:
        return self.response.status_code if self.response else None

    @property
    def headers(self) -> Any:
        assert self.response is not None
        return self.response.headers

    @property
    def problem(self) -> dict[str, Any]:
        assert self.response is not None
        content: dict[str, Any] = json.loads(bytes(self.response.body))
        return content


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was written down."""
    events: list[Any] = []
    monkeypatch.setattr(auth, "observe", events.append)
    return events


class TestGuard:
    @pytest.mark.parametrize("target", ["/health", "/metrics", "/api", "/apix/alice/tasks", "/"])
    def test_leaves_other_paths_open(self, target: str) -> None:
        assert not requires_token(target)

    @pytest.mark.parametrize("target", ["/api/", "/api/x", "/api//", "/%61pi/x", "/api%2Fx", "/ap%69%2fx"])
    def test_holds_for_every_spelling_of_a_path_below_api(self, target: str) -> None:
        assert requires_token(unquote(target))


class TestOwner:
    @pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
    def test_passes_with_their_token(self, scheme: str) -> None:
        attempt = Attempt("/api/alice/tasks/7", scheme + TOKEN)

        assert attempt.passed
        assert attempt.scope["owner"].subject == ALICE
        assert attempt.scope["path_params"] == {"user_id": ALICE, "id": "7"}

    @pytest.mark.parametrize(
        ("user", "target"),
        [
            ("alice", "/api/%61lice/tasks/7"),
            ("a/b", "/api/a%2Fb/tasks/7"),
            ("a%2Fb", "/api/a%252Fb/tasks/7"),
            ("ü", "/api/%C3%BC/tasks/%37"),
            ("a b", "/api/a%20b/%74asks/7"),
            ("tasks", "/api/tasks/tasks/7"),
        ],
    )
    def test_passes_however_their_id_is_encoded(self, user: str, target: str) -> None:
        attempt = Attempt(target, f"Bearer {token(user)}")

        assert attempt.passed
        assert attempt.scope["path_params"] == {"user_id": user, "id": "7"}

    @pytest.mark.parametrize(
        ("target", "params"),
        [
            ("/api/tasks", {}),
            ("/api/tasks/", {}),
            ("/api/tasks/7", {"id": "7"}),
            ("/api/tasks/7/complete", {"id": "7"}),
        ],
    )
    def test_passes_where_the_path_names_no_user(self, target: str, params: dict[str, str]) -> None:
        attempt = Attempt(target, f"Bearer {TOKEN}")

        assert attempt.passed
        assert attempt.scope["path_params"] == {"user_id": ALICE, **params}


class TestRejected:
    @pytest.mark.parametrize("target", ["/api/alice/tasks", "/api/tasks", "/api/x"])
    @pytest.mark.parametrize("authorization", [(), ("Basic YWxpY2U6eA==",), ("Bearer",), ("Bearer ",), (TOKEN,), ("",)])
    def test_without_a_token(self, seen: list[Any], authorization: tuple[str, ...], target: str) -> None:
        attempt = Attempt(target, *authorization)

        assert attempt.status == 401
        assert attempt.headers["www-authenticate"] == "Bearer"
        assert attempt.problem["detail"] == "The token is missing."
        assert attempt.problem["request_id"] == "a1"
        assert seen == [AuthRejected("missing")]

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
        attempt = Attempt("/api/alice/tasks", *authorization)

        assert attempt.status == 401
        assert attempt.headers["www-authenticate"] == INVALID
        assert (attempt.problem["detail"], attempt.problem["request_id"]) == (detail, "a1")
        assert seen == [AuthRejected(reason)]

    @pytest.mark.parametrize(
        "target",
        ["/api/bob/tasks", "/api/Alice/tasks", "/api/%2561lice/tasks", "/api/alice%20/tasks", "/api/tasks/tasks"],
    )
    def test_with_another_users_token(self, seen: list[Any], target: str) -> None:
        attempt = Attempt(target, f"Bearer {TOKEN}")

        assert attempt.status == 403
        assert attempt.problem["request_id"] == "a1"
        assert seen == [AuthRejected("another user", ALICE)]

    @pytest.mark.parametrize(
        "target",
        [
            "/api//tasks",
            "/api/alice",
            "/api/alice/x",
            "/api/tasks/7/x",
            "/api%2Falice%2Ftasks",
            "/api/alice%00/tasks",
            "/api/alice/tasks%0a",
            "/api/alice/tasks%2f",
            "/api/alice/tasks//",
        ],
    )
    def test_where_the_path_names_nothing(self, seen: list[Any], target: str) -> None:
        assert Attempt(target, f"Bearer {TOKEN}").status == 404
        assert seen == []

    def test_with_the_token_of_a_user_whose_id_is_what_broken_bytes_are_shown_as(self) -> None:
        assert Attempt("/api/%FF/tasks", f"Bearer {token(chr(0xFFFD))}").status == 403

    @pytest.mark.parametrize("target", ["/api/auth", "/api/auth/", "/api/auth/sign-in/email", "/api/auth/tasks"])
    @pytest.mark.parametrize("authorization", [(), (f"Bearer {TOKEN}",)])
    def test_to_sign_in_is_told_where_that_is_done(self, target: str, authorization: tuple[str, ...]) -> None:
        attempt = Attempt(target, *authorization)

        assert attempt.status == 404
        assert "Better Auth" in attempt.problem["detail"]


class TestJwks:
    @pytest.fixture
    def identity(self) -> Iterator[IdentityServer]:
        with IdentityServer(SigningKey("Ed25519", "one")).listening() as identity:
            yield identity

    def verifier(self, identity: IdentityServer) -> Verifier:
        return Verifier(keys=JwksClient(identity.origin), issuers=(identity.origin,), audiences=(identity.origin,))

    def test_is_fetched_for_the_first_token(self, identity: IdentityServer) -> None:
        signed = identity.keys[0].sign(identity.claims(ALICE), "EdDSA")
        attempt = Attempt("/api/alice/tasks", f"Bearer {signed}", verifier=self.verifier(identity))

        assert attempt.passed
        assert identity.fetches == 1

    def test_that_lacks_the_key_rejects_the_token(self, identity: IdentityServer, seen: list[Any]) -> None:
        signed = SigningKey("Ed25519", "another").sign(identity.claims(ALICE), "EdDSA")
        attempt = Attempt("/api/alice/tasks", f"Bearer {signed}", verifier=self.verifier(identity))

        assert (attempt.status, identity.fetches) == (401, 1)
        assert seen == [AuthRejected("unknown key")]

    def test_that_cannot_be_had_is_503_and_says_when_to_come_back(self, seen: list[Any]) -> None:
        identity = IdentityServer(SigningKey("Ed25519", "one"))
        identity.port = free_port()
        signed = identity.keys[0].sign(identity.claims(ALICE), "EdDSA")
        verifier = self.verifier(identity)
        for _ in range(3):
            attempt = Attempt("/api/alice/tasks", f"Bearer {signed}", verifier=verifier)

        assert attempt.status == 503
        assert 1 <= int(attempt.headers["retry-after"]) <= 5
        assert attempt.problem["detail"] == auth.KEYS_UNAVAILABLE
        assert attempt.problem["request_id"] == "a1"
        assert [type(event) for event in seen] == [AuthUnavailable] * 3
        assert all(event.reason for event in seen)
