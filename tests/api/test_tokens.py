"""What counts as a credential, in which order requests are rejected, and what rejections tell."""

import base64
import hashlib
import hmac
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jwt
import psycopg
import pytest

from tests.api.test_tasks import assert_invalid, assert_problem
from tests.api.wire import Answer, ask, connect, exchange
from tests.harness import PATIENCE_SECONDS, SECRET, Server, User, claims, serving, token

MISSING, EXPIRED, INVALID = "The token is missing.", "The token has expired.", "The token is invalid."
CHALLENGES = {MISSING: "Bearer", EXPIRED: 'Bearer error="invalid_token"', INVALID: 'Bearer error="invalid_token"'}


def assert_rejected(response: httpx.Response, detail: str) -> None:
    """The response is 401, says this sentence and challenges accordingly."""
    assert assert_problem(response, 401, "unauthorized")["detail"] == detail
    assert response.headers["www-authenticate"] == CHALLENGES[detail]


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def signed(payload: Any, *, digest: str = "sha256", raw: bytes | None = None, **header: Any) -> str:
    """A token made by hand, under the real secret, for what no library would sign."""
    head = encoded(json.dumps({"alg": "HS256", **header}).encode())
    text = f"{head}.{encoded(json.dumps(payload).encode() if raw is None else raw)}"
    return f"{text}.{encoded(hmac.new(SECRET.encode(), text.encode(), digest).digest())}"


def cookie_cache(user_id: str, **more: Any) -> dict[str, Any]:
    """The claims of Better Auth's cookie-cache token."""
    return claims(
        user_id,
        sub=None,
        session={"id": "s1", "token": "t1", "userId": user_id, "expiresAt": "2030-01-01T00:00:00.000Z"},
        user={"id": user_id, "email": "ada@example.com", "name": "Ada", "emailVerified": True},
        **more,
    )


def tampered(good: str) -> str:
    """The token with another payload under the same signature."""
    head, _, signature = good.split(".")
    return f"{head}.{encoded(json.dumps(claims('u')).encode())}.{signature}"


SOON = int(time.time()) + 86_400
BAD_TOKENS = {
    "no token at all": "nonsense",
    "three parts of nothing": "a.b.c",
    "two dots": "..",
    "spaces": "a b c",
    "not ASCII": "\u00fc",
    "another secret": token("u", secret="another secret that is long enough"),
    "another payload": tampered(token("v")),
    "signature cut": token("u")[:-2],
    "no signature": token("u").rpartition(".")[0] + ".",
    "padded": token("u") + "=",
    "fourth part": token("u") + ".x",
    "too long": token("u", padding="x" * 8192),
    "unsigned": jwt.encode(claims("u"), "", algorithm="none"),
    "none, signed": signed(claims("u"), alg="none"),
    "hs256 in lower case": signed(claims("u"), alg="hs256"),
    "HS384": signed(claims("u"), alg="HS384", digest="sha384"),
    "HS512": signed(claims("u"), alg="HS512", digest="sha512"),
    "RS256": signed(claims("u"), alg="RS256"),
    "EdDSA": signed(claims("u"), alg="EdDSA"),
    "crit": signed(claims("u"), crit=["exp"]),
    "crit b64": signed(claims("u"), crit=["b64"], b64=False),
    "exp missing": signed(claims("u", exp=None)),
    "exp as text": signed(claims("u", exp="9999999999")),
    "exp true": signed(claims("u", exp=True)),
    "exp absurd": signed(claims("u", exp=1e300)),
    "exp negative": signed(claims("u", exp=-1)),
    "exp infinite": signed(None, raw=b'{"sub": "u", "exp": Infinity}'),
    "exp too large to read": signed(None, raw=b'{"sub": "u", "exp": ' + b"9" * 5000 + b"}"),
    "nbf ahead": signed(claims("u", nbf=SOON)),
    "iat ahead": signed(claims("u", iat=SOON)),
    "iat as text": signed(claims("u", iat="now")),
    "sub missing": signed(claims("u", sub=None)),
    "sub empty": signed(claims("")),
    "sub a number": signed({**claims("u"), "sub": 1}),
    "sub null": signed({**claims("u"), "sub": None}),
    "sub a list": signed({**claims("u"), "sub": ["u"]}),
    "sub with U+0000": signed(claims("u\x00")),
    "sub too long": signed(claims("u" * 256)),
    "sub twice": signed(None, raw=b'{"sub": "v", "exp": 9999999999, "sub": "u"}'),
    "sub not UTF-8": signed(None, raw=b'{"sub": "\xff", "exp": 9999999999}'),
    "sub a lone surrogate": signed(None, raw=b'{"sub": "\\ud800", "exp": 9999999999}'),
    "payload a list": signed([claims("u")]),
    "payload a string": signed("u"),
    "payload not JSON": signed(None, raw=b"not JSON"),
    "payload too deep": signed(None, raw=b"[" * 3000),
}


