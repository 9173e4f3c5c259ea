"""Entity tags: what has not changed is not sent again, and what has changed is not written over."""

import re
from typing import Any

import httpx
import pytest

from tests.api.test_tasks import assert_invalid, assert_problem
from tests.harness import Server, User

TAG = re.compile(r'"[\x21\x23-\x7e]+"')
MALFORMED = 'must be * or a list of entity tags such as "abc"'
WRITES = [("PUT", "", {"title": "New"}), ("PATCH", "/complete", {"completed": True}), ("DELETE", "", None)]
writes = pytest.mark.parametrize("what", WRITES, ids=["update", "complete", "delete"])

# What servers that compress make of a tag: Apache, Caddy, and Jetty; nginx and CDNs make it weak.
MARKED = ['"{opaque}-gzip"', '"x", "{opaque}-br"', 'W/"{opaque}-zstd"', '"{opaque}--gzip"']

Task = dict[str, Any]
Write = tuple[str, str, Any]


def tag(response: httpx.Response) -> str:
    """The answer's entity tag, which is a strong one."""
    found: str = response.headers["etag"]
    assert TAG.fullmatch(found)
    return found


def read(user: User, task: Task) -> httpx.Response:
    """The task as it is now."""
    return user.http.get(user.path(task))


def write(user: User, task: Task, what: Write, if_match: str | list[str]) -> httpx.Response:
    """A write under a precondition; several lines where there are several values."""
    values = [if_match] if isinstance(if_match, str) else if_match
    method, suffix, body = what
    headers = [*user.http.headers.items(), *(("If-Match", value) for value in values)]
    return user.http.request(method, user.path(task) + suffix, json=body, headers=headers)


class TestTag:
    def test_every_answer_with_one_task_has_the_one_of_its_version(self, alice: User) -> None:
        created = alice.http.post(alice.base, json={"title": "a"})
        task = created.json()
        assert tag(created) == tag(read(alice, task)) == tag(alice.http.head(alice.path(task)))

        for method, suffix, body in (*WRITES[:2], WRITES[1]):
            response = alice.http.request(method, alice.path(task) + suffix, json=body)
            assert tag(response) == tag(read(alice, task)) != tag(created)
        last = tag(read(alice, task))
        assert tag(alice.http.delete(alice.path(task))) == last

    def test_it_changes_with_every_write_even_one_that_changes_no_field(self, alice: User) -> None:
        task = alice.create("same")
        tags = [tag(alice.http.put(alice.path(task), json={"title": "same"})) for _ in range(20)]

        assert len(set(tags)) == 20

    def test_list_has_one_that_changes_with_whatever_it_shows(self, alice: User) -> None:
        def now(query: str = "") -> str:
            return tag(alice.http.get(f"{alice.base}?{query}"))

        seen = [now()]
        task = alice.create("a")
        seen.append(now())
        alice.http.put(alice.path(task), json={"title": "b"})
        seen.append(now())
        other = alice.create("c")
        seen.append(now())
        seen.append(now("order=asc"))
        alice.http.delete(alice.path(other))

        assert len(set(seen)) == len(seen)
        assert now() == now() == now("status=pending") == seen[2]

    def test_list_has_another_one_when_a_further_page_appears(self, alice: User) -> None:
        alice.create("a")
        before = alice.http.get(f"{alice.base}?limit=1&order=asc")
        alice.create("b")
        after = alice.http.get(f"{alice.base}?limit=1&order=asc")

        assert before.content == after.content
        assert tag(before) != tag(after)


class TestIfNoneMatch:
    @pytest.mark.parametrize("form", ["{}", "W/{}", "*", '"other", {}', 'W/"x",{} , "y"', ", {},", *MARKED])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_known_version_is_not_sent_again(self, alice: User, form: str, method: str) -> None:
        task = alice.create()
        for path in (alice.path(task), f"{alice.base}?limit=5"):
            full = alice.http.get(path)
            response = alice.http.request(
                method, path, headers={"If-None-Match": form.format(tag(full), opaque=tag(full)[1:-1])}
            )

            assert (response.status_code, response.content) == (304, b"")
            assert tag(response) == tag(full)
            for name in ("cache-control", "vary", "x-request-id"):
                assert name in response.headers
            assert "content-type" not in response.headers
            assert "content-length" not in response.headers

    def test_link_comes_with_304_too(self, alice: User) -> None:
        for _ in range(2):
            alice.create()
        full = alice.http.get(f"{alice.base}?limit=1")
        response = alice.http.get(f"{alice.base}?limit=1", headers={"If-None-Match": tag(full)})

        assert response.status_code == 304
        assert response.headers["link"] == full.headers["link"]

    def test_other_version_is_sent(self, alice: User) -> None:
        task = alice.create()
        old = tag(read(alice, task))
        alice.http.put(alice.path(task), json={"title": "New"})

        response = alice.http.get(alice.path(task), headers={"If-None-Match": f'{old}, "x"'})
        assert (response.status_code, response.json()["title"]) == (200, "New")

    def test_absent_task_answers_404(self, alice: User) -> None:
        assert_problem(alice.http.get(f"{alice.base}/0", headers={"If-None-Match": "*"}), 404, "not_found")

    @pytest.mark.parametrize("value", ["abc", '"abc', 'w/"abc"', '"a" "b"', "*, *", ""])
    def test_malformed_answers_400(self, alice: User, value: str) -> None:
        response = alice.http.get(alice.base, headers={"If-None-Match": value})

        assert_invalid(response, ("If-None-Match", MALFORMED))


