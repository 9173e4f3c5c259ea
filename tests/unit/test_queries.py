"""Every statement run both ways, by a SQLModel session and by our pool, and compared."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import psycopg
import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from tests.db.scenes import new_pool
from todo_api import migrations, queries
from todo_api.db import Value, compile_statement
from todo_api.migrations import engine_for
from todo_api.migrations.state import SELECT_SCHEMA_STATE
from todo_api.models import Task
from todo_api.routes.search_pattern import search_pattern

KEYS = ["id", "user_id", "title", "description", "completed", "created_at", "updated_at"]
Answer = list[dict[str, Any]]
Way = Callable[..., Answer]
Stored = Callable[..., dict[str, Any]]
Look = Callable[[], Answer]


def rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def as_dict(task: Task) -> dict[str, Any]:
    """A ``Task`` as clients see it."""
    times = {"created_at": rfc3339(task.created_at), "updated_at": rfc3339(task.updated_at)}
    return {name: times.get(name, getattr(task, name)) for name in KEYS}


def through_session(engine: Engine) -> Way:
    def run(statement: Any, **values: Value) -> Answer:
        with Session(engine) as session:
            found = session.exec(statement, params=values).all()
            tasks = [as_dict(row if isinstance(row, Task) else row[0]) for row in found]
            session.commit()
        return tasks

    return run


def through_database(url: str) -> Way:
    def run(statement: Any, *, owner: str, **values: Value) -> Answer:
        async def once() -> Answer:
            database = new_pool(url)
            try:
                rows = await database.run(compile_statement(statement), owner, **values)
            finally:
                await database.close()
            tasks = [dict(zip(KEYS, row, strict=True)) for row in rows]
            for task in tasks:
                task.update({name: rfc3339(task[name]) for name in ("created_at", "updated_at")})
            return tasks

        return asyncio.run(once())

    return run


@pytest.fixture(scope="module")
def ways(worker_database: str) -> Iterator[dict[str, Way]]:
    engine = engine_for(worker_database)
    yield {"session": through_session(engine), "database": through_database(worker_database)}
    engine.dispose()


@pytest.fixture(params=["session", "database"])
def run(request: pytest.FixtureRequest, ways: dict[str, Way]) -> Way:
    """One of the two ways."""
    return ways[request.param]


@pytest.fixture
def owner() -> str:
    return f"user{secrets.token_hex(14)}"


@pytest.fixture
def look(ways: dict[str, Way], owner: str) -> Look:
    """All of the owner's tasks, each of which both ways must show alike."""

    def look() -> Answer:
        tasks = ways["database"](queries.select_tasks(), owner=owner, limit=1000)
        for task in tasks:
            assert ways["session"](queries.SELECT_TASK, owner=owner, task_id=task["id"]) == [task]
        return tasks

    return look


@pytest.fixture
def stored(ways: dict[str, Way], owner: str) -> Stored:
    """Makes a task of the owner's for a test of something else."""

    def stored(title: str = "Buy milk", **more: Any) -> dict[str, Any]:
        return create(ways["database"], owner, title, **more)

    return stored


def create(run: Way, owner: str, title: str = "Buy milk", **more: Value) -> dict[str, Any]:
    given: dict[str, Value] = {"email": None, "name": None, "description": None, "completed": False, **more}
    (task,) = run(queries.INSERT_TASK, owner=owner, title=title, **given)
    return task


def update(run: Way, owner: str, id: int, **more: Value) -> Answer:
    given: dict[str, Value] = {"title": None, "description": None, "completed": None, **more}
    return run(queries.UPDATE_TASK, owner=owner, task_id=id, set_description="description" in more, **given)


def user_row(url: str, owner: str) -> Any:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT email, name, created_at FROM users WHERE id = %s", [owner]).fetchone()


