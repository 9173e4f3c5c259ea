"""What holds for every path.

Unknown routes, methods, HEAD, slashes, request ids, CORS, health, metrics, docs.
"""

import re
import secrets
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_tasks import assert_problem
from tests.api.wire import REQUESTS, ask, counted, exchange
from tests.harness import Server, User, free_port, serving, token

ORIGIN = "https://app.example.com"
EXPOSED = {"etag", "link", "location", "retry-after", "x-request-id", "idempotent-replayed", "preference-applied"}
ALLOWED_HEADERS = [
    "Authorization",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "Prefer",
    "X-Request-ID",
]
ALLOWED_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
OPERATIONS = ["/health", "/ready", "/metrics", "/docs", "/openapi.json"]


def listed(header: str) -> set[str]:
    """The members of a comma-separated header."""
    return {item.strip() for item in header.split(",") if item.strip()}


@pytest.fixture(scope="module")
def without_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service whose database cannot be reached."""
    url = f"postgresql://todo@127.0.0.1:{free_port()}/todo"
    with serving(tmp_path_factory.mktemp("lonely"), DATABASE_URL=url, CORS_ORIGINS=ORIGIN) as running:
        yield running


class TestUnknownRoute:
    @pytest.mark.parametrize(
        "path",
        [
            "/x",
            "/health/x",
            "/healthz",
            "/HEALTH",
            "/api",
            "/openapi",
            "/redoc",
            "/favicon.ico",
            "/docs/x",
            "/%00",
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    def test_answers_404(self, nobody: httpx.Client, method: str, path: str) -> None:
        assert_problem(nobody.request(method, path), 404, "not_found")

    @pytest.mark.parametrize("rest", ["", "/", "/x", "/%00", "/..%2Fx", "/%2e%2e/x", "/" + "x" * 5000])
    def test_among_the_assets_answers_404(self, nobody: httpx.Client, rest: str) -> None:
        assert_problem(nobody.get(f"/docs/assets{rest}"), 404, "not_found")

    @pytest.mark.parametrize("rest", ["", "/x", "/task", "/tasks/1/x", "/tasks/1/complete/x", "/tasks/1/2/complete"])
    def test_below_the_prefix_answers_404_to_its_user(self, alice: User, rest: str) -> None:
        assert_problem(alice.http.get(f"/api/{alice.id}{rest}"), 404, "not_found")


class TestMethods:
    @pytest.mark.parametrize(
        ("suffix", "allowed"),
        [
            ("", {"GET", "HEAD", "POST"}),
            ("/1", {"GET", "HEAD", "PUT", "DELETE"}),
            ("/1/complete", {"PATCH"}),
            ("/", {"GET", "HEAD", "POST"}),
        ],
    )
    def test_other_method_on_a_task_path_answers_405(self, alice: User, suffix: str, allowed: set[str]) -> None:
        for method in {*ALLOWED_METHODS, "OPTIONS", "TRACE", "PROPFIND"} - {*allowed, "HEAD"}:
            response = alice.http.request(method, alice.base + suffix)

            assert_problem(response, 405, "method_not_allowed")
            assert listed(response.headers["allow"]) == allowed

    @pytest.mark.parametrize("path", OPERATIONS)
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
    def test_other_method_on_an_open_path_answers_405(self, nobody: httpx.Client, path: str, method: str) -> None:
        response = nobody.request(method, path)

        assert_problem(response, 405, "method_not_allowed")
        assert listed(response.headers["allow"]) == {"GET", "HEAD"}

    def test_other_method_on_an_asset_answers_405(self, nobody: httpx.Client) -> None:
        response = nobody.post("/docs/assets/swagger-ui.css")

        assert_problem(response, 405, "method_not_allowed")
        assert listed(response.headers["allow"]) == {"GET", "HEAD"}

    def test_allow_does_not_depend_on_the_spelling_of_the_user(self, server: Server) -> None:
        answer = ask(server, "/api/%41%2Fb/tasks", token("A/b"), method="PUT")

        assert answer.status == 405
        assert listed(answer.headers["allow"] or "") == {"GET", "HEAD", "POST"}

    def test_head_where_there_is_no_get_answers_405(self, alice: User) -> None:
        response = alice.http.head(f"{alice.base}/1/complete")

        assert (response.status_code, response.headers["allow"], response.content) == (405, "PATCH", b"")


class TestHead:
    def assert_like_get(self, client: httpx.Client, path: str, *volatile: str) -> None:
        get, head = client.get(path), client.head(path)
        changing = {"date", "x-request-id", *volatile}

        assert head.status_code == get.status_code
        assert head.content == b""
        assert set(head.headers) == set(get.headers)
        assert {name: value for name, value in head.headers.items() if name not in changing} == {
            name: value for name, value in get.headers.items() if name not in changing
        }

    @pytest.mark.parametrize("path", ["/health", "/ready", "/docs", "/openapi.json", "/docs/assets/swagger-ui.css"])
    def test_is_answered_like_get(self, nobody: httpx.Client, path: str) -> None:
        assert nobody.head(path).status_code == 200
        self.assert_like_get(nobody, path)

    def test_of_metrics_is_answered_like_get(self, nobody: httpx.Client) -> None:
        assert int(nobody.head("/metrics").headers["content-length"]) > 1000
        self.assert_like_get(nobody, "/metrics", "content-length")

    def test_of_tasks_is_answered_like_get(self, alice: User) -> None:
        task = alice.create("é")

        for path in (alice.base, f"{alice.base}?limit=1", alice.path(task)):
            assert alice.http.head(path).status_code == 200
            self.assert_like_get(alice.http, path)

    @pytest.mark.parametrize("path", ["/x", "/api/x/tasks"])
    def test_of_a_rejection_is_answered_like_get(self, nobody: httpx.Client, path: str) -> None:
        self.assert_like_get(nobody, path)

    def test_of_other_rejections_is_answered_like_get(self, alice: User, bob: User) -> None:
        for path in (bob.base, f"{alice.base}/x", f"{alice.base}/1", f"{alice.base}?limit=0"):
            self.assert_like_get(alice.http, path)

    def test_sends_no_body_on_the_wire(self, server: Server) -> None:
        request = b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\nGET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = exchange(server, request)

        assert (answer.status, answer.headers["content-length"], answer.body) == (200, "15", b"")


class TestDate:
    def test_is_on_every_answer(self, nobody: httpx.Client, alice: User) -> None:
        """RFC 9110 §6.6.1."""
        responses = [
            alice.http.get(alice.base),
            alice.http.head(alice.base),
            alice.http.post(alice.base, json={"title": "x"}, headers={"Prefer": "return=minimal"}),
            nobody.get(alice.base),
            nobody.get("/health"),
        ]

        for response in responses:
            (date,) = response.headers.get_list("date")
            assert abs(parsedate_to_datetime(date).timestamp() - time.time()) < 60


class TestTrailingSlash:
    def test_names_the_same_resource_in_all_six(self, alice: User) -> None:
        created = alice.http.post(f"{alice.base}/", json={"title": "Buy milk"})
        task = created.json()
        path = alice.path(task)

        assert created.status_code == 201
        assert created.url.join(created.headers["location"]).path == path
        assert alice.http.get(f"{alice.base}/").json() == [task]
        assert alice.http.get(f"{path}/").json() == task
        assert alice.http.put(f"{path}/", json={"title": "Buy oat milk"}).json()["title"] == "Buy oat milk"
        assert alice.http.patch(f"{path}/complete/").json()["completed"] is True
        assert alice.http.delete(f"{path}/").status_code == 200
        assert alice.http.get(alice.base).json() == []

    def test_goes_with_a_query(self, alice: User) -> None:
        done = alice.create(completed=True)
        alice.create()

        assert alice.http.get(f"{alice.base}/?status=completed&limit=1").json() == [done]

    @pytest.mark.parametrize("path", ["/health", "/ready", "/openapi.json"])
    def test_names_the_same_open_resource(self, nobody: httpx.Client, path: str) -> None:
        with_slash, without = nobody.get(f"{path}/?x=1"), nobody.get(path)

        assert with_slash.status_code == 200
        assert with_slash.headers["content-type"] == without.headers["content-type"]

    @pytest.mark.parametrize(
        "path",
        [
            "/metrics/",
            "/metrics%2F",
            "/metrics%0A",
            "/metrics%0a",
            "/%6detrics",
            "/metric%73?x",
            "/docs/",
            "/docs%2F",
            "/docs%0A",
            "/%64ocs",
            "/%64ocs/assets/docs.js",
            "/openapi%2Ejson",
            "/health//",
        ],
    )
    def test_is_the_only_other_spelling_and_not_of_what_proxies_have_rules_for(self, server: Server, path: str) -> None:
        assert ask(server, path).status == 404

    def test_is_protected_alike(self, nobody: httpx.Client, alice: User, bob: User) -> None:
        assert_problem(nobody.get(f"{alice.base}/"), 401, "unauthorized")
        assert_problem(alice.http.get(f"{bob.base}/"), 403, "forbidden")


class TestRequestId:
    def rejections(self, alice: User, headers: list[tuple[bytes, bytes]]) -> Iterator[httpx.Response]:
        json = {"content-type": "application/json"}
        yield alice.http.get("/x", headers=headers)
        yield alice.http.get("/api/another/tasks", headers=headers)
        yield alice.http.get(f"{alice.base}/x", headers=headers)
        yield alice.http.get(f"{alice.base}/1", headers=headers)
        yield alice.http.put(alice.base, headers=headers)
        yield alice.http.post(alice.base, content=b" " * 70_000, headers={**json, **dict(self.texts(headers))})
        yield alice.http.post(alice.base, content=b"x", headers=headers)
        yield alice.http.get(alice.base, headers=[*headers, (b"Authorization", b"Bearer x")])

    def texts(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
        return [(name.decode(), value.decode()) for name, value in headers]

    @pytest.mark.parametrize(
        "id", ["a", "0", "-", "...", "A" * 128, "4f6c.B_c-9", "550e8400-e29b-41d4-a716-446655440000"]
    )
    def test_is_echoed_when_it_is_usable(self, nobody: httpx.Client, alice: User, id: str) -> None:
        headers = {"X-Request-ID": id}

        assert nobody.get("/health", headers=headers).headers.get_list("x-request-id") == [id]
        assert alice.http.get(alice.base, headers=headers).headers.get_list("x-request-id") == [id]

    @pytest.mark.parametrize(
        "id", [b"", b"A" * 129, b"a b", b"a/b", b"a,b", b"a\tb", b"\xc3\xa9", b"\xff", b"a;b", b'"a"', b"<script>"]
    )
    def test_is_made_when_it_is_not(self, server: Server, id: bytes) -> None:
        answer = exchange(server, b"GET /health HTTP/1.1\r\nHost: x\r\nX-Request-ID: " + id + b"\r\n\r\n")
        made = answer.headers.get_all("x-request-id", [])

        assert answer.status == 200
        assert [bool(re.fullmatch(r"[A-Za-z0-9._-]{1,128}", value)) for value in made] == [True]
        assert id.decode("latin-1") not in made

    def test_is_made_anew_for_each_request(self, nobody: httpx.Client) -> None:
        ids = {nobody.get("/health").headers["x-request-id"] for _ in range(20)}

        assert len(ids) == 20

    def test_is_on_every_rejection(self, alice: User) -> None:
        statuses = []
        for response in self.rejections(alice, [(b"X-Request-ID", b"my-request.1")]):
            statuses.append(response.status_code)
            assert response.headers.get_list("x-request-id") == ["my-request.1"]
            assert response.json()["request_id"] == "my-request.1"

        assert statuses == [404, 403, 400, 404, 405, 413, 415, 401]

    def test_is_made_for_every_rejection(self, alice: User) -> None:
        for response in self.rejections(alice, [(b"X-Request-ID", b"not usable")]):
            assert response.json()["request_id"] == response.headers["x-request-id"] != "not usable"


class TestHome:
    @pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml,*/*;q=0.8", "text/html"])
    def test_is_a_page_for_browsers(self, nobody: httpx.Client, accept: str) -> None:
        response = nobody.get("/", headers={"Accept": accept})

        assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert 'href="docs"' in response.text
        assert "/api/tasks" in response.text
        assert "Accept" in listed(response.headers["vary"])

    @pytest.mark.parametrize("accept", ["*/*", "application/json"])
    def test_is_json_for_programs(self, nobody: httpx.Client, accept: str) -> None:
        response = nobody.get("/", headers={"Accept": accept})
        links = response.json()

        assert links.pop("title") == "Todo API"
        assert re.fullmatch(r"[0-9.]+", links.pop("version"))
        assert links == {"tasks": "api/tasks", "documentation": "docs", "openapi": "openapi.json"}

    def test_answers_head_and_nothing_but_get(self, nobody: httpx.Client) -> None:
        assert nobody.head("/").status_code == 200
        assert listed(nobody.post("/").headers["allow"]) == {"GET", "HEAD"}


class TestPathsWithoutAUser:
    def test_are_the_tokens_own_users(self, alice: User, bob: User) -> None:
        created = alice.http.post("/api/tasks", json={"title": "Buy milk"})
        task = created.json()

        assert created.status_code == 201
        assert alice.http.get(alice.path(task)).json() == task
        assert alice.http.get("/api/tasks").json() == alice.http.get(alice.base).json() == [task]
        assert alice.http.get("/api/tasks/").content == alice.http.get("/api/tasks").content
        assert alice.http.get(f"/api/tasks/{task['id']}").content == alice.http.get(alice.path(task)).content
        assert alice.http.patch(f"/api/tasks/{task['id']}/complete").json()["completed"] is True
        assert alice.http.put(f"/api/tasks/{task['id']}", json={"title": "Buy tea"}).json()["title"] == "Buy tea"
        assert bob.http.get("/api/tasks").json() == []
        assert_problem(bob.http.get(f"/api/tasks/{task['id']}"), 404, "not_found")
        assert alice.http.delete(f"/api/tasks/{task['id']}").status_code == 200

    def test_need_a_token(self, nobody: httpx.Client) -> None:
        for path in ("/api/tasks", "/api/tasks/1", "/api/tasks/1/complete", "/api/x", "/api/x/y/z"):
            assert_problem(nobody.get(path), 401, "unauthorized")

    def test_take_nothing_from_a_user_whose_id_is_tasks(self, server: Server, alice: User) -> None:
        user = server.user("tasks")
        task = user.create()

        assert task in user.http.get("/api/tasks/tasks").json()
        assert user.http.get(f"/api/tasks/tasks/{task['id']}").json() == task
        assert user.http.get(f"/api/tasks/{task['id']}").json() == task
        assert_problem(alice.http.get("/api/tasks/tasks"), 403, "forbidden")

    def test_other_method_answers_405(self, alice: User) -> None:
        response = alice.http.put("/api/tasks", json={})

        assert_problem(response, 405, "method_not_allowed")
        assert listed(response.headers["allow"]) == {"GET", "HEAD", "POST"}

    def test_of_better_auth_are_elsewhere(self, nobody: httpx.Client, alice: User) -> None:
        for client in (nobody, alice.http):
            for path in ("/api/auth/sign-in/email", "/api/auth/get-session", "/api/auth"):
                assert "Better Auth" in assert_problem(client.post(path), 404, "not_found")["detail"]


class TestSecurityHeaders:
    def test_are_on_every_response(self, nobody: httpx.Client, alice: User) -> None:
        preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT"}
        responses = [
            *map(nobody.get, [*OPERATIONS, "/", "/x", "/docs/assets/docs.js"]),
            alice.http.get(alice.base),
            alice.http.post(alice.base, json={}),
            nobody.get(alice.base),
            nobody.options(alice.base, headers=preflight),
            nobody.options(alice.base, headers={**preflight, "Origin": "https://evil.example.com"}),
        ]

        for response in responses:
            assert response.headers.get_list("x-content-type-options") == ["nosniff"]
            assert response.headers.get_list("referrer-policy") == ["no-referrer"]


class TestPreflight:
    def preflight(self, client: httpx.Client, path: str, origin: str = ORIGIN, **more: str) -> httpx.Response:
        asked = {"Access-Control-Request-Method": "PUT", "Origin": origin}
        return client.options(path, headers={**asked, **{name.replace("_", "-"): more[name] for name in more}})

    @pytest.mark.parametrize("path", ["/api/x/tasks", "/api/x/tasks/1", "/api/x/tasks/1/complete", "/api/x/tasks/"])
    def test_is_answered_without_a_token(self, nobody: httpx.Client, path: str) -> None:
        response = self.preflight(nobody, path, Access_Control_Request_Headers="authorization,content-type")

        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert response.headers["access-control-allow-credentials"] == "true"
        assert listed(response.headers["access-control-allow-methods"]) == ALLOWED_METHODS
        assert {name.lower() for name in ALLOWED_HEADERS} <= {
            name.lower() for name in listed(response.headers["access-control-allow-headers"])
        }
        assert "Origin" in listed(response.headers["vary"])
        assert "*" not in "".join(response.headers.values())

    @pytest.mark.parametrize("method", sorted(ALLOWED_METHODS))
    def test_allows_each_method(self, nobody: httpx.Client, method: str) -> None:
        assert self.preflight(nobody, "/api/x/tasks", Access_Control_Request_Method=method).status_code == 200

    @pytest.mark.parametrize("name", ALLOWED_HEADERS)
    def test_allows_each_header(self, nobody: httpx.Client, name: str) -> None:
        for spelled in (name, name.lower()):
            asked = self.preflight(nobody, "/api/x/tasks", Access_Control_Request_Headers=spelled)

            assert asked.status_code == 200

    def test_options_that_ask_for_no_method_are_no_preflight(self, nobody: httpx.Client) -> None:
        assert_problem(nobody.options("/health", headers={"Origin": ORIGIN}), 405, "method_not_allowed")

    def test_from_a_public_page_to_a_private_network_is_allowed_to_an_allowed_origin(
        self, nobody: httpx.Client
    ) -> None:
        asked = {"Access_Control_Request_Private_Network": "true"}
        response = self.preflight(nobody, "/api/x/tasks", **asked)

        assert (response.status_code, response.headers["access-control-allow-private-network"]) == (200, "true")
        assert "access-control-allow-private-network" not in self.preflight(nobody, "/api/x/tasks").headers
        assert self.preflight(nobody, "/api/x/tasks", "https://evil.example.com", **asked).status_code == 400

    @pytest.mark.parametrize(
        "origin",
        [
            "https://evil.example.com",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.com",
            "https://APP.example.com",
            "https://app.example.com/",
            "null",
            "*",
        ],
    )
    def test_of_another_origin_is_rejected(self, nobody: httpx.Client, origin: str) -> None:
        self.assert_rejected(self.preflight(nobody, "/api/x/tasks", origin))

    @pytest.mark.parametrize(
        "asked", [{"Access_Control_Request_Method": "TRACE"}, {"Access_Control_Request_Headers": "x-other"}]
    )
    def test_for_something_else_is_rejected(self, nobody: httpx.Client, asked: dict[str, str]) -> None:
        response = self.preflight(nobody, "/api/x/tasks", **asked)

        assert (response.status_code, response.headers["content-type"]) == (400, "application/problem+json")

    def assert_rejected(self, response: httpx.Response) -> None:
        body = response.json()

        assert (response.status_code, response.headers["content-type"]) == (400, "application/problem+json")
        assert (body["status"], body["code"], body["message"]) == (400, "invalid_request", body["detail"])
        assert body["request_id"] == response.headers["x-request-id"]
        assert "access-control-allow-origin" not in response.headers


class TestCors:
    def assert_shared(self, response: httpx.Response) -> None:
        """The allowed origin may read the response, with credentials."""
        headers = response.headers

        assert headers.get_list("access-control-allow-origin") == [ORIGIN]
        assert headers["access-control-allow-credentials"] == "true"
        assert {name.lower() for name in listed(headers["access-control-expose-headers"])} == EXPOSED
        assert "Origin" in listed(headers["vary"])

    def test_success_is_shared(self, alice: User) -> None:
        from_origin = {"Origin": ORIGIN}
        created = alice.http.post(alice.base, json={"title": "x"}, headers=from_origin)
        path = created.url.join(created.headers["location"]).path
        responses = [
            created,
            alice.http.get(alice.base, headers=from_origin),
            alice.http.get(path, headers=from_origin),
            alice.http.head(path, headers=from_origin),
            alice.http.put(path, json={"title": "y"}, headers=from_origin),
            alice.http.patch(f"{path}/complete", headers=from_origin),
            alice.http.delete(path, headers=from_origin),
        ]

        for response in responses:
            assert response.is_success
            self.assert_shared(response)
            assert listed(response.headers["vary"]) == {"Authorization", "Origin"}
            assert response.headers["cache-control"] == "private, no-cache"

    def test_every_rejection_is_shared(self, alice: User, bob: User) -> None:
        from_origin = {"Origin": ORIGIN}
        requests: list[tuple[int, str, str, dict[str, Any]]] = [
            (400, "POST", alice.base, {"json": {}}),
            (400, "GET", f"{alice.base}/x", {}),
            (401, "GET", alice.base, {"headers": {"Authorization": ""}}),
            (401, "GET", alice.base, {"headers": {"Authorization": "Bearer x"}}),
            (403, "GET", bob.base, {}),
            (404, "GET", f"{alice.base}/1", {}),
            (404, "GET", "/x", {}),
            (405, "PUT", alice.base, {}),
            (413, "POST", alice.base, {"content": b" " * 70_000}),
            (415, "POST", alice.base, {"content": b"x"}),
        ]

        for status, method, path, options in requests:
            headers = {**from_origin, **options.pop("headers", {})}
            response = alice.http.request(method, path, headers=headers, **options)
            assert response.status_code == status
            self.assert_shared(response)

    def test_unavailability_is_shared(self, without_database: Server) -> None:
        user = without_database.user()
        response = user.http.get(user.base, headers={"Origin": ORIGIN})

        assert response.status_code == 503
        self.assert_shared(response)

    @pytest.mark.parametrize("origin", ["https://evil.example.com", "null", "http://app.example.com"])
    def test_nothing_is_shared_with_another_origin(self, alice: User, origin: str) -> None:
        for path in (alice.base, f"{alice.base}/x", "/health", "/x"):
            response = alice.http.get(path, headers={"Origin": origin})

            assert "access-control-allow-origin" not in response.headers

    def test_origin_is_never_a_star(self, nobody: httpx.Client) -> None:
        for path in OPERATIONS:
            response = nobody.get(path, headers={"Origin": ORIGIN})

            assert response.headers["access-control-allow-origin"] == ORIGIN


class TestProbes:
    @pytest.mark.parametrize(
        ("path", "content"), [("/health", b'{"status":"ok"}'), ("/ready", b'{"status":"ok","read_only":false}')]
    )
    def test_answer_ok(self, nobody: httpx.Client, path: str, content: bytes) -> None:
        response = nobody.get(path)

        assert (response.status_code, response.content) == (200, content)
        assert response.headers["content-type"] == "application/json"

    def test_health_needs_no_database(self, without_database: Server) -> None:
        assert without_database.client().get("/health").json() == {"status": "ok"}

    def test_readiness_needs_the_database(self, without_database: Server) -> None:
        response = without_database.client().get("/ready")

        assert_problem(response, 503, "unavailable")
        assert int(response.headers["retry-after"]) >= 1

    def test_tasks_without_a_database_answer_503(self, without_database: Server) -> None:
        user = without_database.user()
        for response in (user.http.get(user.base), user.http.post(user.base, json={"title": "x"})):
            assert_problem(response, 503, "unavailable")
            assert int(response.headers["retry-after"]) >= 1

    def test_rejections_need_no_database(self, without_database: Server) -> None:
        user = without_database.user()

        assert_problem(without_database.client().get(user.base), 401, "unauthorized")
        assert_problem(user.http.get("/api/another/tasks"), 403, "forbidden")
        assert_problem(user.http.post(user.base, json={}), 400, "invalid_request")


class TestMetrics:
    def test_are_a_prometheus_exposition(self, nobody: httpx.Client) -> None:
        response = nobody.get("/metrics")

        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/plain; version=")
        assert response.text.endswith("\n")

    @pytest.mark.parametrize(
        ("method", "suffix", "route", "status"),
        [
            ("GET", "", "/api/{user_id}/tasks", "200"),
            ("HEAD", "", "/api/{user_id}/tasks", "200"),
            ("GET", "/", "/api/{user_id}/tasks", "200"),
            ("POST", "", "/api/{user_id}/tasks", "400"),
            ("GET", "/1", "/api/{user_id}/tasks/{id}", "404"),
            ("DELETE", "/x", "/api/{user_id}/tasks/{id}", "400"),
            ("PATCH", "/1/complete", "/api/{user_id}/tasks/{id}/complete", "404"),
        ],
    )
    def test_count_requests_by_route_template(
        self, nobody: httpx.Client, alice: User, method: str, suffix: str, *, route: str, status: str
    ) -> None:
        labels = {"method": method, "route": route, "status": status}
        before = counted(nobody, REQUESTS, **labels)
        for _ in range(3):
            alice.http.request(method, alice.base + suffix)

        assert counted(nobody, REQUESTS, **labels) == before + 3

    def test_count_what_happens_to_tasks(self, nobody: httpx.Client, alice: User) -> None:
        names = [f"task.{what}" for what in ("created", "updated", "completed", "reopened", "deleted")]
        before = {name: counted(nobody, "todo_task_events_total", event=name) for name in names}
        path = alice.path(alice.create())
        alice.http.put(path, json={"title": "x"})
        alice.http.patch(f"{path}/complete")
        alice.http.patch(f"{path}/complete")
        alice.http.delete(path)
        alice.http.delete(path)

        assert {name: counted(nobody, "todo_task_events_total", event=name) - before[name] for name in names} == (
            dict.fromkeys(names, 1)
        )

    def test_count_rejected_tokens(self, nobody: httpx.Client) -> None:
        before = counted(nobody, "todo_auth_refusals_total")
        nobody.get("/api/x/tasks")
        nobody.get("/api/x/tasks", headers={"Authorization": "Bearer x"})

        assert counted(nobody, "todo_auth_refusals_total") == before + 2

    def test_name_no_user_no_path_and_no_invented_method(self, server: Server, nobody: httpx.Client) -> None:
        canary = f"canary{secrets.token_hex(8)}"
        user = server.user(canary)
        user.create(canary)
        user.http.get(f"{user.base}/{canary}?{canary}={canary}")
        user.http.get(f"/{canary}")
        user.http.request("PROPFIND", user.base)
        nobody.get(f"/api/{canary}/tasks", headers={"Authorization": f"Bearer {canary}", "X-Request-ID": canary})
        text = nobody.get("/metrics").text

        assert canary not in text
        assert "PROPFIND" not in text


class TestDocs:
    def test_page_and_its_assets_come_from_here(self, nobody: httpx.Client) -> None:
        page = nobody.get("/docs")
        script = nobody.get("/docs/assets/docs.js")
        links = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)["']""", page.text + script.text)

        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert {"openapi.json", "docs/assets/docs.js", "docs/assets/swagger-ui-bundle.js"} < set(links)
        for link in links:
            assert re.match(r"[a-z]+[./]", link)  # relative: it holds below any prefix
            assert nobody.get(f"/{link}").status_code == 200
        assert not re.search(r"(https?:)?//[a-z0-9]", page.text)

    def test_page_is_framed_by_nobody_and_runs_only_scripts_from_here(self, nobody: httpx.Client) -> None:
        for path in ("/docs", "/"):
            page = nobody.get(path, headers={"Accept": "text/html"})
            policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))

            assert policy["frame-ancestors"] == "'none'"
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == "'self'"
            assert "<script>" not in page.text

    def test_page_keeps_no_token_in_the_browser(self, nobody: httpx.Client) -> None:
        assert "persistAuthorization: false" in nobody.get("/docs/assets/docs.js").text

    def test_page_signs_nobody_in_where_a_database_is_configured(self, nobody: httpx.Client) -> None:
        page = nobody.get("/docs")

        assert '<body data-sample="null">' in page.text
        assert "eyJ" not in page.text
        assert page.headers["cache-control"] == "no-store"

    def test_style_sheet_fetches_nothing_from_elsewhere(self, nobody: httpx.Client) -> None:
        links = re.findall(r"url\(([^)]*)\)|@import\s+(\S+)", nobody.get("/docs/assets/swagger-ui.css").text)

        assert [link for link in links if not "".join(link).strip("\"'").startswith("data:")] == []


