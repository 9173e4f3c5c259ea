"""Lists: found, sorted, cut into pages, and walked by the links between them."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
from msgspec.json import encode

from tests.api.test_tasks import assert_invalid
from tests.harness import Server, User
from todo_api.routes import task_list

TITLES = ["b", "A", "ä", "Ä", "a", "100%", "100", "a_c", "abc", "C\\d", "cd", "É", "😀", "Z", "a b"]
SORTS = ["created_at", "updated_at", "title"]
ORDERS = ["asc", "desc"]
NEXT = re.compile(r'<([^>]*)>; rel="next"')
SORT_VALUES = (
    "must be created_at, updated_at, title, due_date or priority, each also as field:asc, field:desc or -field"
)
FOREIGN = ("cursor", "must come from the Link header of this very list")

Task = dict[str, Any]


@pytest.fixture(scope="module")
def reader(server: Server) -> User:
    """A user with a list to look at, none of which a test changes."""
    user = server.user()
    tasks = [user.create(title, description=f"Number {number}") for number, title in enumerate(TITLES)]
    for task in tasks[::2]:
        user.http.patch(f"{user.path(task)}/complete", json={"completed": True})
    return user


def titles(user: User, query: str = "") -> list[str]:
    """The titles of a list."""
    response = user.http.get(f"{user.base}?{query}")
    assert response.status_code == 200, response.text
    return [task["title"] for task in response.json()]


def reference(response: httpx.Response) -> str | None:
    """The reference in the ``Link``, if there is one."""
    link = response.headers.get("link")
    if link is None:
        return None
    match = NEXT.fullmatch(link)
    assert match is not None
    return match[1]


def next_url(response: httpx.Response) -> str | None:
    """Where the ``Link`` leads, from the URL of the request, if there is one."""
    found = reference(response)
    return None if found is None else str(response.url.join(found))


def pages(user: User, query: str) -> Iterator[list[Task]]:
    """Every page of a list."""
    url: str | None = f"{user.base}?{query}"
    while url is not None:
        response = user.http.get(url)
        assert response.status_code == 200, response.text
        yield response.json()
        url = next_url(response)


def cursor_of(user: User, query: str) -> str:
    """The cursor of a list's second page."""
    url = next_url(user.http.get(f"{user.base}?{query}"))
    assert url is not None
    return url.rpartition("cursor=")[2]


class TestSearch:
    @pytest.mark.parametrize(
        ("search", "found"),
        [
            ("%25", {"100%"}),
            ("_", {"a_c"}),
            ("%5C", {"C\\d"}),
            ("100", {"100%", "100"}),
            ("AB", {"abc"}),
            ("abc", {"abc"}),
            ("%C3%A4", {"ä", "Ä"}),
            ("%F0%9F%98%80", {"😀"}),
            ("a+b", {"a b"}),
            ("a%20b", {"a b"}),
            ("number+1", {TITLES[1], *TITLES[10:]}),
            ("nothing+like+it", set()),
            ("%C3%A9", {"É"}),
            ("e%CC%81", {"É"}),
        ],
    )
    def test_text_is_found_as_it_stands_ignoring_case(self, reader: User, search: str, found: set[str]) -> None:
        assert set(titles(reader, f"search={search}")) == found

    def test_empty_search_finds_everything(self, reader: User) -> None:
        assert titles(reader, "search=") == titles(reader)

    def test_description_is_searched_too(self, reader: User) -> None:
        assert titles(reader, "search=NUMBER+7") == [TITLES[7]]

    def test_task_without_a_description_is_found_by_its_title(self, alice: User) -> None:
        alice.create("Needle")
        alice.create("Hay")

        assert titles(alice, "search=needle") == ["Needle"]

    def test_200_characters_may_be_searched_for(self, alice: User) -> None:
        alice.create("x" * 255)

        assert len(titles(alice, f"search={'x' * 200}")) == 1
        assert_invalid(alice.http.get(f"{alice.base}?search={'x' * 201}"), ("search", "must be at most 200 characters"))

    def test_filters_are_combined(self, reader: User) -> None:
        assert set(titles(reader, "search=1&status=completed")) & {"b"} == set()
        assert set(titles(reader, "search=100&status=pending")) == {"100%"}
        assert set(titles(reader, "search=100&status=completed")) == {"100"}