class TestInsert:
    def test_task_is_answered_and_stored(self, run: Way, owner: str, look: Look) -> None:
        task = create(run, owner, "Buy milk", description="Two litres", completed=True)

        assert list(task) == KEYS
        assert (task["user_id"], task["title"], task["description"], task["completed"]) == (
            owner,
            "Buy milk",
            "Two litres",
            True,
        )
        assert task["updated_at"] == task["created_at"]
        assert look() == [task]

    def test_any_text_survives(self, run: Way, owner: str, look: Look) -> None:
        text = "'; DROP TABLE tasks; -- \" \\ \b\f\n\r\t\x01\x7f \u2028 é 😀 $1 %s :owner {}"
        task = create(run, owner, text, description=text)

        assert (task["title"], task["description"]) == (text, text)
        assert look() == [task]

    def test_new_user_is_written_down(self, run: Way, owner: str, worker_database: str) -> None:
        task = create(run, owner, email="ada@example.com", name="Ada")
        email, name, created_at = user_row(worker_database, owner)

        assert (email, name, rfc3339(created_at)) == ("ada@example.com", "Ada", task["created_at"])

    def test_user_without_email_and_name_is_written_down(self, run: Way, owner: str, worker_database: str) -> None:
        create(run, owner)

        assert user_row(worker_database, owner)[:2] == (None, None)

    def test_unchanged_user_is_not_written_again(self, run: Way, owner: str, worker_database: str) -> None:
        def version() -> Any:
            with psycopg.connect(worker_database) as connection:
                return connection.execute("SELECT xmin, ctid FROM users WHERE id = %s", [owner]).fetchone()

        create(run, owner, email="ada@example.com", name="Ada")
        before = version()
        create(run, owner, email="ada@example.com", name="Ada")
        create(run, owner, name="Ada")
        create(run, owner)

        assert version() == before

    @pytest.mark.parametrize(
        ("claims", "expected"),
        [
            ({"email": "new@example.com", "name": "New"}, ("new@example.com", "New")),
            ({"email": "new@example.com"}, ("new@example.com", "Ada")),
            ({"name": "New"}, ("ada@example.com", "New")),
            ({}, ("ada@example.com", "Ada")),
            ({"email": "", "name": ""}, ("", "")),
        ],
    )
    def test_user_is_refreshed_and_keeps_what_is_not_mentioned(
        self, run: Way, owner: str, worker_database: str, claims: dict[str, str], expected: tuple[str, str]
    ) -> None:
        create(run, owner, email="ada@example.com", name="Ada")
        created_at = user_row(worker_database, owner)[2]
        create(run, owner, **claims)

        assert user_row(worker_database, owner) == (*expected, created_at)

    def test_two_users_may_share_an_email_address(self, run: Way, owner: str, worker_database: str) -> None:
        for user in (owner, f"{owner}2"):
            create(run, user, email="same@example.com")

        assert user_row(worker_database, owner)[0] == user_row(worker_database, f"{owner}2")[0] == "same@example.com"

    def test_ids_increase(self, run: Way, owner: str) -> None:
        ids = [create(run, owner)["id"] for _ in range(3)]

        assert ids == sorted(set(ids))


class TestSelect:
    def test_both_ways_answer_the_same_task(self, stored: Stored, ways: dict[str, Way], owner: str) -> None:
        task = stored(description="Two litres", completed=True)
        answers = [way(queries.SELECT_TASK, owner=owner, task_id=task["id"]) for way in ways.values()]

        assert answers == [[task], [task]]

    def test_keys_come_in_the_documented_order(self, stored: Stored, run: Way, owner: str) -> None:
        task = stored()
        (found,) = run(queries.SELECT_TASK, owner=owner, task_id=task["id"])

        assert list(found) == KEYS

    @pytest.mark.parametrize("id", [0, -1, 2**63 - 1])
    def test_id_that_names_no_task_answers_nothing(self, run: Way, owner: str, id: int) -> None:
        assert run(queries.SELECT_TASK, owner=owner, task_id=id) == []

    def test_task_of_another_owner_answers_nothing(self, stored: Stored, run: Way, owner: str) -> None:
        task = stored()

        assert run(queries.SELECT_TASK, owner="mallory", task_id=task["id"]) == []


