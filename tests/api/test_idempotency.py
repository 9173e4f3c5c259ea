"""A create with an ``Idempotency-Key`` makes one task, however often and wherever it is sent."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import psycopg
import pytest

from tests.api.test_tasks import assert_invalid, assert_problem
from tests.harness import Server, User, serving
from tests.proxies import Proxy, proxying, url_through

BODY = {"title": "Buy milk", "description": "Two litres", "completed": True}
REPLAYED = "idempotent-replayed"


def create(user: User, key: str, body: Any = BODY) -> httpx.Response:
    """A create with a key."""
    return user.http.post(user.base, json=body, headers={"Idempotency-Key": key})


def count(user: User) -> int:
    """How many tasks the user has."""
    return len(user.http.get(user.base).json())


def keys(url: str, user: User) -> set[str]:
    """The keys that are remembered of a user."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT key FROM idempotency_keys WHERE user_id = %s", [user.id]).fetchall()
    return {key for (key,) in rows}


def age(url: str, user: User, key: str, hours: float) -> None:
    """Let a key be older than it is."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "UPDATE idempotency_keys SET created_at = now() - %s * interval '1 hour' WHERE user_id = %s AND key = %s",
            [hours, user.id, key],
        )


class TestRepetition:
    def test_it_answers_what_was_answered_first_and_creates_nothing(self, alice: User) -> None:
        first = create(alice, "k")
        again = [create(alice, "k") for _ in range(3)]

        assert first.status_code == 201
        assert REPLAYED not in first.headers
        for response in again:
            assert (response.status_code, response.content) == (201, first.content)
            assert response.headers[REPLAYED] == "true"
            assert response.headers["location"] == first.headers["location"]
            assert response.headers["etag"] == first.headers["etag"]
        assert count(alice) == 1

    def test_it_does_so_after_the_task_was_changed_and_deleted(self, alice: User) -> None:
        first = create(alice, "k")
        alice.http.put(alice.path(first.json()), json={"title": "Changed"})
        assert create(alice, "k").content == first.content
        alice.http.delete(alice.path(first.json()))

        assert create(alice, "k").content == first.content
        assert count(alice) == 0

    @pytest.mark.parametrize(
        "body",
        [
            {**BODY, "title": "Buy bread"},
            {**BODY, "description": None},
            {**BODY, "description": ""},
            {**BODY, "completed": False},
            {"title": "Buy milk"},
        ],
    )
    def test_another_payload_answers_422_and_creates_nothing(self, alice: User, body: Any) -> None:
        first = create(alice, "k")

        assert_problem(create(alice, "k", body), 422, "idempotency_key_reused")
        assert create(alice, "k").content == first.content
        assert count(alice) == 1

    def test_payload_is_compared_as_it_was_understood(self, alice: User) -> None:
        first = create(alice, "k", {"title": "Buy milk", "completed": False})

        for same in ({"title": " Buy milk "}, {"title": "Buy milk", "description": None, "unknown": 1}):
            assert create(alice, "k", same).content == first.content

    def test_it_is_logged_as_created_once(self, alice: User, server: Server) -> None:
        for _ in range(3):
            create(alice, "k")

        assert len(server.log(event="task.created", user_id=alice.id)) == 1

    def test_rejected_create_does_not_use_its_key_up(self, alice: User) -> None:
        assert create(alice, "k", {"title": ""}).status_code == 400
        response = create(alice, "k")

        assert response.status_code == 201
        assert REPLAYED not in response.headers


class TestKey:
    @pytest.mark.parametrize("key", ["a", "k" * 255, '"quoted"', "!~,;=", "5b2e-4c"])
    def test_visible_ascii_is_a_key(self, alice: User, key: str) -> None:
        first = create(alice, key)

        assert create(alice, key).content == first.content

    @pytest.mark.parametrize("key", ["", "k" * 256, "a b", "é".encode().decode("latin-1")])
    def test_anything_else_answers_400(self, alice: User, key: str) -> None:
        response = alice.http.post(alice.base, json=BODY, headers=[(b"Idempotency-Key", key.encode("latin-1"))])

        assert_invalid(response, ("Idempotency-Key", "must be 1 to 255 visible ASCII characters"))
        assert count(alice) == 0

    def test_two_lines_of_it_answer_400(self, alice: User) -> None:
        headers = [*alice.http.headers.items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]

        assert alice.http.post(alice.base, json=BODY, headers=headers).status_code == 400

    def test_each_user_has_their_own(self, alice: User, bob: User) -> None:
        hers, his = create(alice, "k"), create(bob, "k", {"title": "Another"})

        assert (hers.status_code, his.status_code) == (201, 201)
        assert (count(alice), count(bob)) == (1, 1)

    def test_case_matters(self, alice: User) -> None:
        create(alice, "k")
        create(alice, "K")

        assert count(alice) == 2

    def test_other_endpoints_ignore_it(self, alice: User) -> None:
        task = alice.create()
        for title in ("a", "b"):
            response = alice.http.put(alice.path(task), json={"title": title}, headers={"Idempotency-Key": "k"})

            assert response.json()["title"] == title


@pytest.fixture(scope="module")
def two(server: Server, worker_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two processes on one database."""
    with serving(tmp_path_factory.mktemp("second"), DATABASE_URL=worker_database) as second:
        yield [server, second]