class TestCredential:
    @pytest.mark.parametrize(
        "prefix", ["Bearer ", "bearer ", "BEARER ", "bEaReR ", "Bearer   ", "  Bearer ", "Bearer \t "]
    )
    def test_scheme_may_be_in_any_case_and_spaces_may_be_several(self, server: Server, prefix: str) -> None:
        user = server.user()
        request = f"GET {user.base} HTTP/1.1\r\nHost: x\r\nAuthorization: {prefix}{token(user.id)}  \r\n\r\n"

        assert exchange(server, request.encode()).status == 200

    @pytest.mark.parametrize("value", ["", "Bearer", "Basic dXNlcjpwYXNzd29yZA==", "Digest x", "{token}"])
    def test_header_without_a_bearer_token_counts_as_missing(
        self, alice: User, nobody: httpx.Client, value: str
    ) -> None:
        headers = {"Authorization": value.format(token=token(alice.id))}

        assert_rejected(nobody.get(alice.base, headers=headers), MISSING)

    @pytest.mark.parametrize("other", ["Bearer nonsense", "Basic eDp5", "{same}"])
    @pytest.mark.parametrize("first", [True, False])
    def test_two_authorization_headers_are_rejected(
        self, alice: User, nobody: httpx.Client, other: str, *, first: bool
    ) -> None:
        good = f"Bearer {token(alice.id)}"
        values = [good, other.format(same=good)][:: 1 if first else -1]
        headers = [("Authorization", value) for value in values]

        assert_rejected(nobody.get(alice.base, headers=headers), INVALID)

    @pytest.mark.parametrize("name", ["token", "access_token", "jwt", "authorization", "Authorization"])
    def test_token_in_the_query_is_ignored(self, alice: User, nobody: httpx.Client, name: str) -> None:
        assert_rejected(nobody.get(alice.base, params={name: token(alice.id)}), MISSING)

    @pytest.mark.parametrize(
        "name", ["token", "better-auth.session_token", "__Secure-better-auth.session_data", "Authorization"]
    )
    def test_token_in_a_cookie_is_ignored(self, alice: User, nobody: httpx.Client, name: str) -> None:
        cookie = {"Cookie": f"{name}={token(alice.id)}"}

        assert_rejected(nobody.get(alice.base, headers=cookie), MISSING)

    @pytest.mark.parametrize("name", ["X-User-Id", "X-Forwarded-User", "Proxy-Authorization", "X-Access-Token"])
    def test_other_headers_are_ignored(self, alice: User, bob: User, nobody: httpx.Client, name: str) -> None:
        headers = {name: f"Bearer {token(alice.id)}"}

        assert_rejected(nobody.get(alice.base, headers=headers), MISSING)
        assert_problem(alice.http.get(bob.base, headers={name: bob.id}), 403, "forbidden")

    def test_token_in_the_body_is_ignored(self, alice: User, nobody: httpx.Client) -> None:
        body = {"title": "x", "access_token": token(alice.id)}

        assert_rejected(nobody.post(alice.base, json=body), MISSING)
        assert_rejected(nobody.post(alice.base, data={"access_token": token(alice.id)}), MISSING)