class TestList:
    def test_tasks_come_newest_first_and_the_id_decides_ties(
        self, stored: Stored, run: Way, owner: str, worker_database: str, look: Look
    ) -> None:
        ids = [stored(f"Task {number}")["id"] for number in range(5)]
        with psycopg.connect(worker_database) as connection:
            connection.execute(
                "UPDATE tasks SET created_at = '2020-01-01', updated_at = '2020-01-01' WHERE id = ANY(%s)", [ids[1:4]]
            )

        assert [task["id"] for task in look()] == [ids[4], ids[0], ids[3], ids[2], ids[1]]

    @pytest.mark.parametrize(("completed", "titles"), [(None, ["c", "b", "a"]), (True, ["b"]), (False, ["c", "a"])])
    def test_completed_filters(
        self, stored: Stored, run: Way, owner: str, completed: bool | None, titles: list[str]
    ) -> None:
        for title in "abc":
            stored(title, completed=title == "b")
        statement = queries.select_tasks(by_completed=completed is not None)
        found = run(statement, owner=owner, completed=completed, limit=1000)

        assert [task["title"] for task in found] == titles

    @pytest.mark.parametrize(("offset", "titles"), [(0, ["c", "b"]), (1, ["b", "a"]), (2, ["a"]), (3, [])])
    def test_offset_leaves_out_the_newest(
        self, stored: Stored, run: Way, owner: str, offset: int, titles: list[str]
    ) -> None:
        for title in "abc":
            stored(title)
        found = run(queries.select_tasks(start="offset"), owner=owner, offset=offset, limit=2)

        assert [task["title"] for task in found] == titles

    @pytest.mark.parametrize(("limit", "titles"), [(0, []), (1, ["c"]), (2, ["c", "b"]), (3, ["c", "b", "a"])])
    def test_limit_takes_the_newest(self, stored: Stored, run: Way, owner: str, limit: int, titles: list[str]) -> None:
        for title in "abc":
            stored(title)
        found = run(queries.select_tasks(), owner=owner, limit=limit)

        assert [task["title"] for task in found] == titles

    def test_list_holds_what_selecting_answers(self, stored: Stored, run: Way, owner: str, look: Look) -> None:
        ids = [stored()["id"] for _ in range(2)]

        assert look() == [run(queries.SELECT_TASK, owner=owner, task_id=id)[0] for id in ids[::-1]]

    def test_tasks_of_others_are_not_listed(self, stored: Stored, run: Way, owner: str) -> None:
        stored()

        assert run(queries.select_tasks(), owner="mallory", limit=1000) == []


class TestUpdate:
    @pytest.mark.parametrize(
        "change",
        [
            {"title": "New"},
            {"description": "New"},
            {"description": ""},
            {"description": None},
            {"completed": True},
            {"completed": False},
            {"title": "New", "completed": False},
            {"title": "New", "description": None, "completed": False},
        ],
    )
    def test_named_fields_change_and_no_others(
        self, stored: Stored, run: Way, owner: str, look: Look, change: dict[str, Value]
    ) -> None:
        task = stored("Old", description="Old", completed=True)
        (updated,) = update(run, owner, task["id"], **change)

        assert updated == {**task, **change, "updated_at": updated["updated_at"]}
        assert updated["updated_at"] > task["updated_at"]
        assert look() == [updated]

    def test_updated_at_increases_even_when_the_clock_was_set_back(
        self, stored: Stored, run: Way, owner: str, worker_database: str
    ) -> None:
        task = stored()
        with psycopg.connect(worker_database) as connection:
            connection.execute("UPDATE tasks SET updated_at = '2999-01-01T00:00:00Z' WHERE id = %s", [task["id"]])
        moments = [update(run, owner, task["id"], title="New")[0]["updated_at"] for _ in range(2)]

        assert moments == ["2999-01-01T00:00:00.000001Z", "2999-01-01T00:00:00.000002Z"]

    def test_task_of_another_owner_stays_as_it_is(self, stored: Stored, run: Way, owner: str, look: Look) -> None:
        task = stored()

        assert update(run, "mallory", task["id"], title="Stolen") == []
        assert look() == [task]

    def test_other_tasks_stay_as_they_are(self, stored: Stored, run: Way, owner: str, look: Look) -> None:
        task, other = stored(), stored()
        (updated,) = update(run, owner, task["id"], title="New")

        assert look() == [other, updated]