class TestOrder:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("", list(reversed(TITLES))),
            ("sort=created_at", list(reversed(TITLES))),
            ("sort=created&order=asc", TITLES),
            ("sort_by=created_at&sort_order=asc", TITLES),
            ("order=asc", TITLES),
            ("sort=title", sorted(TITLES, key=lambda title: title.encode().lower())),
            ("sort_by=title&sort_order=asc", sorted(TITLES, key=lambda title: title.encode().lower())),
            ("sort=title&sort_by=created_at", sorted(TITLES, key=lambda title: title.encode().lower())),
            ("sort=updated", [*reversed(TITLES[::2]), *reversed(TITLES[1::2])]),
            ("sort=updated_at&order=asc", [*TITLES[1::2], *TITLES[::2]]),
        ],
    )
    def test_list_comes_in_the_order_of_the_parameter(self, reader: User, query: str, expected: list[str]) -> None:
        assert titles(reader, query) == expected

    def test_by_title_descending_is_the_reverse(self, reader: User) -> None:
        assert titles(reader, "sort=title&order=desc") == titles(reader, "sort=title")[::-1]

    @pytest.mark.parametrize("order", ORDERS)
    def test_id_decides_between_equal_titles_in_the_direction_of_the_order(self, alice: User, order: str) -> None:
        ids = [alice.create(title)["id"] for title in ("same", "SAME", "Same")]
        found = [task["id"] for task in alice.http.get(f"{alice.base}?sort=title&order={order}").json()]

        assert found == (ids if order == "asc" else ids[::-1])


class TestBadValues:
    @pytest.mark.parametrize(
        ("query", "field", "message"),
        [
            ("status=done", "status", "must be 'all', 'pending' or 'completed'"),
            ("sort=id", "sort", SORT_VALUES),
            ("sort_by=x", "sort_by", SORT_VALUES),
            ("sort=-title:asc", "sort", SORT_VALUES),
            ("sort=title:up", "sort", SORT_VALUES),
            ("order=up", "order", "must be 'asc' or 'desc'"),
            ("sort_order=ASC", "sort_order", "must be 'asc' or 'desc'"),
            ("limit=0", "limit", "must be at least 1"),
            ("limit=1001", "limit", "must be at most 1000"),
            ("limit=ten", "limit", "must be a whole number"),
            ("search=%00", "search", "must not contain U+0000"),
            ("cursor=nonsense", *FOREIGN),
            ("cursor=%C3%A4", *FOREIGN),
            ("cursor=====", *FOREIGN),
        ],
    )
    def test_bad_value_answers_400_and_names_the_parameter(
        self, alice: User, query: str, field: str, message: str
    ) -> None:
        assert_invalid(alice.http.get(f"{alice.base}?{query}"), (field, message))

    def test_every_bad_value_is_named(self, alice: User) -> None:
        response = alice.http.get(f"{alice.base}?status=x&order=y&limit=z")

        assert [error["field"] for error in response.json()["errors"]] == ["status", "order", "limit"]

    def test_unknown_parameters_are_ignored(self, reader: User) -> None:
        assert titles(reader, "pages=2&q=abc&_=1") == titles(reader)

    @pytest.mark.parametrize(
        ("query", "field", "message"),
        [
            ("completed=yes", "completed", "must be 'true' or 'false'"),
            ("completed=1", "completed", "must be 'true' or 'false'"),
            ("page=0", "page", "must be at least 1"),
            ("offset=-1", "offset", "must be a whole number"),
            ("skip=1.5", "skip", "must be a whole number"),
            (f"offset={10**15 + 1}", "offset", f"must be at most {10**15}"),
            (f"page={'9' * 5000}", "page", f"must be at most {10**15}"),
            ("per_page=1001", "per_page", "must be at most 1000"),
            ("pageSize=0", "page_size", "must be at least 1"),
            ("status=pending&completed=true", "completed", "contradicts status"),
            ("status=completed&completed=false", "completed", "contradicts status"),
            ("sort=-title&order=asc", "order", "contradicts the order in sort"),
            ("sort_by=title:asc&sort_order=desc", "sort_order", "contradicts the order in sort"),
            ("cursor=x&skip=2", "skip", "cannot be combined with cursor"),
            ("cursor=x&page=2", "page", "cannot be combined with cursor"),
            ("offset=0&page=1", "page", "cannot be combined with offset"),
        ],
    )
    def test_bad_number_or_contradiction_answers_400(self, alice: User, query: str, field: str, message: str) -> None:
        assert_invalid(alice.http.get(f"{alice.base}?{query}"), (field, message))