class TestIfMatch:
    @writes
    @pytest.mark.parametrize(
        "form", ["{}", "*", '"other", {}', '{},W/"x"', ['"other"', "{}"], "W/{}", 'W/"x", W/{}', *MARKED]
    )
    def test_current_version_is_written(self, alice: User, what: Write, form: str | list[str]) -> None:
        task = alice.create()
        current = tag(read(alice, task))
        values = [part.format(current, opaque=current[1:-1]) for part in ([form] if isinstance(form, str) else form)]
        response = write(alice, task, what, values)

        assert response.status_code == 200
        assert (read(alice, task).status_code == 404) is (what[0] == "DELETE")
        if what[0] != "DELETE":
            assert read(alice, task).json() == response.json()
            assert response.json()["updated_at"] > task["updated_at"]

    @writes
    @pytest.mark.parametrize("form", ["{old}", "W/{old}", '"unknown"', '"{old}"', '{old}, W/{old}, "x"'])
    def test_any_other_answers_412_and_changes_nothing(
        self, alice: User, server: Server, what: Write, form: str
    ) -> None:
        task = alice.create()
        old = tag(read(alice, task))
        alice.http.put(alice.path(task), json={"title": "Changed"})
        before = read(alice, task)
        if_match = form.replace('"{old}"', '"2026-11-20T20:53:46.424000Z"').format(old=old)
        response = write(alice, task, what, if_match)

        problem = assert_problem(response, 412, "precondition_failed")
        assert problem["detail"] == "The task has changed since you read it."
        assert read(alice, task).content == before.content
        lines = server.log(request_id=problem["request_id"])
        assert [line["event"] for line in lines] == ["request"]

    @writes
    def test_absent_task_answers_404_whatever_the_tag(self, alice: User, what: Write) -> None:
        gone = alice.create()
        current = tag(alice.http.delete(alice.path(gone)))
        for if_match in (current, "*", '"unknown"'):
            assert_problem(write(alice, gone, what, if_match), 404, "not_found")

    @writes
    def test_task_of_another_user_answers_404_even_with_its_tag(self, alice: User, bob: User, what: Write) -> None:
        task = alice.create()
        before = read(alice, task)
        response = write(bob, task, what, tag(before))

        assert_problem(response, 404, "not_found")
        assert read(alice, task).content == before.content

    @writes
    @pytest.mark.parametrize("value", ["abc", '"abc', "2026-11-20T20:53:46.424000Z", '"a" "b"', ""])
    def test_malformed_answers_400(self, alice: User, what: Write, value: str) -> None:
        task = alice.create()

        assert_invalid(write(alice, task, what, value), ("If-Match", MALFORMED))
        assert read(alice, task).json() == task

    def test_invalid_body_comes_before_the_precondition(self, alice: User) -> None:
        task = alice.create()

        assert_invalid(write(alice, task, ("PUT", "", {"title": ""}), '"unknown"'), ("title", "must not be blank"))

    def test_without_it_the_last_writer_wins(self, alice: User) -> None:
        task = alice.create()
        for title in ("first", "second"):
            assert alice.http.put(alice.path(task), json={"title": title}).status_code == 200

        assert read(alice, task).json()["title"] == "second"


class TestPrefer:
    @pytest.mark.parametrize(
        "prefer",
        [
            "return=minimal",
            'return="minimal"',
            "Return=Minimal",
            "respond-async, return=minimal; foo=1",
            "return = minimal",
        ],
    )
    def test_minimal_delete_answers_204_and_no_body(self, alice: User, prefer: str) -> None:
        task = alice.create()
        response = alice.http.delete(alice.path(task), headers={"Prefer": prefer})

        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["preference-applied"] == "return=minimal"
        assert "content-type" not in response.headers
        assert read(alice, task).status_code == 404

    @pytest.mark.parametrize(
        "prefer",
        ["return=representation", "return=representation, return=minimal", "minimal", "return", "x=return=minimal", ""],
    )
    def test_any_other_preference_answers_the_task(self, alice: User, prefer: str) -> None:
        task = alice.create()
        response = alice.http.delete(alice.path(task), headers={"Prefer": prefer})

        assert (response.status_code, response.json()) == (200, task)
        assert "preference-applied" not in response.headers

    def test_rejected_delete_applies_nothing(self, alice: User) -> None:
        response = alice.http.delete(f"{alice.base}/0", headers={"Prefer": "return=minimal"})

        assert_problem(response, 404, "not_found")
        assert "preference-applied" not in response.headers