class TestToken:
    @pytest.mark.parametrize(
        "more",
        [
            {},
            {"iat": None},
            {"exp": time.time() + 86_400.5},
            {"nbf": int(time.time()) - 60},
            {"iss": "https://anything.example", "aud": ["a", "b"]},
            {"email": None, "role": {"admin": True}},
        ],
    )
    def test_token_of_the_shared_secret_is_accepted(self, server: Server, more: dict[str, Any]) -> None:
        user = server.user(**more)

        assert user.http.get(user.base).json() == []

    @pytest.mark.parametrize(
        "header", [{}, {"typ": "JWT"}, {"typ": "at+jwt"}, {"kid": "7"}, {"jku": "http://127.0.0.1:1/"}, {"x5c": ["x"]}]
    )
    def test_other_header_fields_are_ignored(self, alice: User, nobody: httpx.Client, header: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {signed(claims(alice.id), **header)}"}

        assert nobody.get(alice.base, headers=headers).status_code == 200

    @pytest.mark.parametrize("seconds", [31, 3600, 10**9])
    def test_expired_token_is_called_expired(self, server: Server, seconds: int) -> None:
        user = server.user(exp=int(time.time()) - seconds)

        assert_rejected(user.http.get(user.base), EXPIRED)

    @pytest.mark.parametrize("name", BAD_TOKENS)
    def test_reason_of_a_rejection_is_not_told(self, nobody: httpx.Client, name: str) -> None:
        answers = [
            nobody.get(
                "/api/u/tasks", headers=[(b"Authorization", b"Bearer " + bad.encode()), (b"X-Request-ID", b"same")]
            )
            for bad in (BAD_TOKENS[name], "something else")
        ]

        assert_rejected(answers[0], INVALID)
        assert answers[0].content == answers[1].content

    @pytest.mark.parametrize(
        "more",
        [
            {},
            {"updateTo": "new@example.com", "requestType": "change-email-verification"},
            {"id": "u"},
            {"userId": "u"},
            {"user_id": "u"},
            {"user": {"id": "u"}},
            {"session": {"userId": "u"}},
        ],
    )
    def test_verification_link_is_no_login(self, nobody: httpx.Client, more: dict[str, Any]) -> None:
        link = signed({**claims("u", sub=None), "email": "u", **more})

        assert_rejected(nobody.get("/api/u/tasks", headers={"Authorization": f"Bearer {link}"}), INVALID)


class TestCookieCacheToken:
    def test_works_end_to_end(self, server: Server, worker_database: str) -> None:
        name = server.user().id
        headers = {"Authorization": f"Bearer {signed(cookie_cache(name))}"}
        user = User(name, server.client(headers=headers))
        task = user.create()

        assert task["user_id"] == name
        assert user.http.get(user.base).json() == [task]
        with psycopg.connect(worker_database) as connection:
            row = connection.execute("SELECT email, name FROM users WHERE id = %s", [name]).fetchone()
        assert row == ("ada@example.com", "Ada")

    @pytest.mark.parametrize(
        "change",
        [
            {"user": {"id": "v"}},
            {"user": {"email": "u"}},
            {"user": "u"},
            {"session": {"userId": "v"}},
            {"session": {"id": "u"}},
            {"session": ["u"]},
            {"session": {"userId": ""}, "user": {"id": ""}},
            {"session": {"userId": 1}, "user": {"id": 1}},
            {"sub": ""},
            {"sub": None},
        ],
    )
    def test_is_rejected_when_its_parts_do_not_agree(self, nobody: httpx.Client, change: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {signed({**cookie_cache('u'), **change})}"}

        assert_rejected(nobody.get("/api/u/tasks", headers=headers), INVALID)

    def test_subject_wins_over_the_session(self, alice: User, bob: User, nobody: httpx.Client) -> None:
        headers = {"Authorization": f"Bearer {signed({**cookie_cache(alice.id), 'sub': bob.id})}"}

        assert nobody.get(bob.base, headers=headers).status_code == 200
        assert_problem(nobody.get(alice.base, headers=headers), 403, "forbidden")


BAD_BODIES: list[dict[str, Any]] = [
    {"content": b"{"},
    {"content": b"x", "headers": {"Content-Type": "text/plain"}},
    {"content": b" " * 70_000, "headers": {"Content-Type": "application/json"}},
    {"json": {"title": 1, "completed": "x"}},
    {"json": {"title": "x"}, "headers": {"Content-Encoding": "gzip"}},
]
WRITES = [("POST", ""), ("PUT", "/x"), ("PUT", "/1"), ("PATCH", "/x/complete"), ("PATCH", "/1/complete")]


class TestOrderOfRejection:
    @pytest.mark.parametrize("body", BAD_BODIES)
    @pytest.mark.parametrize(("method", "suffix"), WRITES)
    def test_token_comes_before_the_input(
        self, nobody: httpx.Client, alice: User, method: str, suffix: str, body: dict[str, Any]
    ) -> None:
        bad = {**body, "headers": {**body.get("headers", {}), "Authorization": "Bearer nonsense"}}

        assert_rejected(nobody.request(method, alice.base + suffix, **body), MISSING)
        assert_rejected(nobody.request(method, alice.base + suffix, **bad), INVALID)

    @pytest.mark.parametrize("body", BAD_BODIES)
    @pytest.mark.parametrize(("method", "suffix"), WRITES)
    def test_owner_comes_before_the_input(
        self, alice: User, bob: User, method: str, suffix: str, body: dict[str, Any]
    ) -> None:
        assert_problem(alice.http.request(method, bob.base + suffix, **body), 403, "forbidden")

    @pytest.mark.parametrize("query", ["limit=0", "status=x"])
    def test_owner_comes_before_the_query(self, nobody: httpx.Client, alice: User, bob: User, query: str) -> None:
        assert_rejected(nobody.get(f"{bob.base}?{query}"), MISSING)
        assert_problem(alice.http.get(f"{bob.base}?{query}"), 403, "forbidden")

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            (BAD_BODIES[1], 415, "unsupported_media_type"),
            (BAD_BODIES[2], 413, "content_too_large"),
            (BAD_BODIES[3], 400, "invalid_request"),
            (BAD_BODIES[4], 415, "unsupported_media_type"),
        ],
    )
    @pytest.mark.parametrize(("method", "suffix"), [("PUT", "/1"), ("PATCH", "/1/complete")])
    def test_input_comes_before_the_absent_task(
        self, alice: User, method: str, suffix: str, body: dict[str, Any], *, status: int, code: str
    ) -> None:
        assert_problem(alice.http.request(method, alice.base + suffix, **body), status, code)

    def test_bad_id_and_bad_body_are_named_together(self, alice: User) -> None:
        response = alice.http.put(f"{alice.base}/x", json={"title": 1, "completed": 1})

        assert_invalid(
            response,
            ("id", "must be decimal digits"),
            ("title", "must be a string"),
            ("completed", "must be true or false"),
        )

    @pytest.mark.parametrize(
        ("target", "status"), [("/nowhere", 404), ("/tasks/1/nowhere", 404), ("/tasks/1/complete", 405)]
    )
    def test_token_comes_before_routes_and_methods(
        self, nobody: httpx.Client, alice: User, bob: User, target: str, status: int
    ) -> None:
        assert_rejected(nobody.get(f"/api/{alice.id}{target}"), MISSING)
        # A path that names nothing names no user either.
        assert alice.http.get(f"/api/{bob.id}{target}").status_code == (404 if status == 404 else 403)
        assert alice.http.get(f"/api/{alice.id}{target}").status_code == status


