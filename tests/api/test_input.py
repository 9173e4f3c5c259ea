"""What may be sent: types, sizes and every way of not being JSON, on each of the three writes."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.api.test_tasks import assert_invalid, assert_problem
from tests.api.wire import ask, exchange
from tests.harness import Server, User, token

JSON = {"Content-Type": "application/json"}
MAX_BODY_BYTES = 64 * 1024
NOT_JSON = ("body", "is not valid JSON")


@dataclass(frozen=True)
class Write:
    """One way to write: the method, the path, and the owner's task that must stay as it is."""

    method: str
    path: str
    user: User
    task: dict[str, Any]

    def send(self, content: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        """Send a body as it is; as JSON unless the headers say otherwise."""
        return self.user.http.request(
            self.method, self.path, content=content, headers=JSON if headers is None else headers
        )

    def assert_accepted(self, response: httpx.Response) -> dict[str, Any]:
        """The write was made; the task as answered."""
        assert response.status_code == (201 if self.method == "POST" else 200), response.text
        task: dict[str, Any] = response.json()
        return task

    def assert_nothing_changed(self) -> None:
        """The owner's list is what it was before."""
        assert self.user.http.get(self.user.base).json() == [self.task]


@pytest.fixture(params=["POST", "PUT", "PATCH"])
def write(request: pytest.FixtureRequest, alice: User) -> Write:
    """Each of the three writes."""
    task = alice.create("Untouched", description="Untouched")
    paths = {"POST": alice.base, "PUT": alice.path(task), "PATCH": f"{alice.path(task)}/complete"}
    return Write(request.param, paths[request.param], alice, task)


def body_of(size: int) -> bytes:
    """A body that all three writes accept, of this many bytes."""
    start, end = b'{"title":"New","completed":true,"padding":"', b'"}'
    return start + b"x" * (size - len(start) - len(end)) + end


def chunks(body: bytes, size: int = 16 * 1024) -> Iterator[bytes]:
    """The body in pieces, which makes httpx send it chunked."""
    return (body[at : at + size] for at in range(0, len(body), size))


class TestContentType:
    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "APPLICATION/JSON",
            "application/json;",
            "application/json; charset=utf-8",
            "application/json;charset=UTF-8",
            'application/json; charset="utf-8"',
            "application/json; profile=x; charset=utf-8",
            "application/vnd.api+json",
            "application/merge-patch+json; charset=utf-8",
        ],
    )
    def test_json_is_accepted(self, write: Write, content_type: str) -> None:
        task = write.assert_accepted(write.send(body_of(100), {"Content-Type": content_type}))

        assert task["completed"] is True

    @pytest.mark.parametrize(
        "content_type",
        [
            "",
            "text/plain",
            "text/json",
            "text/html; charset=utf-8",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonx",
            "application/octet-stream",
            "application/xml; x=+json",
            "json",
            "*/*",
            "application/json; charset=latin-1",
            "application/json; charset=utf-16",
            "application/json; charset=",
        ],
    )
    def test_another_type_answers_415(self, write: Write, content_type: str) -> None:
        response = write.send(body_of(100), {"Content-Type": content_type})

        assert_problem(response, 415, "unsupported_media_type")
        write.assert_nothing_changed()

    def test_no_type_answers_415(self, write: Write) -> None:
        assert_problem(write.send(body_of(100), {}), 415, "unsupported_media_type")
        write.assert_nothing_changed()

    @pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "deflate", "zstd", "identity, gzip", "x"])
    def test_encoded_body_answers_415(self, write: Write, encoding: str) -> None:
        response = write.send(gzip.compress(body_of(100)), {**JSON, "Content-Encoding": encoding})

        assert_problem(response, 415, "unsupported_media_type")
        write.assert_nothing_changed()

    @pytest.mark.parametrize("encoding", ["identity", "Identity"])
    def test_identity_is_no_encoding(self, write: Write, encoding: str) -> None:
        write.assert_accepted(write.send(body_of(100), {**JSON, "Content-Encoding": encoding}))


