"""The one form of every rejection, and the words for what is wrong with the input."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.responses import Response

from todo_api.middleware import errors
from todo_api.models import TaskComplete, TaskCreate, TaskUpdate
from todo_api.problems import PROBLEMS, Problem, ProblemDetails, respond, respond_invalid

KEYS = ["type", "title", "status", "detail", "message", "code", "request_id"]
SCOPE = {"type": "http", "request_id": "r-1"}
TABLE = [
    (400, "Bad Request", "invalid_request"),
    (401, "Unauthorized", "unauthorized"),
    (403, "Forbidden", "forbidden"),
    (404, "Not Found", "not_found"),
    (405, "Method Not Allowed", "method_not_allowed"),
    (413, "Content Too Large", "content_too_large"),
    (415, "Unsupported Media Type", "unsupported_media_type"),
    (500, "Internal Server Error", "internal_error"),
    (503, "Service Unavailable", "unavailable"),
]


class Query(BaseModel):
    """Parameters such as the list has."""

    limit: int = Field(1, ge=1, le=1000)


class Nested(BaseModel):
    """A body inside a body."""

    model_config = ConfigDict(strict=True)

    outer: dict[str, list[int]]


def body(response: Response) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(bytes(response.body))
    return read


def invalid(model: Any, content: Any, where: str = "body") -> Response:
    """The response to an input that does not fit the model."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(model).validate_python(content)
    errors = [{**error, "loc": (where, *error["loc"])} for error in caught.value.errors()]
    return respond_invalid(SCOPE, RequestValidationError(errors))


def named(response: Response) -> list[tuple[str, str]]:
    return [(error["field"], error["message"]) for error in body(response)["errors"]]


class TestRespond:
    @pytest.mark.parametrize(("status", "title", "code"), TABLE)
    def test_every_status_has_its_title_and_code(self, status: int, title: str, code: str) -> None:
        response = respond(SCOPE, status)

        assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
        assert body(response) == {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": PROBLEMS[status].detail,
            "message": PROBLEMS[status].detail,
            "code": code,
            "request_id": "r-1",
        }

    @pytest.mark.parametrize(("status", "title", "code"), TABLE)
    def test_keys_come_in_the_documented_order(self, status: int, title: str, code: str) -> None:
        assert list(body(respond(SCOPE, status))) == KEYS
        assert list(body(respond(SCOPE, status, errors=[{"field": "x", "message": "y"}]))) == [*KEYS, "errors"]

    def test_codes_are_distinct_words(self) -> None:
        codes = [problem.code for problem in PROBLEMS.values()]

        assert len(set(codes)) == len(codes)
        assert [code for code in codes if not re.fullmatch("[a-z]+(_[a-z]+)*", code)] == []

    def test_documentation_lists_every_code(self) -> None:
        document = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
        rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", document, re.MULTILINE)

        assert rows == [(str(status), problem.code) for status, problem in PROBLEMS.items()]

    def test_openapi_document_lists_every_code(self) -> None:
        assert ProblemDetails.model_json_schema()["properties"]["code"]["enum"] == [
            problem.code for problem in PROBLEMS.values()
        ]

    def test_no_sentence_for_people_names_a_command_of_ours(self) -> None:
        sentences = [problem.detail for problem in PROBLEMS.values()]
        sentences += [errors.SCHEMA_OUTDATED, errors.STATEMENT_CANCELLED, errors.SHUTTING_DOWN]

        assert [sentence for sentence in sentences if "`" in sentence or "todo-api" in sentence] == []

    @pytest.mark.parametrize("status", PROBLEMS)
    def test_every_detail_is_a_plain_sentence(self, status: int) -> None:
        assert re.fullmatch(r"[A-Z].*\.", PROBLEMS[status].detail)

    def test_detail_given_is_repeated_as_message(self) -> None:
        answered = body(respond(SCOPE, 404, "There is no such task."))

        assert (answered["detail"], answered["message"]) == ("There is no such task.", "There is no such task.")

    def test_headers_given_are_sent(self) -> None:
        response = respond(SCOPE, 401, headers={"WWW-Authenticate": "Bearer"})

        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["content-length"] == str(len(response.body))

    @pytest.mark.parametrize(("status", "title", "code"), TABLE)
    def test_retry_after_comes_with_503_alone(self, status: int, title: str, code: str) -> None:
        seconds = respond(SCOPE, status).headers.get("retry-after", "")

        assert seconds.isdecimal() is (status == 503)

    def test_retry_after_given_is_kept(self) -> None:
        assert respond(SCOPE, 503, headers={"Retry-After": "7"}).headers["retry-after"] == "7"

    def test_rejection_is_not_stored(self) -> None:
        assert respond(SCOPE, 404).headers["cache-control"] == "no-store"

    @pytest.mark.parametrize("text", ["ü 😀", 'quote " and \\', "line\nbreak", "<script>"])
    def test_any_text_survives(self, text: str) -> None:
        assert body(respond(SCOPE, 400, text))["detail"] == text

    def test_request_without_an_id_is_answered_nevertheless(self) -> None:
        assert body(respond({"type": "http"}, 500))["request_id"] == ""

    @pytest.mark.parametrize(("status", "title", "code"), TABLE)
    def test_body_is_what_the_document_describes(self, status: int, title: str, code: str) -> None:
        answered = body(respond(SCOPE, status, errors=[{"field": "x", "message": "y"}]))

        assert ProblemDetails.model_validate(answered).model_dump() == answered
        assert list(ProblemDetails.model_fields) == list(answered)


