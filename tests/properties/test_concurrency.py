"""Many at once: no update is lost, toggles cancel out, and walks see what stays exactly once."""

import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.harness import Server, User

NEXT = re.compile(r'<([^>]*)>; rel="next"')


def at_once(server: Server, user: User, *works: Callable[[User], Any]) -> list[Any]:
    """What each work comes to, all begun together, each with a connection of its own."""
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[User], Any]) -> Any:
        with httpx.Client(base_url=server.url, headers=user.http.headers, timeout=20) as client:
            client.get("/health")  # connected
            barrier.wait(10)
            return work(User(user.id, client))

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def test_8_writers_who_each_read_and_write_under_a_condition_lose_no_update(server: Server, alice: User) -> None:
    task = alice.create("0")
    additions = 12

    def add(user: User) -> int:
        rejected = 0
        for _ in range(additions):
            while True:
                read = user.http.get(user.path(task))
                body = {"title": str(int(read.json()["title"]) + 1)}
                written = user.http.put(user.path(task), json=body, headers={"If-Match": read.headers["etag"]})
                if written.status_code == 200:
                    break
                assert written.status_code == 412
                rejected += 1
        return rejected

    rejected = at_once(server, alice, *[add] * 8)

    assert alice.http.get(alice.path(task)).json()["title"] == str(8 * additions)
    assert sum(rejected) > 0


def test_of_many_deletes_of_one_version_one_succeeds(server: Server, alice: User) -> None:
    for _ in range(10):
        task = alice.create()
        tag = alice.http.get(alice.path(task)).headers["etag"]

        def delete(user: User, task: Any = task, tag: str = tag) -> int:
            return user.http.delete(user.path(task), headers={"If-Match": tag}).status_code

        statuses = at_once(server, alice, *[delete] * 4)
        assert statuses.count(200) == 1
        assert set(statuses) <= {200, 404, 412}


@pytest.mark.parametrize("toggles", [2, 5])
def test_concurrent_toggles_all_count(server: Server, alice: User, toggles: int) -> None:
    task = alice.create()
    for _ in range(15):
        before = alice.http.get(alice.path(task)).json()

        def toggle(user: User) -> str:
            moment: str = user.http.patch(f"{user.path(task)}/complete").json()["updated_at"]
            return moment

        moments = at_once(server, alice, *[toggle] * toggles)
        after = alice.http.get(alice.path(task)).json()

        assert after["completed"] is (before["completed"] ^ bool(toggles % 2))
        assert len(set(moments)) == toggles


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("sort", ["created_at", "updated_at", "title"])
def test_walk_while_others_write_sees_every_untouched_task_exactly_once(
    server: Server, alice: User, sort: str, order: str
) -> None:
    chance = random.Random(f"{sort} {order}")
    stable: list[dict[str, Any]] = []
    moving: list[dict[str, Any]] = []
    for number in range(60):
        task = alice.create(f"{chance.choice('abcXYZ')}{number % 7}")
        (stable if number % 2 else moving).append(task)
    done = threading.Event()

    def disturb(user: User) -> None:
        while not done.is_set():
            task = moving.pop(chance.randrange(len(moving)))
            if chance.random() < 0.4:
                user.http.delete(user.path(task))
                moving.append(user.create(f"{chance.choice('abcXYZ')}{chance.randrange(9)}"))
            else:
                moving.append(user.http.put(user.path(task), json={"title": f"{chance.choice('abcXYZ')}"}).json())

    def walk(user: User) -> list[int]:
        try:
            walks = []
            for limit in (3, 7, 5):
                url: str | None = f"{user.base}?sort={sort}&order={order}&limit={limit}"
                while url is not None:
                    response = user.http.get(url)
                    walks += [task["id"] for task in response.json()]
                    match = NEXT.fullmatch(response.headers.get("link", ""))
                    url = match and str(response.url.join(match[1]))
            return walks
        finally:
            done.set()

    _, seen = at_once(server, alice, disturb, walk)
    times = Counter(seen)

    assert {times[task["id"]] for task in stable} == {3}