class TestBodyOfARejectedRequest:
    def announce(self, user: User, *lines: str) -> bytes:
        head = [f"POST {user.base} HTTP/1.1", "Host: x", "Content-Type: application/json", *lines]
        return "\r\n".join([*head, "", ""]).encode()

    @pytest.mark.parametrize("length", ["Transfer-Encoding: chunked", "Content-Length: 10485760"])
    def test_is_not_waited_for(self, server: Server, alice: User, bob: User, length: str) -> None:
        of_another = self.announce(alice, length, f"Authorization: Bearer {token(bob.id)}")

        assert exchange(server, self.announce(alice, length)).status == 401
        assert exchange(server, self.announce(alice, length, "Authorization: Bearer x")).status == 401
        assert exchange(server, of_another).status == 403

    def test_is_not_waited_for_when_it_has_begun(self, server: Server, alice: User) -> None:
        request = self.announce(alice, "Transfer-Encoding: chunked")

        assert exchange(server, request + b"a00000\r\n" + b"x" * 1024).status == 401

    def test_is_not_asked_for(self, server: Server, alice: User) -> None:
        with connect(server) as connection:
            connection.sendall(self.announce(alice, "Transfer-Encoding: chunked", "Expect: 100-continue"))

            assert connection.recv(12) == b"HTTP/1.1 401"

    def test_may_be_sent_all_the_same(self, nobody: httpx.Client, alice: User) -> None:
        megabyte = b"x" * 2**20
        response = nobody.post(alice.base, content=(megabyte for _ in range(10)))

        assert_rejected(response, MISSING)