class TestComplete:
    def test_none_toggles(self, stored: Stored, run: Way, owner: str, look: Look) -> None:
        task = stored()
        once, twice = (run(queries.COMPLETE_TASK, owner=owner, task_id=task["id"], completed=None)[0] for _ in range(2))

        assert once == {**task, "completed": True, "updated_at": once["updated_at"]}
        assert twice == {**task, "updated_at": twice["updated_at"]}
        assert task["updated_at"] < once["updated_at"] < twice["updated_at"]
        assert look() == [twice]

    @pytest.mark.parametrize("completed", [True, False])
    @pytest.mark.parametrize("before", [True, False])
    def test_value_sets(self, stored: Stored, run: Way, owner: str, before: bool, completed: bool) -> None:
        task = stored(completed=before)
        (found,) = run(queries.COMPLETE_TASK, owner=owner, task_id=task["id"], completed=completed)

        assert found == {**task, "completed": completed, "updated_at": found["updated_at"]}

    @pytest.mark.parametrize("completed", [None, True])
    def test_task_of_another_owner_stays_as_it_is(
        self, stored: Stored, run: Way, owner: str, look: Look, completed: bool | None
    ) -> None:
        task = stored()

        assert run(queries.COMPLETE_TASK, owner="mallory", task_id=task["id"], completed=completed) == []
        assert look() == [task]


class TestDelete:
    def test_task_is_answered_as_it_was_and_gone(self, stored: Stored, run: Way, owner: str, look: Look) -> None:
        task, other = stored(), stored()

        assert run(queries.DELETE_TASK, owner=owner, task_id=task["id"]) == [task]
        assert run(queries.DELETE_TASK, owner=owner, task_id=task["id"]) == []
        assert look() == [other]

    def test_task_of_another_owner_stays(self, stored: Stored, run: Way, owner: str, look: Look) -> None:
        task = stored()

        assert run(queries.DELETE_TASK, owner="mallory", task_id=task["id"]) == []
        assert look() == [task]


CONDITIONAL: dict[str, tuple[Any, dict[str, Value]]] = {
    "update": (
        queries.UPDATE_UNCHANGED_TASK,
        {"title": None, "description": None, "set_description": False, "completed": None},
    ),
    "complete": (queries.COMPLETE_UNCHANGED_TASK, {"completed": None}),
    "delete": (queries.DELETE_UNCHANGED_TASK, {}),
}