class TestProblem:
    def test_it_knows_the_sentence_of_its_status(self) -> None:
        problem = Problem(404)

        assert (problem.status_code, problem.detail, problem.headers) == (404, PROBLEMS[404].detail, None)

    def test_it_takes_a_sentence_and_headers(self) -> None:
        problem = Problem(415, "Not here.", {"Accept": "application/json"})

        assert (problem.status_code, problem.detail) == (415, "Not here.")
        assert problem.headers == {"Accept": "application/json"}


class TestRespondInvalid:
    @pytest.mark.parametrize(
        ("content", "errors"),
        [
            ({}, [("title", "is required")]),
            ({"title": None}, [("title", "must be a string")]),
            ({"title": 1}, [("title", "must be a string")]),
            ({"title": ""}, [("title", "must not be blank")]),
            ({"title": " \n\t\u3000"}, [("title", "must not be blank")]),
            ({"title": "x" * 256}, [("title", "must be at most 255 characters")]),
            ({"title": "a\x00b"}, [("title", "must not contain U+0000")]),
            ({"title": "x", "description": "x" * 1001}, [("description", "must be at most 1000 characters")]),
            ({"title": "x", "description": "\x00"}, [("description", "must not contain U+0000")]),
            ({"title": "x", "description": []}, [("description", "must be a string")]),
            ({"title": "x", "completed": "true"}, [("completed", "must be true or false")]),
            ({"title": "x", "completed": 1}, [("completed", "must be true or false")]),
            ({"title": "x", "completed": None}, [("completed", "must be true or false")]),
            ([], [("body", "must be a JSON object")]),
            ("x", [("body", "must be a JSON object")]),
            (None, [("body", "must be a JSON object")]),
            (
                {"description": 1, "completed": "no"},
                [
                    ("title", "is required"),
                    ("description", "must be a string"),
                    ("completed", "must be true or false"),
                ],
            ),
        ],
    )
    def test_body_of_a_new_task(self, content: Any, errors: list[tuple[str, str]]) -> None:
        response = invalid(TaskCreate, content)

        assert response.status_code == 400
        assert named(response) == errors
        assert body(response)["detail"] == "; ".join(f"{field}: {message}" for field, message in errors)
        assert body(response)["message"] == body(response)["detail"]
        assert list(body(response)) == [*KEYS, "errors"]

    @pytest.mark.parametrize("content", [{}, {"id": 1, "user_id": "x"}])
    def test_update_of_nothing(self, content: Any) -> None:
        assert named(invalid(TaskUpdate, content)) == [
            ("body", "must contain at least one of title, description, completed")
        ]

    def test_title_of_an_update_may_not_be_null(self) -> None:
        assert named(invalid(TaskUpdate, {"title": None})) == [("title", "must be a string")]

    @pytest.mark.parametrize("value", [None, "false", 0])
    def test_completion(self, value: Any) -> None:
        assert named(invalid(TaskComplete, {"completed": value})) == [("completed", "must be true or false")]

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("0", "must be at least 1"),
            ("1001", "must be at most 1000"),
            ("ten", "must be a whole number"),
            ("", "must be a whole number"),
            ("1.5", "must be a whole number"),
            (1.5, "must be a whole number"),
            ("9" * 5000, "must be a smaller number"),
        ],
    )
    def test_parameter(self, value: Any, message: str) -> None:
        assert named(invalid(Query, {"limit": value}, "query")) == [("limit", message)]

    def test_field_inside_another_is_named_with_its_path_but_without_positions(self) -> None:
        assert [field for field, _ in named(invalid(Nested, {"outer": {"inner": [1, "x"]}}))] == ["outer.inner"]

    def test_position_in_malformed_json_is_not_a_field(self) -> None:
        error = {
            "type": "json_invalid",
            "loc": ("body", 17),
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": "x"},
        }

        assert named(respond_invalid(SCOPE, RequestValidationError([error]))) == [("body", "is not valid JSON")]

    def test_missing_body_is_named(self) -> None:
        error = {"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}

        assert named(respond_invalid(SCOPE, RequestValidationError([error]))) == [("body", "is required")]

    def test_choice_is_told(self) -> None:
        error = {
            "type": "literal_error",
            "loc": ("query", "status"),
            "msg": "x",
            "ctx": {"expected": "'all' or 'none'"},
        }

        assert named(respond_invalid(SCOPE, RequestValidationError([error]))) == [("status", "must be 'all' or 'none'")]

    def test_what_was_sent_is_not_sent_back(self) -> None:
        sent = "very private words " * 20

        assert b"private" not in bytes(invalid(TaskCreate, {"title": sent, "completed": sent}).body)