class TestNames:
    @pytest.mark.parametrize(
        ("query", "same_as"),
        [
            ("completed=true", "status=completed"),
            ("completed=false", "status=pending"),
            ("status=all&completed=true", "status=completed"),
            ("status=pending&completed=false", "status=pending"),
            ("STATUS=completed", "status=completed"),
            ("status=&completed=&search=&sort=&order=&limit=&cursor=&offset=&page=", ""),
            ("sort=createdAt", "sort=created_at"),
            ("sortBy=updatedAt", "sort=updated_at"),
            ("sort=UPDATED", "sort=updated_at"),
            ("sort=-title", "sort=title&order=desc"),
            ("sort=title:desc", "sort=title&order=desc"),
            ("sort=-title&order=desc", "sort=title&order=desc"),
            ("sort=created_at:asc", "order=asc"),
            ("sort=due_date", ""),
            ("sort=dueDate:asc&order=asc", ""),
            ("sort=-priority", ""),
            ("sort=priority&order=asc&status=pending", "status=pending"),
            ("page_size=3", "limit=3"),
            ("per_page=3", "limit=3"),
            ("perPage=3", "limit=3"),
            ("limit=3&page_size=4", "limit=3"),
            ("Limit=3", "limit=3"),
            ("skip=4&limit=3", "offset=4&limit=3"),
            ("page=3&limit=2", "offset=4&limit=2"),
            ("page=1", ""),
            ("page=2", "offset=1000"),
            ("offset=0", ""),
            ("offset=%32", "offset=2"),
        ],
    )
    def test_parameter_has_several_names_and_values(self, reader: User, query: str, same_as: str) -> None:
        asked, expected = (reader.http.get(f"{reader.base}?{text}") for text in (query, same_as))

        assert asked.status_code == expected.status_code == 200
        assert asked.json() == expected.json()


class TestCountedPages:
    @pytest.mark.parametrize(("offset", "limit"), [(0, 4), (3, 4), (14, 4), (15, 4), (10**15, 1000)])
    def test_offset_leaves_out_so_many(self, reader: User, offset: int, limit: int) -> None:
        assert titles(reader, f"offset={offset}&limit={limit}") == titles(reader)[offset : offset + limit]

    @pytest.mark.parametrize("query", ["page=1&limit=4", "Skip=0&limit=4", "offset=2&limit=4&sort=title&status=all"])
    def test_link_leads_from_page_to_page(self, reader: User, query: str) -> None:
        found = [task for page in pages(reader, query) for task in page]
        rest = "&".join(piece for piece in query.split("&") if piece.startswith(("sort", "status")))
        left_out = 2 if query.startswith("offset") else 0

        assert found == reader.http.get(f"{reader.base}?{rest}").json()[left_out:]

    def test_link_counts_on_under_the_name_that_was_used(self, reader: User) -> None:
        found = [
            reference(reader.http.get(f"{reader.base}?{query}"))
            for query in ("page=2&x=1&limit=3", "limit=3&skip=3", "offset=&limit=3&offset=4&Page=")
        ]

        assert found == ["tasks?x=1&limit=3&page=3", "tasks?limit=3&skip=6", "tasks?limit=3&offset=7"]


