"""The six endpoints, one class each: anonymous, bad token, other owner, invalid, absent, happy."""

import re
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest

from tests.harness import Server, User

KEYS = ["id", "user_id", "title", "description", "completed", "created_at", "updated_at"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
TIMES = ("created_at", "updated_at")


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The response is a problem of this kind; its body."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    expected = ["type", "title", "status", "detail", "message", "code", "request_id"]
    assert list(body) == expected + (["errors"] if status == 400 else [])
    assert body["type"] == "about:blank"
    assert body["status"] == status
    assert body["code"] == code
    assert body["message"] == body["detail"]
    assert body["request_id"] == response.headers["x-request-id"]
    return body


def assert_invalid(response: httpx.Response, *errors: tuple[str, str]) -> None:
    """The response is 400 and names exactly these fields."""
    body = assert_problem(response, 400, "invalid_request")

    assert [(error["field"], error["message"]) for error in body["errors"]] == list(errors)
    assert body["detail"] == "; ".join(f"{field}: {message}" for field, message in errors)


class TokenRequired:
    """What holds for each of the six endpoints before anything else is looked at."""

    method: str
    suffix: str = ""
    body: Any = None

    def request(self, client: httpx.Client, user_id: str, **options: Any) -> httpx.Response:
        return client.request(self.method, f"/api/{user_id}/tasks{self.suffix}", json=self.body, **options)

    def test_anonymous_answers_401(self, server: Server) -> None:
        response = self.request(server.client(), "someone")

        assert_problem(response, 401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"

    def test_bad_token_answers_401(self, server: Server) -> None:
        response = self.request(server.client(), "someone", headers={"Authorization": "Bearer nonsense"})

        assert_problem(response, 401, "unauthorized")
        assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'

    def test_path_of_another_user_answers_403(self, alice: User, bob: User) -> None:
        assert_problem(self.request(alice.http, bob.id), 403, "forbidden")


class OneTask(TokenRequired):
    """What holds for each endpoint of one task."""

    def test_id_that_is_no_number_answers_400(self, alice: User) -> None:
        for id in ("x", "1x", "-1", "1.0", "0x1", "٣", "+1", "1e3"):
            path = f"{alice.base}/{id}{self.suffix.removeprefix('/1')}"
            response = alice.http.request(self.method, path, json=self.body)

            assert_invalid(response, ("id", "must be decimal digits"))

    def test_id_that_names_no_task_answers_404_however_long(self, alice: User) -> None:
        for id in ("0", "9223372036854775807", "9223372036854775808", "9" * 40, "9" * 6000):
            path = f"{alice.base}/{id}{self.suffix.removeprefix('/1')}"
            response = alice.http.request(self.method, path, json=self.body)

            assert_problem(response, 404, "not_found")

    def test_task_of_another_user_answers_404_like_one_that_does_not_exist(self, alice: User, bob: User) -> None:
        task = bob.create("Secret")
        rest = self.suffix.removeprefix("/1")
        theirs = alice.http.request(self.method, f"{alice.base}/{task['id']}{rest}", json=self.body)
        missing = alice.http.request(self.method, f"{alice.base}/{2**62}{rest}", json=self.body)

        assert_problem(theirs, 404, "not_found")
        assert theirs.content == missing.content.replace(
            missing.json()["request_id"].encode(), theirs.json()["request_id"].encode()
        )
        assert bob.http.get(bob.path(task)).json() == task


class TestList(TokenRequired):
    method = "GET"

    @pytest.mark.parametrize(
        ("query", "field", "message"),
        [
            ("status=done", "status", "must be 'all', 'pending' or 'completed'"),
            ("limit=0", "limit", "must be at least 1"),
            ("limit=1001", "limit", "must be at most 1000"),
            ("limit=ten", "limit", "must be a whole number"),
            ("limit=1_0", "limit", "must be a whole number"),
            ("limit=%2B5", "limit", "must be a whole number"),
            ("limit=5.0", "limit", "must be a whole number"),
            ("limit=" + "9" * 5000, "limit", "must be at most 1000"),
        ],
    )
    def test_bad_parameter_answers_400(self, alice: User, query: str, field: str, message: str) -> None:
        assert_invalid(alice.http.get(f"{alice.base}?{query}"), (field, message))

    def test_unknown_parameters_are_ignored(self, alice: User) -> None:
        assert alice.http.get(f"{alice.base}?colour=red").status_code == 200

    def test_new_user_has_an_empty_list(self, alice: User) -> None:
        assert alice.http.get(alice.base).content == b"[]"

    def test_tasks_come_newest_first(self, alice: User) -> None:
        tasks = [alice.create(f"Task {number}") for number in range(3)]

        assert alice.http.get(alice.base).json() == tasks[::-1]

    def test_status_and_limit_choose(self, alice: User) -> None:
        done, pending = alice.create("Done", completed=True), alice.create("Pending")

        assert alice.http.get(f"{alice.base}?status=completed").json() == [done]
        assert alice.http.get(f"{alice.base}?status=pending").json() == [pending]
        assert alice.http.get(f"{alice.base}?status=all").json() == [pending, done]
        assert alice.http.get(f"{alice.base}?limit=1").json() == [pending]

    def test_nobody_sees_another_users_tasks(self, alice: User, bob: User) -> None:
        bob.create()

        assert alice.http.get(alice.base).json() == []

    def test_unchanged_list_is_byte_identical(self, alice: User) -> None:
        alice.create('Quotes " and \\ and \u2028 and 😀', description="line\nbreak\t\u0001")

        assert alice.http.get(alice.base).content == alice.http.get(alice.base).content

    def test_list_holds_what_reading_answers(self, alice: User) -> None:
        task = alice.create()

        assert alice.http.get(alice.base).content == b"[" + alice.http.get(alice.path(task)).content + b"]"


class TestCreate(TokenRequired):
    method = "POST"
    body = {"title": "Buy milk"}

    @pytest.mark.parametrize(
        ("body", "errors"),
        [
            ({}, [("title", "is required")]),
            ({"title": ""}, [("title", "must not be blank")]),
            ({"title": " \t\n\u00a0\u3000"}, [("title", "must not be blank")]),
            ({"title": None}, [("title", "must be a string")]),
            ({"title": 7}, [("title", "must be a string")]),
            ({"title": "x" * 256}, [("title", "must be at most 255 characters")]),
            ({"title": "x\x00y"}, [("title", "must not contain U+0000")]),
            ({"title": "x", "description": "x" * 1001}, [("description", "must be at most 1000 characters")]),
            ({"title": "x", "description": "\x00"}, [("description", "must not contain U+0000")]),
            ({"title": "x", "description": ["y"]}, [("description", "must be a string")]),
            ({"title": "x", "completed": "true"}, [("completed", "must be true or false")]),
            ({"title": "x", "completed": 1}, [("completed", "must be true or false")]),
            ({"title": "x", "completed": None}, [("completed", "must be true or false")]),
            ({"description": 1, "completed": 0}, [
                ("title", "is required"),
                ("description", "must be a string"),
                ("completed", "must be true or false"),
            ]),
            ([], [("body", "must be a JSON object")]),
            ("title", [("body", "must be a JSON object")]),
            (None, [("body", "is required")]),
        ],
    )  # fmt: skip
    def test_invalid_body_answers_400_and_creates_nothing(
        self, alice: User, body: Any, errors: list[tuple[str, str]]
    ) -> None:
        assert_invalid(alice.http.post(alice.base, json=body), *errors)
        assert alice.http.get(alice.base).json() == []

    def test_task_is_answered_with_its_location(self, alice: User) -> None:
        response = alice.http.post(alice.base, json={"title": "Buy milk"})

        assert response.status_code == 201
        assert response.headers["content-type"] == "application/json"
        task = response.json()
        assert list(task) == KEYS
        assert response.headers["location"] == f"tasks/{task['id']}"
        assert alice.http.get(response.url.join(response.headers["location"])).content == response.content

    def test_location_holds_for_a_path_with_a_slash_too(self, alice: User) -> None:
        response = alice.http.post(f"{alice.base}/", json={"title": "Buy milk"})
        location = response.url.join(response.headers["location"])

        assert location.path == alice.path(response.json())
        assert alice.http.get(location).content == response.content

    def test_defaults_and_formats(self, alice: User) -> None:
        task = alice.create("Buy milk")

        assert isinstance(task["id"], int)
        assert (task["user_id"], task["title"], task["description"], task["completed"]) == (
            alice.id,
            "Buy milk",
            None,
            False,
        )
        assert TIME.fullmatch(task["created_at"])
        assert task["updated_at"] == task["created_at"]

    def test_title_is_trimmed_and_measured_after_it(self, alice: User) -> None:
        assert alice.create(" \n\u3000" + "ü" * 255 + "\t ")["title"] == "ü" * 255

    def test_letter_that_older_postgres_takes_for_an_escape_is_a_title(self, alice: User) -> None:
        assert alice.create("v")["title"] == "v"

    def test_longest_description_and_any_character_survive(self, alice: User) -> None:
        text = ('😀"\\/\b\f\n\r\t\u0001\u007f\u2028é' * 80)[:1000]

        assert alice.create(description=text)["description"] == text

    def test_what_the_server_owns_is_ignored_in_a_body(self, alice: User, bob: User) -> None:
        task = alice.create(
            id=1, user_id=bob.id, created_at="2000-01-01T00:00:00Z", updated_at=None, colour="red", owner=[bob.id]
        )

        assert task["user_id"] == alice.id
        assert task["created_at"] > "2026"
        assert bob.http.get(bob.base).json() == []

    def test_ids_are_never_reused(self, alice: User) -> None:
        first = alice.create()
        alice.http.delete(alice.path(first))

        assert alice.create()["id"] > first["id"]

    def test_users_row_is_made_and_refreshed_from_the_claims(self, server: Server, worker_database: str) -> None:
        user = server.user(email="old@example.com", name="Old")
        user.create()
        server.user(user.id, email="new@example.com").create()

        with psycopg.connect(worker_database) as connection:
            row = connection.execute("SELECT email, name FROM users WHERE id = %s", [user.id]).fetchone()
        assert row == ("new@example.com", "Old")

    def test_users_row_may_lack_email_and_name(self, alice: User, worker_database: str) -> None:
        alice.create()

        with psycopg.connect(worker_database) as connection:
            row = connection.execute("SELECT email, name FROM users WHERE id = %s", [alice.id]).fetchone()
        assert row == (None, None)

    def test_two_users_may_share_an_email_address(self, server: Server) -> None:
        server.user(email="same@example.com").create()
        server.user(email="same@example.com").create()

    @pytest.mark.parametrize("user_id", ["1", "a/b", "ü ü", "50%", "a%2Fb", "a..b", "x" * 255, "😀", "a?b#c", "-"])
    def test_any_user_id_works(self, server: Server, user_id: str) -> None:
        user = server.user(user_id)
        base = f"/api/{quote(user_id, safe='')}/tasks"
        response = user.http.post(base, json={"title": "Mine"})

        assert response.status_code == 201, response.text
        assert response.json()["user_id"] == user_id
        assert user.http.get(response.url.join(response.headers["location"])).json() == response.json()
        user.http.delete(response.url.join(response.headers["location"]))


class TestRead(OneTask):
    method = "GET"
    suffix = "/1"

    def test_task_is_answered(self, alice: User) -> None:
        task = alice.create("Buy milk", description="Two litres", completed=True)
        response = alice.http.get(alice.path(task))

        assert response.status_code == 200
        assert response.json() == task
        assert list(response.json()) == KEYS

    def test_leading_zeros_name_the_same_task(self, alice: User) -> None:
        task = alice.create()

        assert alice.http.get(f"{alice.base}/000{task['id']}").json() == task


class TestUpdate(OneTask):
    method = "PUT"
    suffix = "/1"
    body = {"title": "Buy oat milk"}

    @pytest.mark.parametrize(
        ("body", "errors"),
        [
            ({}, [("body", "must contain at least one of title, description, completed")]),
            ({"id": 7, "x": 1}, [("body", "must contain at least one of title, description, completed")]),
            ({"title": None}, [("title", "must be a string")]),
            ({"title": " "}, [("title", "must not be blank")]),
            ({"completed": None}, [("completed", "must be true or false")]),
            ({"completed": "true"}, [("completed", "must be true or false")]),
            ({"description": 1}, [("description", "must be a string")]),
            (None, [("body", "is required")]),
        ],
    )
    def test_invalid_body_answers_400_and_changes_nothing(
        self, alice: User, body: Any, errors: list[tuple[str, str]]
    ) -> None:
        task = alice.create()

        assert_invalid(alice.http.put(alice.path(task), json=body), *errors)
        assert alice.http.get(alice.path(task)).json() == task

    @pytest.mark.parametrize(
        "body",
        [
            {"title": "New"},
            {"description": "New"},
            {"description": None},
            {"completed": True},
            {"completed": False},
            {"title": "New", "description": None, "completed": True},
        ],
    )
    def test_fields_in_the_body_change_and_no_others(self, alice: User, body: dict[str, Any]) -> None:
        task = alice.create("Old", description="Old")
        updated = alice.http.put(alice.path(task), json=body).json()

        assert updated == {**task, **body, "updated_at": updated["updated_at"]}
        assert updated["updated_at"] > task["updated_at"]
        assert alice.http.get(alice.path(task)).json() == updated

    def test_whole_task_sent_back_is_a_replacement(self, alice: User) -> None:
        task = alice.create("Old", description="Old")
        updated = alice.http.put(alice.path(task), json={**task, "title": "New", "user_id": "x", "id": 1}).json()

        assert {**updated, "updated_at": ""} == {**task, "title": "New", "updated_at": ""}

    def test_updated_at_strictly_increases(self, alice: User, worker_database: str) -> None:
        task = alice.create()
        with psycopg.connect(worker_database) as connection:  # as if the clock had been set back
            connection.execute("UPDATE tasks SET updated_at = now() + interval '1 h' WHERE id = %s", [task["id"]])
        before = alice.http.get(alice.path(task)).json()["updated_at"]
        moments = [alice.http.put(alice.path(task), json={"completed": True}).json()["updated_at"] for _ in range(3)]

        assert moments == sorted({before, *moments})[1:]

    def test_invalid_body_for_an_absent_task_answers_400(self, alice: User) -> None:
        assert alice.http.put(f"{alice.base}/1", json={}).status_code == 400


class TestDelete(OneTask):
    method = "DELETE"
    suffix = "/1"

    def test_task_is_answered_as_it_was_and_gone(self, alice: User) -> None:
        task = alice.create()
        response = alice.http.delete(alice.path(task))

        assert (response.status_code, response.json()) == (200, task)
        assert_problem(alice.http.get(alice.path(task)), 404, "not_found")
        assert_problem(alice.http.delete(alice.path(task)), 404, "not_found")


class TestComplete(OneTask):
    method = "PATCH"
    suffix = "/1/complete"

    @pytest.mark.parametrize(
        ("body", "error"),
        [
            (b'{"completed": null}', ("completed", "must be true or false")),
            (b'{"completed": "true"}', ("completed", "must be true or false")),
            (b'{"completed": 1}', ("completed", "must be true or false")),
            (b"null", ("body", "must be a JSON object")),
            (b"[]", ("body", "must be a JSON object")),
            (b"true", ("body", "must be a JSON object")),
            (b"{", ("body", "is not valid JSON")),
            (b'{"is_completed": true}', ("completed", "must be true or false")),
            (b'{"id": 1, "Completed": true}', ("completed", "must be true or false")),
        ],
    )
    def test_invalid_body_answers_400_and_changes_nothing(
        self, alice: User, body: bytes, error: tuple[str, str]
    ) -> None:
        task = alice.create()
        headers = {"Content-Type": "application/json"}

        assert_invalid(alice.http.patch(f"{alice.path(task)}/complete", content=body, headers=headers), error)
        assert alice.http.get(alice.path(task)).json() == task

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"content": b""},
            {"content": b"", "headers": {"Content-Type": "application/json"}},
            {"json": {}},
            {"params": {"completeness": "true"}},
        ],
    )
    def test_nothing_said_toggles(self, alice: User, options: dict[str, Any]) -> None:
        task = alice.create()
        path = f"{alice.path(task)}/complete"
        once, twice = alice.http.patch(path, **options).json(), alice.http.patch(path, **options).json()

        assert (once["completed"], twice["completed"]) == (True, False)
        assert task["updated_at"] < once["updated_at"] < twice["updated_at"]
        assert {**twice, "updated_at": ""} == {**task, "updated_at": ""}

    @pytest.mark.parametrize("body", [None, {}, {"completed": True}])
    @pytest.mark.parametrize("query", ["completed=true", "Completed=true", "x=1&completed=true"])
    def test_completed_in_the_query_sets_and_may_be_repeated(
        self, alice: User, query: str, body: dict[str, Any] | None
    ) -> None:
        task = alice.create()
        path = f"{alice.path(task)}/complete?{query}"
        answers = [alice.http.patch(path, json=body).json() for _ in range(2)]

        assert [answer["completed"] for answer in answers] == [True, True]
        assert alice.http.patch(path.replace("true", "false")).json()["completed"] is False

    @pytest.mark.parametrize(
        ("query", "body", "message"),
        [
            ("completed=", None, "must be 'true' or 'false'"),
            ("completed=1", {"completed": True}, "must be 'true' or 'false'"),
            ("completed=false", {"completed": True}, "contradicts the body"),
            ("completed=true", {"completed": False}, "contradicts the body"),
        ],
    )
    def test_query_that_says_nothing_certain_answers_400_and_changes_nothing(
        self, alice: User, query: str, body: dict[str, Any] | None, message: str
    ) -> None:
        task = alice.create()
        response = alice.http.patch(f"{alice.path(task)}/complete?{query}", json=body)

        assert_invalid(response, ("completed", message))
        assert alice.http.get(alice.path(task)).json() == task

    @pytest.mark.parametrize("completed", [True, False])
    def test_completed_sets_and_may_be_repeated(self, alice: User, completed: bool) -> None:
        task = alice.create()
        path = f"{alice.path(task)}/complete"
        answers = [alice.http.patch(path, json={"completed": completed}).json() for _ in range(2)]

        assert [answer["completed"] for answer in answers] == [completed, completed]
