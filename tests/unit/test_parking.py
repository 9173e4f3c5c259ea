"""While many requests are under way, others are parked, and some begun in each iteration."""

import asyncio
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr

from tests.serving import Serving, on_our_loop
from todo_api.middleware.requester import key_of
from todo_api.server import parking
from todo_api.server.parking import Parking
from todo_api.tokens import SAMPLE_USER, Verifier, sample_token

LIMIT = 4
SECRET = SecretStr("0Tt3S9QxT1mB7rPwYc5LhD8sNfJ2gKaUe0VtR4iXo")  # pragma: allowlist secret


@pytest.fixture(autouse=True)
def _few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "MAX_UNPARKED", LIMIT)
    monkeypatch.setattr(parking, "MAX_BEGUN_PER_ITERATION", LIMIT)


class Scene:
    """Requests that are never finished."""

    def __init__(self) -> None:
        self.parking = Parking(bytes.decode)
        self.begun: list[str] = []

    def park(self, *keys: str, gone: bool = False) -> None:
        """Park a request of each of these; ``gone``: their clients leave before they are begun."""
        for key in keys:
            self.parking.park(key.encode(), partial(self._begin, key, gone=gone))

    async def next(self) -> list[str]:
        """Whose requests are begun in the next iteration."""
        self.begun = []
        await asyncio.sleep(0)
        return self.begun

    def _begin(self, key: str, *, gone: bool) -> bool:
        if not gone:
            self.begun.append(key)
        return not gone


class TestIterations:
    def test_requests_are_parked_once_so_many_are_under_way(self) -> None:
        scene = Scene()

        assert [scene.parking.is_needed(number) for number in (0, LIMIT - 1, LIMIT)] == [False, False, True]

    def test_so_many_are_begun_in_each_iteration(self) -> None:
        async def play() -> None:
            scene = Scene()
            scene.park(*["alice"] * (2 * LIMIT + 1))

            assert [len(await scene.next()) for _ in range(4)] == [LIMIT, LIMIT, 1, 0]

        asyncio.run(play())

    def test_users_are_served_in_rotation_and_the_requests_of_each_in_order(self) -> None:
        async def play() -> None:
            scene = Scene()
            scene.park(*["a"] * 6, "b", "c")

            assert await scene.next() == ["a", "b", "c", "a"]
            scene.park("d")
            assert await scene.next() == ["a", "d", "a", "a"]

        asyncio.run(play())

    def test_what_comes_while_others_are_parked_does_not_overtake_them(self) -> None:
        async def play() -> None:
            scene = Scene()
            scene.park(*["alice"] * (LIMIT + 1))
            await scene.next()

            assert scene.parking.is_needed(0)
            await scene.next()
            assert not scene.parking.is_needed(0)

        asyncio.run(play())

    def test_one_without_a_key_is_not_parked(self) -> None:
        scene = Parking(lambda _: None)

        assert not scene.park(b"", bool)
        assert not scene.is_needed(0)

    def test_request_whose_client_has_left_takes_no_place(self) -> None:
        async def play() -> None:
            scene = Scene()
            scene.park(*map(str, range(3 * LIMIT)), gone=True)
            scene.park("stays")

            assert await scene.next() == ["stays"]

        asyncio.run(play())


def request(user: str) -> bytes:
    return f"GET / HTTP/1.1\r\nHost: x\r\nX-User: {user}\r\n\r\n".encode()