class TestLink:
    @pytest.mark.parametrize("slash", ["", "/"])
    @pytest.mark.parametrize("start", ["limit=2", "limit=2&page=1", "limit=2&offset=0"])
    def test_it_is_relative_to_the_path_with_and_without_a_slash(self, reader: User, slash: str, start: str) -> None:
        first = reader.http.get(f"{reader.base}{slash}?{start}")
        url = next_url(first)

        assert url is not None
        assert url.startswith(f"{first.url.copy_with(query=None)}?limit=2&")
        assert [task["title"] for task in reader.http.get(url).json()] == titles(reader)[2:4]

    def test_it_keeps_all_other_parameters(self, reader: User) -> None:
        url = reference(reader.http.get(f"{reader.base}?limit=2&sort_by=title&x=a%20b&x=%3E&search=&status=all"))

        assert url is not None
        head, _, cursor = url.rpartition("&cursor=")
        assert head == "tasks?limit=2&sort_by=title&x=a%20b&x=%3E&search=&status=all"
        assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)

    def test_it_replaces_the_cursor_and_no_parameter_that_is_called_alike(self, reader: User) -> None:
        first = cursor_of(reader, "limit=2")
        url = reference(reader.http.get(f"{reader.base}?cursor={first}&limit=2&my_cursor=1&cursors=2"))

        assert url is not None
        assert re.fullmatch(r"tasks\?limit=2&my_cursor=1&cursors=2&cursor=[\w-]+", url)
        assert first not in url

    def test_it_holds_nothing_that_would_end_it_early(self, reader: User) -> None:
        url = reference(reader.http.get(httpx.URL(f"{reader.base}", query=b'limit=2&x=<">')))

        assert url is not None
        assert url.startswith("tasks?limit=2&x=%3C%22%3E&cursor=")

    @pytest.mark.parametrize(("limit", "present"), [(1, True), (14, True), (15, False), (16, False), (1000, False)])
    def test_it_is_there_exactly_when_there_is_more(self, reader: User, limit: int, present: bool) -> None:
        response = reader.http.get(f"{reader.base}?limit={limit}")

        assert len(response.json()) == min(limit, len(TITLES))
        assert ("link" in response.headers) is present

    def test_head_has_it_too(self, reader: User) -> None:
        got, headed = (reader.http.request(method, f"{reader.base}?limit=2") for method in ("GET", "HEAD"))

        assert headed.headers["link"] == got.headers["link"]
        assert headed.content == b""

    def test_user_with_a_name_that_needs_encoding_can_follow_it(self, server: Server) -> None:
        user = server.user("a/b ü>")
        base = "/api/a%2Fb%20%C3%BC%3E/tasks"
        for _ in range(3):
            user.http.post(base, json={"title": "x"})
        url = next_url(user.http.get(f"{base}?limit=2"))

        assert url is not None
        assert url.startswith(f"{server.url}{base}?limit=2&cursor=")
        assert len(user.http.get(url).json()) == 1


class TestPages:
    @pytest.mark.parametrize("order", ORDERS)
    @pytest.mark.parametrize("sort", SORTS)
    @pytest.mark.parametrize("limit", [1, 4])
    def test_together_they_are_the_list(self, reader: User, sort: str, order: str, limit: int) -> None:
        query = f"sort={sort}&order={order}"
        found = list(pages(reader, f"{query}&limit={limit}"))

        assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
        assert [task for page in found for task in page] == reader.http.get(f"{reader.base}?{query}").json()

    @pytest.mark.parametrize("filters", ["status=pending", "search=1", "search=number&status=completed"])
    def test_filters_hold_on_every_page(self, reader: User, filters: str) -> None:
        found = [task for page in pages(reader, f"{filters}&limit=2&sort=title") for task in page]

        assert found == reader.http.get(f"{reader.base}?{filters}&sort=title").json()
        assert found

    @pytest.mark.parametrize("order", ORDERS)
    def test_equal_titles_are_each_seen_once(self, alice: User, order: str) -> None:
        ids = [alice.create("same")["id"] for _ in range(7)]
        found = [task["id"] for page in pages(alice, f"sort=title&order={order}&limit=2") for task in page]

        assert found == (ids if order == "asc" else ids[::-1])

    def test_limit_may_change_on_the_way(self, reader: User) -> None:
        cursor = cursor_of(reader, "limit=3")

        assert titles(reader, f"limit=5&cursor={cursor}") == titles(reader)[3:8]