class TestMalformedHttp:
    @pytest.mark.parametrize(
        "request_line",
        [
            "GET /api/ü/tasks HTTP/1.1",
            "GET /health?q=ü HTTP/1.1",
            "BREW /health HTTP/1.1",
            "GET health HTTP/1.1",
            f"GET /{'x' * 70_000} HTTP/1.1",
        ],
        ids=["raw UTF-8 in the path", "raw UTF-8 in the query", "invented method", "no slash", "long path"],
    )
    def test_answers_a_problem_like_everything_else(self, server: Server, request_line: str) -> None:
        answer = exchange(server, f"{request_line}\r\nHost: x\r\n\r\n".encode())

        assert 400 <= answer.status < 500
        assert answer.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize(
        "lines",
        [
            "Content-Length: x",
            "Content-Length: -1",
            "Content-Length: " + "9" * 40,
            "Content-Length: 1\r\nContent-Length: 2",
            "Transfer-Encoding: gzip",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\n\r\nzz",
            "no colon",
        ],
    )
    def test_framing_never_gives_a_fault(self, server: Server, alice: User, lines: str) -> None:
        head = f"POST {alice.base} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(alice.id)}"
        answer = exchange(server, f"{head}\r\nContent-Type: application/json\r\n{lines}\r\n\r\n".encode())

        assert 400 <= answer.status < 500
        assert alice.http.get(alice.base).json() == []


def test_service_without_origins_shares_with_nobody(tmp_path: Path, worker_database: str) -> None:
    with serving(tmp_path / "service", DATABASE_URL=worker_database) as server:
        response = server.user().http.get("/health", headers={"Origin": ORIGIN})

        assert response.status_code == 200
        assert "access-control-allow-origin" not in response.headers


def test_range_of_an_asset_is_ignored(server: Server) -> None:
    response = server.client().get("/docs/assets/swagger-ui.css", headers={"Range": "bytes=999999999-"})

    assert (response.status_code, response.headers["content-type"]) == (200, "text/css; charset=utf-8")