def test_rejected_request_takes_no_database_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as database:
        url = f"postgresql://todo@127.0.0.1:{database.getsockname()[1]}/todo?sslmode=disable"
        with serving(tmp_path / "service", DATABASE_URL=url) as server:
            user, nobody = server.user(), server.client()
            for bad in ("Bearer nonsense", f"Bearer {token(user.id, exp=1)}", "Basic x"):
                assert nobody.get(user.base, headers={"Authorization": bad}).status_code == 401
            assert nobody.post(user.base, json={"title": "x"}).status_code == 401
            assert user.http.get("/api/another/tasks").status_code == 403
            database.settimeout(0.3)
            with pytest.raises(TimeoutError):
                database.accept()

            database.settimeout(PATIENCE_SECONDS)
            with ThreadPoolExecutor() as beside:
                answer = beside.submit(user.http.get, user.base)
                database.accept()[0].close()
                database.close()
                assert answer.result().status_code == 503


class TestUserInThePath:
    @pytest.mark.parametrize(
        ("user_id", "segment"),
        [
            ("AB", "%41B"),
            ("AB", "%41%42"),
            ("a/b", "a%2Fb"),
            ("a/b", "a%2fb"),
            ("a+b", "a+b"),
            ("a b", "a%20b"),
            ("%41", "%2541"),
            ("é", "%C3%A9"),
            ("a;b", "a;b"),
            ("a\\b", "a\\b"),
            ("a:b@c", "a:b@c"),
            ("api", "api"),
            ("tasks", "tasks"),
        ],
    )
    def test_is_compared_after_one_percent_decoding(self, server: Server, user_id: str, segment: str) -> None:
        assert ask(server, f"/api/{segment}/tasks", token(user_id)).status == 200

    @pytest.mark.parametrize(
        ("user_id", "segment"),
        [
            ("AB", "%2541B"),
            ("AB", "ab"),
            ("AB", "AB%20"),
            ("AB", "%20AB"),
            ("AB", "AB;x"),
            ("AB", "AB."),
            ("AB", "AB%2F"),
            ("AB", "A"),
            ("AB", "ABC"),
            ("AB", "%EF%BC%A1B"),
            ("%41", "%41"),
            ("a/b", "a%252Fb"),
            ("a b", "a+b"),
            ("é", "e%CC%81"),
            ("é", "%E9"),
            ("\ufffd", "%FF"),
            ("1", "01"),
            ("x", "%"),
        ],
    )
    def test_must_be_exactly_the_tokens(self, server: Server, user_id: str, segment: str) -> None:
        answer = ask(server, f"/api/{segment}/tasks", token(user_id))

        assert (answer.status, json.loads(answer.body)["code"]) == (403, "forbidden")

    @pytest.mark.parametrize(("user_id", "segment"), [("AB", "AB%00"), ("A\n", "A%0A"), ("a/b", "a/b"), ("x", "")])
    def test_that_names_none_answers_404(self, server: Server, user_id: str, segment: str) -> None:
        assert ask(server, f"/api/{segment}/tasks").status == 401
        assert ask(server, f"/api/{segment}/tasks", token(user_id)).status == 404