class TestCursor:
    def test_same_list_takes_it_whatever_its_order_is_called(self, reader: User) -> None:
        cursor = cursor_of(reader, "limit=2&sort=created_at&order=desc")

        for query in ("", "sort_by=created", "sort_order=desc&status=all", "search="):
            assert titles(reader, f"limit=2&{query}&cursor={cursor}") == titles(reader)[2:4]

    @pytest.mark.parametrize(
        "query", ["sort=updated_at", "sort=title", "order=asc", "status=pending", "status=completed", "search=a"]
    )
    def test_another_list_rejects_it(self, reader: User, query: str) -> None:
        cursor = cursor_of(reader, "limit=2")

        assert_invalid(reader.http.get(f"{reader.base}?limit=2&{query}&cursor={cursor}"), FOREIGN)

    def test_another_user_is_rejected(self, reader: User, bob: User) -> None:
        cursor = cursor_of(reader, "limit=2")

        assert_invalid(bob.http.get(f"{bob.base}?limit=2&cursor={cursor}"), FOREIGN)

    @pytest.mark.parametrize("sort", SORTS)
    def test_every_edited_character_is_noticed(self, reader: User, sort: str) -> None:
        cursor = cursor_of(reader, f"limit=2&sort={sort}")
        others = ["A" if letter != "A" else "B" for letter in cursor]
        edited = [cursor[:place] + other + cursor[place + 1 :] for place, other in enumerate(others)]
        edited += [cursor[:place] for place in range(1, len(cursor))] + [f"{cursor}A", f"{cursor}=", f"{cursor}AAAA"]

        statuses = {reader.http.get(f"{reader.base}?limit=2&sort={sort}&cursor={text}").status_code for text in edited}
        assert statuses == {400}

    @pytest.mark.parametrize(
        ("sort", "position"),
        [
            ("title", ["a\x00", 1]),
            ("title", ["a", 0]),
            ("title", ["a", 2**63]),
            ("title", ["a", 1.5]),
            ("title", [None, 1]),
            ("title", ["a"]),
            ("title", {}),
            ("created_at", ["yesterday", 1]),
            ("created_at", ["2026-02-30T00:00:00Z", 1]),
            ("created_at", [1, 1]),
            ("created_at", ["2026-01-01T00:00:00", 1]),
            ("created_at", ["2026-01-01T00:00:00+01:00", 1]),
            ("created_at", ["2026-01-01T00:00:00+23:59", 1]),  # PostgreSQL reads none beyond 16 hours
        ],
    )
    def test_nonsense_with_the_right_digest_is_rejected_all_the_same(
        self, alice: User, sort: str, position: Any
    ) -> None:
        """The digest holds no secret, so anybody who reads the source can make one."""
        descending = sort != "title"
        cursor = task_list._cursor(encode(position), encode((alice.id, None, None, sort, descending)))

        assert_invalid(alice.http.get(f"{alice.base}?sort={sort}&cursor={cursor}"), FOREIGN)

    def test_position_needs_no_row_that_is_still_there(self, alice: User) -> None:
        tasks = [alice.create(f"Task {number}") for number in range(5)]
        url = next_url(alice.http.get(f"{alice.base}?limit=2"))
        assert url is not None
        alice.http.delete(alice.path(tasks[3]))

        assert [task["title"] for task in alice.http.get(url).json()] == ["Task 2", "Task 1"]


def test_ids_of_a_walk_in_the_order_of_creation_only_grow(reader: User) -> None:
    ids = [task["id"] for page in pages(reader, "order=asc&limit=3") for task in page]

    assert all(before < after for before, after in pairwise(ids))