class TestSize:
    def test_largest_body_is_accepted(self, write: Write) -> None:
        write.assert_accepted(write.send(body_of(MAX_BODY_BYTES)))
        write.assert_accepted(write.send(chunks(body_of(MAX_BODY_BYTES))))

    def test_one_byte_more_answers_413(self, write: Write) -> None:
        assert_problem(write.send(body_of(MAX_BODY_BYTES + 1)), 413, "content_too_large")
        assert_problem(write.send(chunks(body_of(MAX_BODY_BYTES + 1))), 413, "content_too_large")
        write.assert_nothing_changed()

    def test_far_more_answers_413(self, write: Write) -> None:
        assert_problem(write.send(body_of(2**21)), 413, "content_too_large")
        assert_problem(write.send(chunks(body_of(2**21))), 413, "content_too_large")
        write.assert_nothing_changed()

    @pytest.mark.parametrize("length", [MAX_BODY_BYTES + 1, 2**31, 2**62])
    def test_announced_length_answers_413_before_the_body_comes(
        self, server: Server, write: Write, length: int
    ) -> None:
        answer = ask(
            server, write.path, token(write.user.id), method=write.method, Content_Length=str(length), **_underscored()
        )

        assert (answer.status, json.loads(answer.body)["code"]) == (413, "content_too_large")
        write.assert_nothing_changed()

    def test_chunked_body_answers_413_before_it_ends(self, server: Server, write: Write) -> None:
        head = f"{write.method} {write.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(write.user.id)}\r\n"
        body = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n" + b" " * (
            MAX_BODY_BYTES + 1
        )

        assert exchange(server, head.encode() + body).status == 413
        write.assert_nothing_changed()


def _underscored() -> dict[str, str]:
    return {name.replace("-", "_"): value for name, value in JSON.items()}