TRICKS = [
    "//api/{user}/tasks",
    "///api/{user}/tasks",
    "/api//{user}/tasks",
    "/api/{user}//tasks",
    "/api/{user}/tasks//",
    "/%61pi/{user}/tasks",
    "/%61%70%69/{user}/tasks",
    "/%2561pi/{user}/tasks",
    "/api%2F{user}/tasks",
    "/api%2f{user}%2ftasks",
    "%2Fapi/{user}/tasks",
    "/%2Fapi/{user}/tasks",
    "/api/{user}%2Ftasks",
    "/api./{user}/tasks",
    "/api%20/{user}/tasks",
    "/api%00/{user}/tasks",
    "/api;x=1/{user}/tasks",
    "/api?/{user}/tasks",
    "/api\\{user}\\tasks",
    "/api/./{user}/tasks",
    "/api/../api/{user}/tasks",
    "/api/x/../{user}/tasks",
    "/x/../api/{user}/tasks",
    "/./api/{user}/tasks",
    "/%2e/api/{user}/tasks",
    "/docs/../api/{user}/tasks",
    "/docs/assets/../../api/{user}/tasks",
    "/docs/assets/%2e%2e/%2e%2e/api/{user}/tasks",
    "/health/../api/{user}/tasks",
    "/API/{user}/tasks",
    "/Api/{user}/tasks",
    "/a%70i/{user}/TASKS",
    "/api/{user}/tasks%0A",
    "/api/{user}/tasks%00",
    "/api/{user}/tasks/.",
    "/api/{user}/tasks/%2e%2e/tasks",
    "/api/{user}/tasks#fragment",
    "http://127.0.0.1/api/{user}/tasks",
    "http://127.0.0.1//api/{user}/tasks",
    "/ap\u0131/{user}/tasks",
]


class TestTricksWithThePrefix:
    @pytest.fixture
    def secret_task(self, alice: User) -> dict[str, Any]:
        return alice.create("Known to Alice alone")

    def assert_kept_out(self, answer: Answer) -> None:
        assert answer.status in {400, 401, 403, 404, 405}
        assert b"Alice" not in answer.body

    @pytest.mark.parametrize("trick", TRICKS)
    def test_never_lead_to_tasks_without_their_owners_token(
        self, server: Server, alice: User, secret_task: dict[str, Any], trick: str
    ) -> None:
        target = trick.format(user=alice.id)

        for suffix in ("", f"/{secret_task['id']}"):
            self.assert_kept_out(ask(server, target + suffix))
            self.assert_kept_out(ask(server, target + suffix, token("mallory")))
            self.assert_kept_out(ask(server, target + suffix, token("tasks")))

    @pytest.mark.parametrize("trick", TRICKS)
    def test_never_delete_without_the_owners_token(
        self, server: Server, alice: User, secret_task: dict[str, Any], trick: str
    ) -> None:
        target = f"{trick.format(user=alice.id)}/{secret_task['id']}"

        self.assert_kept_out(ask(server, target, method="DELETE"))
        self.assert_kept_out(ask(server, target, token("mallory"), method="DELETE"))
        assert alice.http.get(alice.base).json() == [secret_task]

    @pytest.mark.parametrize("trick", TRICKS)
    def test_never_fail_for_the_owner(self, server: Server, alice: User, trick: str) -> None:
        assert ask(server, trick.format(user=alice.id), token(alice.id)).status < 500

    @pytest.mark.parametrize("target", ["/api/", "/api//", "/api/x", "/api/x/", "/api/x/y", "/%61pi/x/tasks"])
    def test_everything_below_the_prefix_requires_a_token(self, server: Server, target: str) -> None:
        answer = ask(server, target)

        assert answer.status in ({401, 404} if target == "/api/" else {401})


@pytest.mark.parametrize("key", [SECRET.upper(), hashlib.sha256(SECRET.encode()).hexdigest(), SECRET + "\n"])
def test_key_is_the_secret_itself(nobody: httpx.Client, key: str) -> None:
    assert_rejected(nobody.get("/api/u/tasks", headers={"Authorization": f"Bearer {token('u', secret=key)}"}), INVALID)