def version(task: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(task["updated_at"])


@pytest.mark.parametrize("write", CONDITIONAL)
class TestUnlessChanged:
    """The same writes under a precondition: the versions that they may replace."""

    def test_named_version_is_written(self, stored: Stored, run: Way, look: Look, write: str) -> None:
        task, other = stored(), stored()
        statement, values = CONDITIONAL[write]
        versions = [version(other), version(task)]
        (written,) = run(statement, owner=task["user_id"], task_id=task["id"], versions=versions, **values)

        assert written["id"] == task["id"]
        assert look() == ([other] if write == "delete" else [other, written])

    def test_other_version_stays_and_answers_a_row_without_a_task(
        self, stored: Stored, look: Look, worker_database: str, write: str
    ) -> None:
        task = stored()
        statement, values = CONDITIONAL[write]
        stale = [version(task) - timedelta(microseconds=1)]
        with Session(engine_for(worker_database)) as session:
            for versions in (stale, []):
                given = {"owner": task["user_id"], "task_id": task["id"], "versions": versions, **values}
                assert session.exec(statement, params=given).all() == [None]

        assert look() == [task]

    @pytest.mark.parametrize("absent", ["another's", "gone"])
    def test_absent_task_answers_nothing(self, stored: Stored, run: Way, look: Look, write: str, absent: str) -> None:
        task = stored()
        statement, values = CONDITIONAL[write]
        who, id = ("mallory", task["id"]) if absent == "another's" else (task["user_id"], 0)

        assert run(statement, owner=who, task_id=id, versions=[version(task)], **values) == []
        assert look() == [task]


class TestInsertOnce:
    def values(self, owner: str, attempt: str, title: str = "Buy milk") -> dict[str, Any]:
        return {
            "owner": owner, "key": "k", "payload_digest": title, "attempt": attempt, "email": "ada@example.com",
            "name": None, "title": title, "description": None, "completed": False,
        }  # fmt: skip

    def test_session_creates_once(self, owner: str, look: Look, worker_database: str) -> None:
        engine = engine_for(worker_database)
        answers = []
        for attempt, title in (("1", "Buy milk"), ("2", "Buy milk"), ("3", "Another")):
            with Session(engine) as session:
                row = session.execute(queries.INSERT_TASK_ONCE, self.values(owner, attempt, title)).one()
                session.commit()
            answers.append(tuple(row))
        (task,) = look()

        assert [answer[0] for answer in answers] == [task["id"]] * 3
        assert [answer[-2:] for answer in answers] == [(True, True), (True, False), (False, False)]
        assert rfc3339(answers[1][-4]) == task["created_at"] == task["updated_at"]
        assert user_row(worker_database, owner)[0] == "ada@example.com"


class TestLists:
    @pytest.mark.parametrize("continued", [False, True])
    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("sort", queries.SORT_KEYS)
    def test_both_ways_answer_the_same_list(
        self, stored: Stored, ways: dict[str, Way], owner: str, sort: str, *, descending: bool, continued: bool
    ) -> None:
        tasks = [stored(title) for title in ("b", "A", "a", "c")]
        key = "a" if sort == "title" else datetime.fromisoformat(tasks[1]["created_at"])
        after: dict[str, Any] = {"after_key": key, "after_id": tasks[1]["id"]} if continued else {}
        start: Literal["first", "cursor"] = "cursor" if continued else "first"
        statement = queries.select_tasks(sort, descending=descending, start=start)
        answers = [way(statement, owner=owner, limit=10, **after) for way in ways.values()]
        names = ["A", "a", "b", "c"] if sort == "title" else ["b", "A", "a", "c"]
        names = names[::-1] if descending else names

        assert answers[0] == answers[1]
        assert [task["title"] for task in answers[0]] == (names[names.index("A") + 1 :] if continued else names)

    def test_search_is_ordinary_text(self, stored: Stored, run: Way, owner: str) -> None:
        for title in ("100%", "100", "a_b", "acb", "\\"):
            stored(title)
        for search in ("%", "_", "\\"):
            statement = queries.select_tasks(by_search=True)
            found = run(statement, owner=owner, search=search_pattern(search), limit=10)

            assert len(found) == 1


class TestTimes:
    @pytest.mark.parametrize(
        ("kept", "shown"),
        [
            ("2026-11-20T20:53:46Z", "2026-11-20T20:53:46.000000Z"),
            ("2026-11-20T20:53:46.4Z", "2026-11-20T20:53:46.400000Z"),
            ("2026-07-01T00:00:00.000001+02:00", "2026-06-30T22:00:00.000001Z"),
            ("0999-01-01T00:00:00Z", "0999-01-01T00:00:00.000000Z"),
        ],
    )
    def test_every_time_is_utc_with_six_fractional_digits(
        self, stored: Stored, look: Look, worker_database: str, kept: str, shown: str
    ) -> None:
        task = stored()
        with psycopg.connect(worker_database) as connection:
            connection.execute(
                "UPDATE tasks SET created_at = %s, updated_at = %s WHERE id = %s", [kept, kept, task["id"]]
            )
        (found,) = look()

        assert (found["created_at"], found["updated_at"]) == (shown, shown)

    def test_time_zone_of_the_database_does_not_show(self, database: str) -> None:
        before = create(through_database(database), "ada")
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {connection.info.dbname} SET timezone = 'Asia/Kolkata'")
            connection.execute(f"ALTER DATABASE {connection.info.dbname} SET datestyle = 'SQL, DMY'")

        assert through_database(database)(queries.SELECT_TASK, owner="ada", task_id=before["id"]) == [before]


class TestSchemaState:
    def state(self, url: str, head: str) -> list[Any]:
        async def once() -> list[Any]:
            database = new_pool(url)
            try:
                return await database.run(compile_statement(SELECT_SCHEMA_STATE), "", head=head)
            finally:
                await database.close()

        return asyncio.run(once())

    def test_migrated_database_is_at_head_and_protected(self, worker_database: str) -> None:
        with psycopg.connect(worker_database) as connection:
            (head,) = connection.execute("SELECT version_num FROM todo_api_version").fetchone() or ("",)

        assert self.state(worker_database, head) == [(True, True, "UTF8", False)]

    def test_other_head_is_noticed(self, worker_database: str) -> None:
        assert self.state(worker_database, "9999") == [(False, True, "UTF8", False)]

    @pytest.mark.parametrize("table", ["users", "tasks", "idempotency_keys"])
    def test_missing_row_level_security_is_noticed(self, database: str, table: str) -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")

        assert self.state(database, migrations.head()) == [(True, False, "UTF8", False)]

    def test_both_ways_answer_the_same_about_the_head(self, worker_database: str) -> None:
        engine = engine_for(worker_database)
        with Session(engine) as session:
            heads = [
                session.execute(SELECT_SCHEMA_STATE, {"head": head}).one().at_head
                for head in (migrations.head(), "9999")
            ]

        assert heads == [True, False]