MALFORMED = {
    "cut off": b'{"title": "x", "completed": true',
    "not closed": b'{"title": "x',
    "single quotes": b"{'title': 'x'}",
    "trailing comma": b'{"title": "x", "completed": true,}',
    "no quotes": b'{title: "x"}',
    "comment": b'{"title": "x"} // done',
    "trailing garbage": b'{"title": "x", "completed": true} x',
    "two values": b'{"title": "x", "completed": true}{}',
    "raw line break": b'{"title": "x\ny", "completed": true}',
    "bad escape": b'{"title": "\\x41", "completed": true}',
    "U+0000 around": b'{"title": "x", "completed": true}\x00',
    "only U+0000": b"\x00",
    "only a space": b" ",
    "form": b"title=x&completed=true",
    "byte order mark": b'\xef\xbb\xbf{"title": "x", "completed": true}',
    "Latin-1": '{"title": "é", "completed": true}'.encode("latin-1"),
    "UTF-16": '{"title": "x", "completed": true}'.encode("utf-16"),
    "UTF-32": '{"title": "x", "completed": true}'.encode("utf-32"),
    "overlong UTF-8": b'{"title": "\xc0\xaf", "completed": true}',
    "surrogate in UTF-8": b'{"title": "\xed\xa0\x80", "completed": true}',
    "lone high surrogate": b'{"title": "\\ud800", "completed": true}',
    "lone low surrogate": b'{"title": "\\udc00x", "completed": true}',
    "surrogates swapped": b'{"title": "\\udc00\\ud800", "completed": true}',
    "lone surrogate in a description": b'{"title": "x", "description": "\\ud83d", "completed": true}',
    "lone surrogate in an unknown field": b'{"title": "x", "completed": true, "x": "\\ud800"}',
    "lone surrogate in a name": b'{"title": "x", "completed": true, "\\ud800": 1}',
    "NaN": b'{"title": "x", "completed": NaN}',
    "NaN alone": b"NaN",
    "NaN in an unknown field": b'{"title": "x", "completed": true, "x": NaN}',
    "Infinity in an unknown field": b'{"title": "x", "completed": true, "x": Infinity}',
    "-Infinity in an unknown field": b'{"title": "x", "completed": true, "x": [-Infinity]}',
    "deep": b"[" * 30_000 + b"]" * 30_000,
    "deep and open": b"[" * 60_000,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "deep in a title": b'{"title": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "deep in an unknown field": b'{"title": "x", "completed": true, "x": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "long number": b'{"title": "x", "completed": ' + b"9" * 6_000 + b"}",
    "long number in an unknown field": b'{"title": "x", "completed": true, "x": ' + b"9" * 6_000 + b"}",
    "long number alone": b"9" * 6_000,
    "leading zero": b'{"title": "x", "completed": true, "x": 01}',
    "leading plus": b'{"title": "x", "completed": true, "x": +1}',
}


class TestJson:
    @pytest.mark.parametrize("name", MALFORMED)
    def test_malformed_body_answers_400_and_changes_nothing(self, write: Write, name: str) -> None:
        assert_invalid(write.send(MALFORMED[name]), NOT_JSON)
        write.assert_nothing_changed()

    @pytest.mark.parametrize("name", ["cut off", "Latin-1", "deep", "long number"])
    def test_malformed_chunked_body_answers_400(self, write: Write, name: str) -> None:
        assert_invalid(write.send(chunks(MALFORMED[name], 7000)), NOT_JSON)
        write.assert_nothing_changed()

    @pytest.mark.parametrize("number", ["1e999", "-1e999", "[1e999]", '{"x": 1e400}', "9" * 400 + ".0"])
    def test_number_beyond_any_float_answers_400(self, write: Write, number: str) -> None:
        response = write.send(f'{{"title": "x", "completed": {number}}}')

        assert_problem(response, 400, "invalid_request")
        write.assert_nothing_changed()

    @pytest.mark.parametrize("number", ["1e999", '{"x": [-1e999]}'])
    def test_number_beyond_any_float_in_an_unknown_field_answers_400(self, write: Write, number: str) -> None:
        response = write.send(f'{{"title": "x", "completed": true, "unknown": {number}}}')

        assert_problem(response, 400, "invalid_request")
        write.assert_nothing_changed()

    @pytest.mark.parametrize("body", ["[]", "1", "true", '"title"', "null", '[{"title": "x", "completed": true}]'])
    def test_anything_but_an_object_answers_400(self, write: Write, body: str) -> None:
        errors = assert_problem(write.send(body), 400, "invalid_request")["errors"]

        assert [error["field"] for error in errors] == ["body"]
        write.assert_nothing_changed()

    def test_last_of_duplicate_names_counts(self, write: Write) -> None:
        body = '{"title": "First", "title": "Last", "completed": true, "completed": false, "completed": true}'
        task = write.assert_accepted(write.send(body))

        assert task["title"] == ("Untouched" if write.method == "PATCH" else "Last")
        assert task["completed"] is True

    def test_earlier_of_duplicate_names_is_not_an_escape_from_validation(self, write: Write) -> None:
        response = write.send('{"title": "x", "completed": true, "completed": "yes"}')

        assert_invalid(response, ("completed", "must be true or false"))
        write.assert_nothing_changed()

    def test_white_space_around_is_json(self, write: Write) -> None:
        write.assert_accepted(write.send(b' \r\n\t{ "title" : "x" , "completed" : true } \n'))

    @pytest.mark.parametrize(
        "value",
        [
            "null",
            "0",
            "-1.5e-300",
            "9223372036854775808",
            '""',
            '"\\u0000"',
            '"\\ud83d\\ude00"',
            "[]",
            "{}",
            "[[[[]]], null, {}]",
            '{"title": 1, "completed": "x", "": {"": []}}',
            json.dumps("x" * 5_000),
        ],
    )
    def test_unknown_fields_of_any_shape_are_ignored(self, write: Write, value: str) -> None:
        names = ["x", "", "Title", "user_id", "id", "created_at", "updated_at", "__proto__", "\\u0000", "é"]
        unknown = ", ".join(f'"{name}": {value}' for name in names)
        task = write.assert_accepted(write.send(f'{{"title": "x", {unknown}, "completed": true}}'.encode()))

        assert (task["user_id"], task["completed"]) == (write.user.id, True)
        assert set(task) == set(write.task)


class TestEmptyBody:
    @pytest.mark.parametrize("headers", [{}, JSON, {"Content-Type": "text/plain"}])
    @pytest.mark.parametrize("write", ["POST", "PUT"], indirect=True)
    def test_answers_400_where_a_body_is_required(self, write: Write, headers: dict[str, str]) -> None:
        assert_invalid(write.send(b"", headers), ("body", "is required"))
        assert_invalid(write.send(iter([]), headers), ("body", "is required"))
        write.assert_nothing_changed()

    @pytest.mark.parametrize("headers", [{}, JSON, {"Content-Type": "text/plain"}])
    @pytest.mark.parametrize("write", ["PATCH"], indirect=True)
    def test_toggles_where_none_is(self, write: Write, headers: dict[str, str]) -> None:
        assert write.assert_accepted(write.send(b"", headers))["completed"] is True
        assert write.assert_accepted(write.send(iter([]), headers))["completed"] is False


class TestText:
    @pytest.mark.parametrize("write", ["POST", "PUT"], indirect=True)
    @pytest.mark.parametrize("value", ["\\u0000", "a\\u0000", "\\u0000b", " \\u0000 "])
    @pytest.mark.parametrize("field", ["title", "description"])
    def test_with_nul_answers_400(self, write: Write, field: str, value: str) -> None:
        fields = {"title": "x", "description": "x", field: "VALUE"}

        assert_invalid(write.send(json.dumps(fields).replace("VALUE", value)), (field, "must not contain U+0000"))
        write.assert_nothing_changed()

    @pytest.mark.parametrize("write", ["POST", "PUT"], indirect=True)
    @pytest.mark.parametrize(
        ("spelled", "text"),
        [
            ("\\ud83d\\ude00", "😀"),
            ("😀", "😀"),
            ("\\u00e9\\n\\u2028\\\\\\/", "é\n\u2028\\/"),
            ("\\u0001\\u001f\\u007f", "\x01\x1f\x7f"),
            ("\\ufffe\\uffff\\ufeff", "\ufffe\uffff\ufeff"),
            ("'; DROP TABLE tasks; --", "'; DROP TABLE tasks; --"),
            ("%s %(x)s $1 {x} \\\\x00", "%s %(x)s $1 {x} \\x00"),
        ],
    )
    def test_is_kept_as_it_is(self, write: Write, spelled: str, text: str) -> None:
        task = write.assert_accepted(write.send(f'{{"title": "{spelled}", "description": "{spelled}"}}'.encode()))

        assert (task["title"], task["description"]) == (text, text)
        assert write.user.http.get(write.user.path(task)).json() == task

    @pytest.mark.parametrize("write", ["POST", "PUT"], indirect=True)
    @pytest.mark.parametrize("character", ["x", "é", "😀"])
    def test_is_measured_in_characters(self, write: Write, character: str) -> None:
        longest = {"title": character * 255, "description": character * 1000}
        task = write.assert_accepted(write.send(json.dumps(longest, ensure_ascii=False).encode()))
        too_long = write.send(json.dumps({name: text + character for name, text in longest.items()}))

        assert {**task, **longest} == task
        assert_invalid(
            too_long,
            ("title", "must be at most 255 characters"),
            ("description", "must be at most 1000 characters"),
        )


class TestPathAndQuery:
    @pytest.mark.parametrize("id", ["1%20", "%201", "%2B1", "1,0", "1_0", "%D9%A1", "%EF%BC%91", "%FF", "1;x"])
    @pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("PUT", ""), ("DELETE", ""), ("PATCH", "/complete")])
    def test_id_that_is_no_number_answers_400(
        self, server: Server, alice: User, method: str, suffix: str, id: str
    ) -> None:
        answer = ask(server, f"{alice.base}/{id}{suffix}", token(alice.id), method=method)

        assert answer.status == 400
        assert "id" in [error["field"] for error in json.loads(answer.body)["errors"]]

    @pytest.mark.parametrize("id", ["%00", "1%00", "1%0A", "%0A1", "%7F", "1%C2%85"])
    def test_control_character_in_the_path_answers_404(self, server: Server, alice: User, id: str) -> None:
        assert ask(server, f"{alice.base}/{id}", token(alice.id)).status == 404

    @pytest.mark.parametrize("value", ["ALL", "all%20", "pending,completed", "%00", "%FF", "null", "x" * 5000])
    def test_unknown_status_answers_400(self, server: Server, alice: User, value: str) -> None:
        answer = ask(server, f"{alice.base}?status={value}", token(alice.id))

        assert (answer.status, [error["field"] for error in json.loads(answer.body)["errors"]]) == (400, ["status"])

    @pytest.mark.parametrize("value", ["-1", "1.5", "0x10", "1e3", "%00", "%FF", "NaN", "Infinity", "true", "null"])
    def test_limit_that_is_no_whole_number_answers_400(self, server: Server, alice: User, value: str) -> None:
        answer = ask(server, f"{alice.base}?limit={value}", token(alice.id))

        assert (answer.status, [error["field"] for error in json.loads(answer.body)["errors"]]) == (400, ["limit"])

    def test_bad_parameters_are_named_together(self, alice: User) -> None:
        assert_invalid(
            alice.http.get(f"{alice.base}?limit=0&status=x"),
            ("status", "must be 'all', 'pending' or 'completed'"),
            ("limit", "must be at least 1"),
        )

    @pytest.mark.parametrize("query", ["?", "?&&", "?=", "?x", "?%00=%FF", "?x=" + "y" * 8000, "?limit[]=1", "??"])
    def test_unknown_parameters_of_any_shape_are_ignored(self, server: Server, alice: User, query: str) -> None:
        assert ask(server, f"{alice.base}{query}", token(alice.id)).status == 200

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    def test_body_where_none_is_expected_is_ignored(self, alice: User, method: str) -> None:
        task = alice.create()
        response = alice.http.request(method, alice.path(task), content=b"[" * 30_000)

        assert (response.status_code, response.json()) == (200, task)
