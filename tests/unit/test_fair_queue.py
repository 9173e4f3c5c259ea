"""Users take turns: whoever asks much waits for whoever asks little, and never the other way round."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from todo_api.middleware import fair_queue as fairness
from todo_api.middleware.fair_queue import TakingTurns
from todo_api.settings import Settings

PLACES = 4
ROOM = 32


@dataclass
class Scene:
    """An application that works until told to finish, behind the doorkeeper."""

    working: list[tuple[str, asyncio.Event]] = field(default_factory=list)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.door = TakingTurns(self._work, PLACES)

    async def _work(self, scope: Any, receive: Any, send: Any) -> None:
        done = asyncio.Event()
        self.working.append((scope["owner"].subject if "owner" in scope else "nobody", done))
        assert len([user for user in self.at_work() if user != "nobody"]) <= PLACES
        await done.wait()
        assert await receive() == {"type": "http.disconnect"}
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def ask(self, user: str, times: int = 1) -> None:
        """Let a user ask, and wait until everything that can happen has."""
        for _ in range(times):
            self.tasks.append(asyncio.create_task(self._request(user)))
        await settle()

    async def ask_for(self, *users: str) -> None:
        """Let several users ask, once each."""
        for user in users:
            await self.ask(user)

    async def finish(self, count: int = 1, user: str | None = None) -> None:
        """Let the oldest requests finish, of a user or of anybody."""
        for _ in range(count):
            found = self.at_work().index(user) if user else 0
            self.working.pop(found)[1].set()
            await settle()

    async def finish_all(self) -> None:
        """Let everything finish."""
        while self.working:
            await self.finish()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def at_work(self) -> list[str]:
        """Whose requests are being worked on."""
        return [user for user, _ in self.working]

    async def _request(self, user: str) -> None:
        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.statuses.setdefault(user, []).append(message["status"])

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        scope: dict[str, Any] = {"type": "http"}
        if user != "nobody":
            scope["owner"] = SimpleNamespace(subject=user)
        await self.door(scope, receive, send)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _small_room_and_no_holding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairness, "PLACES_OF_ONE_USER", PLACES)
    monkeypatch.setattr(fairness, "WAITING_PER_PLACE", ROOM // PLACES)
    monkeypatch.setattr(fairness, "HOLD_SECONDS", 0)


def played(play: Callable[[Scene], Awaitable[None]]) -> Scene:
    """Play a scene to its end; afterwards every place must be free again, and nothing remembered."""

    async def whole() -> Scene:
        scene = Scene()
        await play(scene)
        await scene.finish_all()
        door = scene.door
        assert (door._free, door._waiting, door._taken, door._queues) == (PLACES, 0, {}, {})
        return scene

    return asyncio.run(whole())


def test_user_alone_has_all_the_room() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", PLACES + ROOM)
        assert scene.at_work() == ["alice"] * PLACES
        assert scene.statuses == {}

    assert played(play).statuses["alice"] == [200] * (PLACES + ROOM)


@pytest.mark.parametrize("most", [1, 3])
def test_one_user_takes_no_more_than_its_places_and_leaves_the_rest_free(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(fairness, "PLACES_OF_ONE_USER", most)

    async def play(scene: Scene) -> None:
        await scene.ask("alice", 10)
        assert scene.at_work() == ["alice"] * most
        await scene.ask("bob")
        assert scene.at_work() == ["alice"] * most + ["bob"]
        await scene.finish()
        assert scene.at_work() == ["alice"] * (most - 1) + ["bob", "alice"]

    assert played(play).statuses == {"alice": [200] * 10, "bob": [200]}


def test_place_passes_by_whoever_has_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairness, "PLACES_OF_ONE_USER", 2)

    async def play(scene: Scene) -> None:
        await scene.ask("alice", 5)
        await scene.ask_for("bob", "carol", "dan")
        assert scene.at_work() == ["alice", "alice", "bob", "carol"]
        await scene.finish(user="bob")
        assert scene.at_work() == ["alice", "alice", "carol", "dan"]
        await scene.finish(user="alice")
        assert scene.at_work() == ["alice", "carol", "dan", "alice"]

    played(play)


def test_newcomer_gets_the_next_place_but_one() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", PLACES + 20)
        await scene.ask("bob")
        await scene.finish(2)
        assert "bob" in scene.at_work()

    played(play)


def test_users_take_turns_and_each_ones_requests_keep_their_order() -> None:
    order: list[str] = []

    async def main() -> None:
        async def work(scope: Any, receive: Any, send: Any) -> None:
            order.append(scope["name"])
            await asyncio.sleep(0)

        door = TakingTurns(work, 1)
        names = ["alice 1", "alice 2", "alice 3", "alice 4", "bob 1", "bob 2", "carol 1"]
        scopes = [{"type": "http", "owner": SimpleNamespace(subject=name[:-2]), "name": name} for name in names]
        await asyncio.gather(*(door(scope, None, None) for scope in scopes))  # type: ignore[arg-type]

    asyncio.run(main())
    assert order == ["alice 1", "alice 2", "bob 1", "carol 1", "alice 3", "bob 2", "alice 4"]


def test_full_room_refuses_who_fills_it_and_nobody_else() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", PLACES + ROOM)
        await scene.ask("alice", 5)
        assert scene.statuses == {"alice": [503] * 5}
        await scene.ask("bob", 5)
        assert scene.statuses == {"alice": [503] * 5}

    assert played(play).statuses["bob"] == [200] * 5


def test_room_never_holds_more_than_twice_its_size() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", PLACES + ROOM)
        for number in range(2 * ROOM):
            await scene.ask(f"user {number}", 2)
        assert len([task for task in scene.tasks if not task.done()]) <= PLACES + 2 * ROOM

    played(play)


def test_whoever_has_waited_too_long_is_refused_though_no_place_becomes_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairness, "LONGEST_WAIT_SECONDS", 0.02)

    async def play(scene: Scene) -> None:
        await scene.ask("alice", PLACES + 3)
        await asyncio.sleep(0.1)
        assert scene.statuses == {"alice": [503] * 3}
        await scene.ask("bob")
        await scene.finish()
        assert scene.at_work() == ["alice"] * (PLACES - 1) + ["bob"]

    played(play)


def test_wait_at_the_door_and_for_the_database_are_5_seconds_together() -> None:
    assert fairness.LONGEST_WAIT_SECONDS + Settings.model_fields["database_wait_seconds"].default <= 5


def test_cancelled_request_gives_its_place_on() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", PLACES + 2)
        waiting = scene.tasks[PLACES]
        waiting.cancel()
        await scene.finish()
        assert scene.at_work() == ["alice"] * PLACES

    played(play)


def test_request_cancelled_as_its_turn_comes_gives_it_on() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", PLACES + 1)
        scene.working.pop(0)[1].set()
        await asyncio.sleep(0)  # the place was handed over, but its new owner has not begun
        scene.tasks[PLACES].cancel()
        await settle()

    played(play)


def test_turn_that_comes_as_the_wait_ends_is_taken() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", PLACES + 1)
        (turn,) = scene.door._queues["alice"]
        scene.working.pop(0)[1].set()
        await asyncio.sleep(0)  # the place was handed over
        assert turn.done()
        fairness._refuse(turn)
        await settle()

    assert played(play).statuses == {"alice": [200] * (PLACES + 1)}


def test_request_cancelled_as_it_is_refused_gives_nothing_on() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", PLACES + 1)
        (turn,) = scene.door._queues["alice"]
        fairness._refuse(turn)
        scene.tasks[PLACES].cancel()
        await settle()
        assert scene.at_work() == ["alice"] * PLACES

    played(play)


def test_requests_of_nobody_pass() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", PLACES)
        await scene.ask("nobody")
        assert scene.at_work() == ["alice"] * PLACES + ["nobody"]

    assert played(play).statuses["nobody"] == [200]