class App:
    """Answers everything, and remembers what it was asked."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    @property
    def users(self) -> list[str]:
        return [dict(scope["headers"])[b"x-user"].decode() for scope in self.scopes]


Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connected(serving: Serving, count: int) -> list[Client]:
    """So many clients more."""
    count_before = len(serving.connections)
    clients = [await serving.connect() for _ in range(count)]
    await serving.until(lambda: len(serving.connections) == count_before + count)
    return clients


async def crowded(serving: Serving, count: int) -> list[Client]:
    """So many clients, whose requests arrive in one iteration."""
    clients = await connected(serving, count)
    for connection in list(serving.connections):
        connection.data_received(request("a"))
    return clients


class TestConnections:
    def test_all_of_a_crowd_are_answered(self) -> None:
        async def play() -> None:
            app = App()
            async with Serving(app) as serving:
                clients = await crowded(serving, 5 * LIMIT)
                for reader, _ in clients:
                    assert (await reader.readuntil(b"done")).startswith(b"HTTP/1.1 200")

                parked = [scope["parked_seconds"] for scope in app.scopes if "parked_seconds" in scope]
                assert len(parked) == 4 * LIMIT
                assert min(parked) >= 0

        on_our_loop(play)

    def test_connection_serves_on_after_its_request_was_parked(self) -> None:
        async def play() -> None:
            app = App()
            async with Serving(app) as serving:
                clients = await crowded(serving, 2 * LIMIT)
                for reader, writer in clients:
                    await reader.readuntil(b"done")
                    writer.write(request("again"))
                    await reader.readuntil(b"done")

                assert app.users.count("again") == len(clients)
                assert "parked_seconds" not in app.scopes[-1]

        on_our_loop(play)

    def test_request_of_which_a_part_is_here_is_begun_when_the_rest_comes(self) -> None:
        async def play() -> None:
            app = App()
            async with Serving(app) as serving:
                ((reader, writer),) = await connected(serving, 1)
                late = serving.connection
                await connected(serving, LIMIT)
                for connection in list(serving.connections - {late}):
                    connection.data_received(request("a"))
                late.data_received(request("late")[:20])
                assert late.idle_since is None
                writer.write(request("late")[20:])
                await reader.readuntil(b"done")

                assert app.users[-1] == "late"

        on_our_loop(play)

    def test_client_that_leaves_while_parked_is_forgotten(self) -> None:
        async def play() -> None:
            app = App()
            async with Serving(app) as serving:
                await connected(serving, LIMIT + 1)
                leaving = list(serving.connections)[-1]
                for connection in [*(serving.connections - {leaving}), leaving]:
                    connection.data_received(request("a"))
                leaving.transport.abort()
                await serving.until(lambda: len(app.scopes) == LIMIT and len(serving.connections) == LIMIT)

                assert not leaving._go_on()

        on_our_loop(play)

    def test_client_that_closes_its_side_while_parked_is_answered(self) -> None:
        async def play() -> None:
            async with Serving(App()) as serving:
                clients = await crowded(serving, LIMIT + 1)
                for connection in serving.connections:
                    assert connection.eof_received()
                for reader, _ in clients:
                    assert (await reader.read()).endswith(b"connection: close\r\n\r\ndone")

        on_our_loop(play)

    def test_what_is_parked_when_the_service_stops_is_answered(self) -> None:
        async def play() -> None:
            app = App()
            async with Serving(app) as serving:
                clients = await crowded(serving, 2 * LIMIT)
                for connection in list(serving.connections):
                    connection.shutdown()
                for reader, _ in clients:
                    assert (await reader.read()).endswith(b"done")

        on_our_loop(play)


def test_client_without_a_key_is_answered_while_others_are_parked() -> None:
    async def play() -> None:
        app = App()
        async with Serving(app) as serving:
            await crowded(serving, 3 * LIMIT)
            connections = list(serving.connections)
            ((reader, _),) = await connected(serving, 1)
            (without,) = serving.connections - set(connections)
            for connection in connections:
                connection.data_received(request("b"))
            without.data_received(request("nobody"))
            await reader.readuntil(b"done")

            assert app.users.index("nobody") <= app.users.index("b") + LIMIT

    on_our_loop(play)


class TestRequester:
    @pytest.fixture
    def verifier(self) -> Verifier:
        verifier = Verifier(SECRET.get_secret_value(), keys=None, issuers=(), audiences=())
        verifier.verify(sample_token(SECRET).encode())
        return verifier

    @pytest.mark.parametrize("header", ["Authorization: Bearer ", "authorization:bearer ", "AUTHORIZATION:\tBEARER  "])
    def test_user_whose_token_was_verified_is_known(self, verifier: Verifier, header: str) -> None:
        head = f"GET / HTTP/1.1\r\nHost: x\r\n{header}{sample_token(SECRET)}\r\n"

        assert key_of(verifier, head.encode()) == SAMPLE_USER

    @pytest.mark.parametrize(
        "head",
        [
            "",
            "GET / HTTP/1.1\r\nHost: x\r\n",
            "GET / HTTP/1.1\r\nAuthorization: Bearer x.y.z\r\n",
            "GET / HTTP/1.1\r\nAuthorization: Basic x\r\n",
            "GET / HTTP/1.1\r\nX: y\r\nAuthorization: Bearer",
        ],
    )
    def test_all_others_are_not(self, verifier: Verifier, head: str) -> None:
        assert key_of(verifier, head.encode()) is None

    def test_token_that_has_only_half_arrived_is_not_known(self, verifier: Verifier) -> None:
        head = f"GET / HTTP/1.1\r\nAuthorization: Bearer {sample_token(SECRET)}"

        assert key_of(verifier, head.encode()) is None
