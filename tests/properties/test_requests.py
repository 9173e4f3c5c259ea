"""Whatever method, target, headers and body a client makes up.

The answer is a documented one, and never a 5xx.
"""

import json
from collections import Counter
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from tests.harness import Server, User
from tests.properties.effort import effort
from todo_api.problems import PROBLEMS

ANSWERS = {200, 201, 204, 304, *PROBLEMS} - {500, 503}


def mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The odd one once in ten times.

    A request that is odd in every part is rejected for the first of them.
    """
    return st.integers(0, 9).flatmap(lambda number: odd if number == 9 else usual)


letters = st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f")
oddities = st.sampled_from(["%", "%00", "%2F", "%FF", "%2e%2e", "..", "//", "\\", "9" * 400, "é", '"', "*", "W/", ","])
pieces = st.lists(oddities | st.text(letters, max_size=8), max_size=4).map("".join)
json_texts = st.recursive(
    st.sampled_from(["null", "true", "1", "1e999", "NaN", '"x"', '"\\ud800"', '"\\u0000"', '"' + "x" * 300 + '"', ""]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.dictionaries(
            st.sampled_from(["title", "description", "completed", "id", "user_id", "\\u0000"]), inner
        ).map(lambda members: "{" + ",".join(f'"{name}":{value}' for name, value in members.items()) + "}")
    ),
    max_leaves=6,
)
good_bodies = st.sampled_from([None, b'{"title":"x"}', b'{"title":"x","description":null}', b'{"completed":true}'])
odd_bodies = json_texts.map(lambda text: text.encode(errors="replace")) | st.binary(max_size=60)
bodies = good_bodies | odd_bodies
names = [
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "Prefer",
    "X-Request-ID",
    "Origin",
    "Content-Encoding",
    "Cookie",
]
header_values = pieces | st.sampled_from(["*", '"2026-11-20T20:53:46.424000Z"', "return=minimal", "gzip", "a" * 300])
headers = st.dictionaries(st.sampled_from(names), header_values, max_size=3)
content_types = st.sampled_from(
    ["application/json"] * 6 + ["application/a+json", "text/plain", "application/json;charset=x"]
)
queries = st.lists(
    st.tuples(
        st.sampled_from(["status", "search", "sort", "sort_by", "order", "sort_order", "limit", "cursor", "x"]),
        pieces | st.sampled_from(["all", "pending", "title", "created", "desc", "1", "1000", "0", "AAAA"]),
    ).map("=".join),
    max_size=3,
).map("&".join)


def target(owner: str, id: int) -> st.SearchStrategy[str]:
    """Paths of the owner's tasks, and what looks like them."""
    ends = st.sampled_from(["", "", f"/{id}", f"/{id}", f"/{id}/complete", f"/{id}/", "/0", "/9999999999999999999"])
    path = st.builds("/api/{}/tasks{}".format, mostly(st.just(owner), pieces), mostly(ends, pieces.map("/{}".format)))
    return st.builds("{}?{}".format, mostly(path, pieces.map("/{}".format)), queries).map(lambda text: text.rstrip("?"))


class Client:
    """One connection that sends what it is given."""

    def __init__(self, server: Server, user: User) -> None:
        address = urlsplit(server.url)
        self.connection = HTTPConnection(address.hostname or "", address.port, timeout=20)
        self.authorization = user.http.headers["Authorization"]
        self.statuses: Counter[int] = Counter()

    def send(self, method: str, target: str, headers: dict[str, str], body: bytes | None) -> None:
        """Send a request and hold its answer to what is documented of every answer."""
        safe = quote(target, safe="%/?&=:;,!*'()[]\"\\{}|^`<>~+$@#")
        given = {"Authorization": self.authorization, **headers}
        self.connection.request(method, safe, body, {name: value.encode("latin-1") for name, value in given.items()})
        response = self.connection.getresponse()
        content = response.read()
        self.statuses[response.status] += 1
        assert response.status in ANSWERS, (response.status, content)
        assert response.getheader("X-Request-ID")
        if response.status >= 400 and method != "HEAD":
            assert response.getheader("Content-Type") == "application/problem+json"
            problem: dict[str, Any] = json.loads(content)
            assert (problem["status"], problem["code"]) == (response.status, PROBLEMS[response.status].code)
            assert ("errors" in problem) == (response.status == 400)


def test_made_up_requests_get_documented_answers(server: Server, alice: User) -> None:
    client = Client(server, alice)
    task = alice.create()

    @effort(500, soak_share=0.6)
    @given(
        method=st.sampled_from(["GET", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "X"]),
        target=target(alice.id, task["id"]),
        headers=headers,
        content_type=content_types,
        body=bodies,
    )
    def check(method: str, target: str, headers: dict[str, str], content_type: str, body: bytes | None) -> None:
        client.send(method, target, {**headers, "Content-Type": content_type}, body)

    check()
    assert {200, 400, 404} <= set(client.statuses)
    assert server.process.poll() is None
    client.connection.close()