class TestManyAtOnce:
    def send(self, two: list[Server], user: User, bodies: list[Any]) -> list[httpx.Response]:
        """Creates with one key, all at once, by turns to each process."""
        with ExitStack() as stack:
            clients = [
                stack.enter_context(httpx.Client(base_url=two[number % 2].url, headers=user.http.headers, timeout=20))
                for number in range(len(bodies))
            ]
            for client in clients:
                client.get("/health")  # connected
            pool = stack.enter_context(ThreadPoolExecutor(len(bodies)))
            return list(pool.map(lambda client, body: create(User(user.id, client), "k", body), clients, bodies))

    def test_one_key_creates_one_task(self, two: list[Server], alice: User) -> None:
        responses = self.send(two, alice, [BODY] * 48)

        assert {response.status_code for response in responses} == {201}
        assert len({response.content for response in responses}) == 1
        assert sum(REPLAYED not in response.headers for response in responses) == 1
        assert count(alice) == 1

    def test_two_payloads_with_one_key_create_one_task(self, two: list[Server], alice: User) -> None:
        bodies = [{"title": f"Task {number % 2}"} for number in range(24)]
        responses = self.send(two, alice, bodies)
        (task,) = alice.http.get(alice.base).json()

        for body, response in zip(bodies, responses, strict=True):
            assert response.status_code == (201 if body["title"] == task["title"] else 422)


class TestLostConnection:
    """The connection to the database ends between the create and its answer."""

    @pytest.fixture(scope="module")
    @staticmethod
    def proxy(worker_database: str) -> Iterator[Proxy]:
        with proxying(worker_database) as proxy:
            yield proxy

    @pytest.fixture(scope="module")
    @staticmethod
    def behind(proxy: Proxy, worker_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
        url = url_through(proxy.port, worker_database)
        with serving(tmp_path_factory.mktemp("behind"), DATABASE_URL=url) as server:
            yield server

    @pytest.mark.parametrize("answer_bytes", [0, 1, 60, 200])
    def test_with_a_key_the_service_itself_repeats_it(
        self, behind: Server, proxy: Proxy, alice: User, answer_bytes: int
    ) -> None:
        user = behind.user(alice.id)
        count(user)  # connected
        proxy.cut_after(answer_bytes)
        response = create(user, "k")

        assert response.status_code == 201
        assert REPLAYED not in response.headers
        assert alice.http.get(alice.base).json() == [response.json()]
        assert len(behind.log(event="task.created", user_id=alice.id)) == 1
        assert create(user, "k").content == response.content

    def test_without_a_key_it_answers_503_and_the_task_is_there_at_most_once(
        self, behind: Server, proxy: Proxy, alice: User
    ) -> None:
        user = behind.user(alice.id)
        count(user)
        proxy.cut_after(0)
        response = user.http.post(user.base, json=BODY)

        assert_problem(response, 503, "unavailable")
        assert response.headers["retry-after"] == "1"
        assert count(alice) <= 1


class TestOldKeys:
    def test_they_leave_with_the_next_keyed_create_after_24_hours(self, alice: User, worker_database: str) -> None:
        ages = {"young": 23.9, "old": 24.1, "older": 1000}
        for key in ages:
            create(alice, key)
        for key, hours in ages.items():
            age(worker_database, alice, key, hours)
        alice.create("without a key")
        assert keys(worker_database, alice) == {"young", "old", "older"}
        create(alice, "new")

        assert keys(worker_database, alice) == {"young", "new"}

    def test_those_of_other_users_stay(self, alice: User, bob: User, worker_database: str) -> None:
        create(bob, "old")
        age(worker_database, bob, "old", 1000)
        create(alice, "new")

        assert keys(worker_database, bob) == {"old"}

    def test_old_key_that_is_still_there_is_still_honoured(self, alice: User, worker_database: str) -> None:
        create(alice, "k")
        age(worker_database, alice, "k", 1000)
        first = create(alice, "k")

        assert create(alice, "k").content == first.content
        assert count(alice) == 1

    def test_forgotten_key_creates_again(self, alice: User, worker_database: str) -> None:
        create(alice, "k")
        age(worker_database, alice, "k", 25)
        create(alice, "other")
        response = create(alice, "k")

        assert REPLAYED not in response.headers
        assert count(alice) == 3

    def test_many_leave_by_and_by(self, alice: User, worker_database: str) -> None:
        create(alice, "first")
        with psycopg.connect(worker_database) as connection:
            connection.execute(
                "INSERT INTO idempotency_keys SELECT user_id, 'k' || number, payload_digest, attempt, task_id,"
                " now() - interval '25 hours' FROM idempotency_keys, generate_series(1, 150) number WHERE user_id = %s",
                [alice.id],
            )
        create(alice, "second")
        assert len(keys(worker_database, alice)) == 52
        create(alice, "third")

        assert keys(worker_database, alice) == {"first", "second", "third"}

    def test_they_go_with_their_user(self, alice: User, worker_database: str) -> None:
        create(alice, "k")
        with psycopg.connect(worker_database) as connection:
            connection.execute("DELETE FROM users WHERE id = %s", [alice.id])

        assert keys(worker_database, alice) == set()
