"""No sequence of one user's calls changes what another sees, and each sees exactly what the contract says."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.harness import Server, User

Task = dict[str, Any]

WHITE_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2007\u200a\u2028\u2029\u202f\u205f\u3000"
METHODS = [("GET", ""), ("PUT", ""), ("DELETE", ""), ("PATCH", "/complete")]

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
titles = st.text(characters, min_size=1, max_size=30).filter(lambda text: text.strip(WHITE_SPACE))
descriptions = st.none() | st.text(characters, max_size=60)
fields = st.fixed_dictionaries({}, optional={"title": titles, "description": descriptions, "completed": st.booleans()})
sides = st.sampled_from([0, 1])
picks = st.integers(0, 30)


class TwoUsers(RuleBasedStateMachine):
    """Two users at the service, beside what each of them must see."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.users = server.user(), server.user()
        self.tasks: tuple[dict[int, Task], dict[int, Task]] = {}, {}
        self.gone: tuple[list[int], list[int]] = [], []

    def teardown(self) -> None:
        for user in self.users:
            user.http.close()

    def newest_first(self, side: int) -> list[Task]:
        return sorted(self.tasks[side].values(), key=lambda task: (task["created_at"], task["id"]), reverse=True)

    def pick(self, side: int, pick: int) -> Task:
        return self.newest_first(side)[pick % len(self.tasks[side])]

    def keep(self, side: int, task: Task) -> None:
        self.tasks[side][task["id"]] = task

    def assert_changed(self, side: int, before: Task, after: Task, **change: Any) -> None:
        assert after == {**before, **change, "updated_at": after["updated_at"]}
        assert after["updated_at"] > before["updated_at"]
        self.keep(side, after)

    @rule(side=sides, title=titles, more=fields)
    def create(self, side: int, title: str, more: dict[str, Any]) -> None:
        user = self.users[side]
        body = {**more, "title": title}
        task = user.http.post(user.base, json=body).json()

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
        self.keep(side, task)

    @precondition(lambda self: any(self.tasks))
    @rule(side=sides, pick=picks, change=fields)
    def update(self, side: int, pick: int, change: dict[str, Any]) -> None:
        if not self.tasks[side]:
            side = 1 - side
        user, before = self.users[side], self.pick(side, pick)
        response = user.http.put(user.path(before), json=change)
        if not change:
            assert response.status_code == 400
            return
        if "title" in change:
            change = {**change, "title": change["title"].strip(WHITE_SPACE)}

        assert response.status_code == 200
        self.assert_changed(side, before, response.json(), **change)

    @precondition(lambda self: any(self.tasks))
    @rule(side=sides, pick=picks, completed=st.sampled_from([None, True, False]))
    def complete(self, side: int, pick: int, completed: bool | None) -> None:
        if not self.tasks[side]:
            side = 1 - side
        user, before = self.users[side], self.pick(side, pick)
        body = {} if completed is None else {"completed": completed}
        response = user.http.patch(f"{user.path(before)}/complete", json=body)

        assert response.status_code == 200
        expected = not before["completed"] if completed is None else completed
        self.assert_changed(side, before, response.json(), completed=expected)

    @precondition(lambda self: any(self.tasks))
    @rule(side=sides, pick=picks)
    def delete(self, side: int, pick: int) -> None:
        if not self.tasks[side]:
            side = 1 - side
        user, before = self.users[side], self.pick(side, pick)
        response = user.http.delete(user.path(before))

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

        assert (response.status_code, response.json()) == (200, task)

    @rule(side=sides, status=st.sampled_from(["all", "pending", "completed"]), limit=st.none() | st.integers(1, 5))
    def choose(self, side: int, status: str, limit: int | None) -> None:
        wanted = {"all": {True, False}, "pending": {False}, "completed": {True}}[status]
        expected = [task for task in self.newest_first(side) if task["completed"] in wanted][:limit]
        user = self.users[side]
        parameters: dict[str, str | int] = {"status": status, **({} if limit is None else {"limit": limit})}

        assert user.http.get(user.base, params=parameters).json() == expected

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
        task = giver.http.post(giver.base, json={"title": title, "user_id": taker.id}).json()
        assert task["user_id"] == giver.id
        self.keep(side, task)

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
