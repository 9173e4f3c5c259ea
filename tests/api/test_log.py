"""What the log says of each request and each write, and what it never says."""

import re
import secrets
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.api.wire import ask
from tests.harness import SECRET, Server, User, free_port, serving, token

HEAD = ["time", "level", "event"]
ACCESS = [*HEAD, "method", "route", "status", "milliseconds", "request_id"]
TASK = [*HEAD, "user_id", "task_id", "request_id"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def lines(server: Server, request_id: str) -> list[dict[str, Any]]:
    """Everything that was logged for a request, once its access line is there."""
    assert server.log(event="request", request_id=request_id)
    return server.log(request_id=request_id)


def events(server: Server, response: httpx.Response) -> list[str]:
    """The names of what was logged for a response."""
    return [line["event"] for line in lines(server, response.headers["x-request-id"])]


class TestTaskEvents:
    def assert_logged(self, server: Server, response: httpx.Response, event: str) -> None:
        """One event, before the access line, that says who, which and nothing else."""
        task, request_id = response.json(), response.headers["x-request-id"]
        first, access = lines(server, request_id)

        assert list(first) == TASK
        assert TIME.fullmatch(first.pop("time"))
        assert first == {
            "level": "info",
            "event": event,
            "user_id": task["user_id"],
            "task_id": task["id"],
            "request_id": request_id,
        }
        assert access["event"] == "request"

    def test_each_write_is_logged_once(self, server: Server, alice: User) -> None:
        created = alice.http.post(alice.base, json={"title": "x"})
        path = created.url.join(created.headers["location"]).path

        self.assert_logged(server, created, "task.created")
        self.assert_logged(server, alice.http.put(path, json={"title": "y"}), "task.updated")
        self.assert_logged(server, alice.http.patch(f"{path}/complete"), "task.completed")
        self.assert_logged(server, alice.http.patch(f"{path}/complete"), "task.reopened")
        self.assert_logged(server, alice.http.patch(f"{path}/complete", json={"completed": True}), "task.completed")
        self.assert_logged(server, alice.http.patch(f"{path}/complete", json={"completed": False}), "task.reopened")
        self.assert_logged(server, alice.http.put(path, json={"completed": True}), "task.updated")
        self.assert_logged(server, alice.http.delete(path), "task.deleted")

    def test_ids_may_hold_anything(self, server: Server) -> None:
        user = server.user('line\nbreak "quoted" \u001b[31m😀')
        response = user.http.post("/api/tasks", json={"title": "x"})

        self.assert_logged(server, response, "task.created")

    def test_what_was_not_written_is_not_logged(self, server: Server, alice: User, bob: User) -> None:
        task = bob.create()
        for response in (
            alice.http.get(alice.base),
            alice.http.post(alice.base, json={}),
            alice.http.put(f"{alice.base}/{task['id']}", json={"title": "x"}),
            alice.http.patch(f"{alice.base}/{task['id']}/complete"),
            alice.http.delete(f"{alice.base}/{task['id']}"),
            alice.http.delete(f"{alice.base}/x"),
        ):
            assert events(server, response) == ["request"]


class TestRejections:
    @pytest.mark.parametrize(
        ("authorization", "reason"),
        [
            ("", "missing"),
            ("Basic eDp5", "missing"),
            (f"Bearer {token('u', exp=1)}", "expired"),
            (f"Bearer {token('u', sub=None)}", "no subject"),
            (f"Bearer {token('u', exp=None)}", "exp missing"),
        ],
        ids=["none", "another scheme", "expired", "no subject", "no expiry"],
    )
    def test_are_logged_with_the_reason(
        self, server: Server, nobody: httpx.Client, authorization: str, reason: str
    ) -> None:
        response = nobody.get("/api/u/tasks", headers={"Authorization": authorization})
        rejected, access = lines(server, response.headers["x-request-id"])

        assert list(rejected) == [*HEAD, "reason", "request_id"]
        assert (rejected["event"], rejected["reason"]) == ("auth.refused", reason)
        assert (access["event"], access["status"]) == ("request", 401)

    def test_reasons_differ_where_answers_do_not(self, server: Server, nobody: httpx.Client) -> None:
        reasons = set()
        for bad in ("x", token("u", secret="another secret that is long enough"), token("u", nbf=time.time() + 900)):
            response = nobody.get("/api/u/tasks", headers={"Authorization": f"Bearer {bad}"})
            reasons.add(lines(server, response.headers["x-request-id"])[0]["reason"])

        assert len(reasons) == 3

    def test_path_of_another_user_is_logged(self, server: Server, alice: User, bob: User) -> None:
        response = alice.http.get(bob.base)
        rejected, access = lines(server, response.headers["x-request-id"])

        assert (rejected["event"], access["status"]) == ("auth.refused", 403)
        assert rejected["reason"] not in {"missing", "expired"}


class TestAccessLine:
    @pytest.mark.parametrize(
        ("method", "target", "route", "status"),
        [
            ("GET", "/health", "/health", 200),
            ("HEAD", "/health", "/health", 200),
            ("GET", "/health/?x=1", "/health", 200),
            ("GET", "/ready", "/ready", 200),
            ("GET", "/metrics", "/metrics", 200),
            ("GET", "/docs", "/docs", 200),
            ("GET", "/openapi.json", "/openapi.json", 200),
            ("GET", "/api/{user}/tasks", "/api/{user_id}/tasks", 200),
            ("GET", "/api/{user}/tasks/?limit=1", "/api/{user_id}/tasks", 200),
            ("POST", "/api/{user}/tasks", "/api/{user_id}/tasks", 400),
            ("GET", "/api/{user}/tasks/1", "/api/{user_id}/tasks/{id}", 404),
            ("PUT", "/api/{user}/tasks/1", "/api/{user_id}/tasks/{id}", 400),
            ("DELETE", "/api/{user}/tasks/x", "/api/{user_id}/tasks/{id}", 400),
            ("PATCH", "/api/{user}/tasks/1/complete", "/api/{user_id}/tasks/{id}/complete", 404),
        ],
    )
    def test_names_the_route_template(
        self, server: Server, alice: User, method: str, target: str, *, route: str, status: int
    ) -> None:
        response = alice.http.request(method, target.format(user=alice.id))
        (line,) = lines(server, response.headers["x-request-id"])

        assert list(line) == ACCESS
        assert TIME.fullmatch(line["time"])
        assert (line["level"], line["event"]) == ("info", "request")
        assert (line["method"], line["route"], line["status"]) == (method, route, status)
        assert isinstance(line["milliseconds"], float)
        assert 0 < line["milliseconds"] < 10_000

    @pytest.mark.parametrize("target", ["/secret-path", "/api/{user}/secret-path", "/docs/assets/secret-path"])
    def test_never_names_the_path(self, server: Server, alice: User, target: str) -> None:
        response = alice.http.get(target.format(user=alice.id))
        (line,) = lines(server, response.headers["x-request-id"])

        assert (line["event"], line["status"]) == ("request", 404)
        assert "secret-path" not in str(line)
        assert alice.id not in str(line)

    def test_is_written_once_a_request(self, server: Server, alice: User) -> None:
        id = f"once.{secrets.token_hex(8)}"
        for _ in range(3):
            alice.http.get(alice.base, headers={"X-Request-ID": id})
        events(server, alice.http.get("/health"))

        assert [line["event"] for line in server.log(request_id=id)] == ["request"] * 3

    def test_unusable_request_id_is_not_logged(self, server: Server) -> None:
        canary = f"canary {secrets.token_hex(8)}"
        made = ask(server, "/health", X_Request_ID=canary).headers["x-request-id"]

        assert lines(server, made or "")
        assert canary not in server.log_path.read_text()


def test_every_line_is_one_json_object(server: Server, alice: User) -> None:
    events(server, alice.http.get(alice.base))
    text = server.log_path.read_text()

    assert len(server.log()) == len(text.splitlines())


def test_no_id_begins_a_line_for_any_reader(tmp_path: Path, worker_database: str) -> None:
    with serving(tmp_path / "service", DATABASE_URL=worker_database) as server:
        user = server.user("one\u2028two\u2029three\x85four\x1cfive")
        response = user.http.post("/api/tasks", json={"title": "x"})
    text = server.log_path.read_text()

    assert response.status_code == 201
    assert '"task.created"' in text
    assert text.splitlines() == text.removesuffix("\n").split("\n")


class Canaries:
    """Strings that must not come out again."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def new(self) -> str:
        """One more."""
        self.made.append(f"canary{secrets.token_hex(12)}")
        return self.made[-1]

    def found_in(self, text: str) -> list[str]:
        """Those that the text shows."""
        return [canary for canary in self.made if canary in text]


def output(server: Server) -> str:
    """All that the service wrote, on both streams."""
    return server.log_path.read_text() + server.log_path.with_name("errors").read_text()


def with_password(url: str, password: str) -> str:
    """The URL, logging in with a password."""
    parts = urlsplit(url)
    name, host = parts.username or "postgres", parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{name}:{password}@{host}").geturl()


class TestSecrets:
    def use(self, user: User, canaries: Canaries) -> list[httpx.Response]:
        """Every way to write; the rejections."""
        new = canaries.new
        task = user.create(new(), description=new())
        path = user.path(task)
        for _ in range(2):
            assert user.http.put(path, json={"title": new(), "description": new()}).status_code == 200
            assert user.http.patch(f"{path}/complete", json={"completed": True, new(): new()}).status_code == 200
            assert user.http.get(user.base, params={new(): new()}).status_code == 200
        json = {"Content-Type": "application/json"}
        rejections = [
            user.http.post(user.base, json={"title": new() * 20}),
            user.http.post(user.base, json={"title": [new()], "completed": new()}),
            user.http.post(user.base, json={"title": "x", "description": {new(): new()}}),
            user.http.post(user.base, json=new()),
            user.http.post(user.base, json=[new()]),
            user.http.post(user.base, content=f'{{"title": "{new()}"', headers=json),
            user.http.post(user.base, content=f'{{"title": "{new()}\\ud800"}}', headers=json),
            user.http.post(user.base, content=new(), headers={"Content-Type": f"text/{new()}"}),
            user.http.post(user.base, json={"title": "x"}, headers={"Content-Encoding": new()}),
            user.http.put(path, json={"title": f"{new()}\x00"}),
            user.http.put(path, json={new(): new()}),
            user.http.patch(f"{path}/complete", json={"completed": new()}),
            user.http.get(user.base, params={"status": new()}),
            user.http.get(user.base, params={"limit": new()}),
            user.http.get(f"{user.base}/{new()}"),
            user.http.get(f"/{new()}"),
            user.http.get(f"/api/{new()}/tasks"),
            user.http.get("/x", headers={"X-Request-ID": f"{new()} {new()}", "Cookie": new(), "Origin": new()}),
            user.http.options("/x", headers={"Origin": new(), "Access-Control-Request-Method": "GET"}),
        ]
        assert user.http.delete(path).status_code == 200
        return rejections

    def knock(self, server: Server, user_id: str, canaries: Canaries) -> list[httpx.Response]:
        """Tokens that are rejected; their rejections."""
        new = canaries.new
        tokens = [
            new(),
            f"{new()}.{new()}.{new()}",
            token(user_id, exp=1, jti=new(), email=new()),
            token(user_id, secret=new() * 2),
            token("another-user", name=new()),
            token(user_id, sub=None, email=new()),
            token(user_id) + new(),
        ]
        canaries.made += [part for bad in tokens for part in bad.split(".") if len(part) > 40]
        canaries.made += tokens
        with httpx.Client(base_url=server.url) as client:
            return [client.get(f"/api/{user_id}/tasks", headers={"Authorization": f"Bearer {bad}"}) for bad in tokens]

    def test_reach_neither_the_log_nor_an_answer(self, tmp_path: Path, worker_database: str) -> None:
        canaries = Canaries()
        canaries.made.append(SECRET)
        url = with_password(worker_database, canaries.new())
        with serving(tmp_path / "service", DATABASE_URL=url, LOG_LEVEL="DEBUG") as server:
            user = server.user(email=canaries.new(), name=canaries.new())
            canaries.made.append(user.http.headers["Authorization"].partition(" ")[2])
            rejections = self.use(user, canaries) + self.knock(server, user.id, canaries)
            assert events(server, rejections[-1])

        assert [rejection.status_code // 100 for rejection in rejections] == [4] * len(rejections)
        assert '"task.deleted"' in output(server)
        assert canaries.found_in(output(server)) == []
        assert [canaries.found_in(rejection.text + str(rejection.headers)) for rejection in rejections] == [[]] * len(
            rejections
        )

    def test_of_a_database_that_rejects_reach_neither(self, tmp_path: Path, worker_database: str) -> None:
        canaries = Canaries()
        base = with_password(worker_database, canaries.new())
        head, _, query = base.partition("?")
        missing = f"{head.rpartition('/')[0]}/nowhere?{query}"
        for name, url in {
            "missing": missing,
            "closed": f"postgresql://todo:{canaries.new()}@127.0.0.1:{free_port()}/todo?options={canaries.new()}",
        }.items():
            with serving(tmp_path / name, DATABASE_URL=url, DATABASE_WAIT_SECONDS="1", LOG_LEVEL="DEBUG") as server:
                user = server.user()
                responses = [
                    user.http.get(user.base),
                    user.http.post(user.base, json={"title": canaries.new()}),
                    user.http.get("/ready"),
                ]
                assert events(server, responses[-1])

            assert [response.status_code for response in responses] == [503] * 3
            assert "database" in output(server)
            assert canaries.found_in(output(server)) == []
            assert canaries.found_in("".join(response.text for response in responses)) == []

    def test_of_garbage_in_place_of_a_database_reach_neither(self, tmp_path: Path) -> None:
        canaries = Canaries()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"postgresql://todo:{canaries.new()}@127.0.0.1:{listener.getsockname()[1]}/todo?sslmode=disable"
            with serving(
                tmp_path / "service", DATABASE_URL=url, DATABASE_WAIT_SECONDS="1", LOG_LEVEL="DEBUG"
            ) as server:
                user = server.user()
                response = user.http.post(user.base, json={"title": canaries.new()})
                assert events(server, response)

        assert response.status_code == 503
        assert canaries.found_in(output(server) + response.text) == []


def test_access_line_of_a_rejected_request_names_its_route(server: Server) -> None:
    response = server.client().get("/api/someone/tasks/1")
    (line,) = server.log(event="request", request_id=response.headers["x-request-id"])

    assert (line["route"], line["status"]) == ("/api/{user_id}/tasks/{id}", 401)
