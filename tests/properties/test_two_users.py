"""No sequence of one user's calls changes what another sees; each sees what the contract says."""

from typing import Any
from urllib.parse import urlencode

import httpx
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from typing_extensions import override

from tests.harness import Server, User

Task = dict[str, Any]

WHITE_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2007\u200a\u2028\u2029\u202f\u205f\u3000"
METHODS = [("GET", ""), ("PUT", ""), ("DELETE", ""), ("PATCH", "/complete")]

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
titles = st.text(characters, min_size=1, max_size=30).filter(lambda text: text.strip(WHITE_SPACE))
descriptions = st.none() | st.text(characters, max_size=60)
fields = st.fixed_dictionaries({}, optional={"title": titles, "description": descriptions, "completed": st.booleans()})
sides = st.sampled_from([0, 1])
conditions = st.sampled_from(["none", "any", "current", "among others", "weak", "stale"])
picks = st.integers(0, 30)


class TwoUsers(RuleBasedStateMachine):
    """Two users at the service, beside what each of them must see."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.users = server.user(), server.user()
        self.tasks: tuple[dict[int, Task], dict[int, Task]] = {}, {}
        self.gone: tuple[list[int], list[int]] = [], []
        self.tags: dict[int, list[str]] = {}  # every entity tag that a task ever had, the present one last
        self.keyed: tuple[dict[str, Any], dict[str, Any]] = {}, {}  # what each key was first sent with, and its answer

    @override
    def teardown(self) -> None:
        for user in self.users:
            user.http.close()

    def newest_first(self, side: int) -> list[Task]:
        return sorted(self.tasks[side].values(), key=lambda task: (task["created_at"], task["id"]), reverse=True)

    def pick(self, side: int, pick: int) -> Task:
        return self.newest_first(side)[pick % len(self.tasks[side])]

    def keep(self, side: int, response: httpx.Response) -> None:
        task = response.json()
        self.tasks[side][task["id"]] = task
        self.tags.setdefault(task["id"], []).append(response.headers["etag"])

    def assert_changed(self, side: int, before: Task, response: httpx.Response, **change: Any) -> None:
        after = response.json()
        assert after == {**before, **change, "updated_at": after["updated_at"]}
        assert after["updated_at"] > before["updated_at"]
        assert response.headers["etag"] not in self.tags[before["id"]]
        self.keep(side, response)

    def condition(self, task: Task, which: str) -> tuple[dict[str, str], bool]:
        """The headers of a write under a condition, and whether it holds."""
        *stale, current = self.tags[task["id"]]
        value, holds = {
            "none": (None, True),
            "any": ("*", True),
            "current": (current, True),
            "among others": (f'"x", {current}', True),
            "weak": (f"W/{current}", True),
            "stale": (", ".join(stale) or '"never"', False),
        }[which]
        return ({} if value is None else {"If-Match": value}), holds

    @rule(side=sides, title=titles, more=fields)
    def create(self, side: int, title: str, more: dict[str, Any]) -> None:
        user = self.users[side]
        body = {**more, "title": title}
        response = user.http.post(user.base, json=body)
        task = response.json()

        assert task == {
            "id": task["id"],
            "user_id": user.id,
            "title": title.strip(WHITE_SPACE),
            "description": body.get("description"),
            "completed": body.get("completed", False),
            "created_at": task["created_at"],
            "updated_at": task["created_at"],
        }
        assert task["id"] not in {*self.tasks[0], *self.tasks[1], *self.gone[0], *self.gone[1]}
        self.keep(side, response)

    @rule(side=sides, key=st.sampled_from("abc"), title=st.sampled_from(["one", "two"]), done=st.booleans())
    def create_once(self, side: int, key: str, title: str, *, done: bool) -> None:
        user = self.users[side]
        body = {"title": title, "completed": done}
        response = user.http.post(user.base, json=body, headers={"Idempotency-Key": key})
        if key not in self.keyed[side]:
            assert (response.status_code, "idempotent-replayed" in response.headers) == (201, False)
            self.keyed[side][key] = body, response
            self.keep(side, response)
            return
        first_body, first = self.keyed[side][key]
        if body != first_body:
            assert response.status_code == 422
            return
        assert (response.status_code, response.content) == (201, first.content)
        assert response.headers["idempotent-replayed"] == "true"

    @precondition(lambda self: any(self.tasks))
    @rule(side=sides, pick=picks, change=fields, which=conditions)
    def update(self, side: int, pick: int, change: dict[str, Any], which: str) -> None:
        if not self.tasks[side]:
            side = 1 - side
        user, before = self.users[side], self.pick(side, pick)
        headers, holds = self.condition(before, which)
        response = user.http.put(user.path(before), json=change, headers=headers)
        if not change or not holds:
            assert response.status_code == (412 if change else 400)
            return
        if "title" in change:
            change = {**change, "title": change["title"].strip(WHITE_SPACE)}

        assert response.status_code == 200
        self.assert_changed(side, before, response, **change)

    @precondition(lambda self: any(self.tasks))
    @rule(side=sides, pick=picks, completed=st.sampled_from([None, True, False]), which=conditions)
    def complete(self, side: int, pick: int, completed: bool | None, which: str) -> None:
        if not self.tasks[side]:
            side = 1 - side
        user, before = self.users[side], self.pick(side, pick)
        body = {} if completed is None else {"completed": completed}
        headers, holds = self.condition(before, which)
        response = user.http.patch(f"{user.path(before)}/complete", json=body, headers=headers)

        assert response.status_code == (200 if holds else 412)
        if holds:
            expected = not before["completed"] if completed is None else completed
            self.assert_changed(side, before, response, completed=expected)

    @precondition(lambda self: any(self.tasks))
    @rule(side=sides, pick=picks, which=conditions, minimal=st.booleans())
    def delete(self, side: int, pick: int, which: str, *, minimal: bool) -> None:
        if not self.tasks[side]:
            side = 1 - side
        user, before = self.users[side], self.pick(side, pick)
        headers, holds = self.condition(before, which)
        if minimal:
            headers["Prefer"] = "return=minimal"
        response = user.http.delete(user.path(before), headers=headers)
        if not holds:
            assert response.status_code == 412
            return
        if minimal:
            assert (response.status_code, response.content) == (204, b"")
        else:
            assert (response.status_code, response.json()) == (200, before)
        del self.tasks[side][before["id"]]
        self.gone[side].append(before["id"])

    @precondition(lambda self: any(self.tasks))
    @rule(side=sides, pick=picks)
    def read(self, side: int, pick: int) -> None:
        if not self.tasks[side]:
            side = 1 - side
        user, task = self.users[side], self.pick(side, pick)
        response = user.http.get(user.path(task))
        *stale, current = self.tags[task["id"]]
        known = user.http.get(user.path(task), headers={"If-None-Match": f"W/{current}"})
        unknown = user.http.get(user.path(task), headers={"If-None-Match": ", ".join(stale) or '"never"'})

        assert (response.status_code, response.json(), response.headers["etag"]) == (200, task, current)
        assert (known.status_code, known.content) == (304, b"")
        assert (unknown.status_code, unknown.content) == (200, response.content)

    @rule(
        side=sides,
        status=st.sampled_from(["all", "pending", "completed"]),
        search=st.none() | st.text(st.sampled_from("abAB%_\\ "), max_size=2),
        sort=st.sampled_from(["created_at", "updated_at", "title"]),
        order=st.sampled_from(["asc", "desc"]),
        limit=st.integers(1, 5),
    )
    def walk(self, side: int, **query: Any) -> None:
        user = self.users[side]
        given = {name: value for name, value in query.items() if value is not None}
        found: list[Task] = []
        url: str | None = f"{user.base}?{urlencode(given)}"
        while url is not None:
            response = user.http.get(url)
            assert response.status_code == 200
            found += response.json()
            link = response.headers.get("link")
            assert (link is not None) <= (len(response.json()) == query["limit"])
            url = link and str(response.url.join(link.removeprefix("<").removesuffix('>; rel="next"')))

        assert found == self.expected(side, **query)

    def expected(self, side: int, *, status: str, search: str | None, sort: str, order: str, limit: int) -> list[Task]:
        wanted = {"all": {True, False}, "pending": {False}, "completed": {True}}[status]
        needle = (search or "").lower()
        tasks = [
            task
            for task in self.tasks[side].values()
            if task["completed"] in wanted
            and (needle in task["title"].lower() or needle in (task["description"] or "").lower())
        ]
        return sorted(tasks, key=lambda task: (task[sort].encode().lower(), task["id"]), reverse=order == "desc")

    @precondition(lambda self: any(self.gone))
    @rule(side=sides, pick=picks, what=st.sampled_from(METHODS))
    def revive(self, side: int, pick: int, what: tuple[str, str]) -> None:
        ids = self.gone[side] or self.gone[1 - side]
        method, suffix = what
        user = self.users[side]
        path = f"{user.base}/{ids[pick % len(ids)]}{suffix}"

        assert user.http.request(method, path, json={"title": "Revived", "completed": True}).status_code == 404

    @precondition(lambda self: any(self.tasks))
    @rule(side=sides, pick=picks, what=st.sampled_from(METHODS), by_own_path=st.booleans())
    def trespass(self, side: int, pick: int, what: tuple[str, str], *, by_own_path: bool) -> None:
        if not self.tasks[1 - side]:
            side = 1 - side
        method, suffix = what
        intruder, owner = self.users[side], self.users[1 - side]
        task = self.pick(1 - side, pick)
        path = (intruder if by_own_path else owner).path(task) + suffix
        body = {"title": "Taken", "completed": not task["completed"], "user_id": intruder.id}

        assert intruder.http.request(method, path, json=body).status_code == (404 if by_own_path else 403)

    @rule(side=sides, title=titles)
    def give_away(self, side: int, title: str) -> None:
        giver, taker = self.users[side], self.users[1 - side]

        assert giver.http.post(taker.base, json={"title": title}).status_code == 403
        response = giver.http.post(giver.base, json={"title": title, "user_id": taker.id})
        assert response.json()["user_id"] == giver.id
        self.keep(side, response)

    @invariant()
    def each_sees_their_own_tasks_and_no_others(self) -> None:
        for side, user in enumerate(self.users):
            assert user.http.get(user.base).json() == self.newest_first(side)


def test_two_users_live_side_by_side(server: Server) -> None:
    users: list[User] = []

    class Here(TwoUsers):
        def __init__(self) -> None:
            super().__init__(server)
            users.extend(self.users)

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert len({user.id for user in users}) == len(users) >= 2 * 25
