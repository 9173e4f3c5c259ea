"""Users take turns: whoever asks much waits for whoever asks little, and never the other way round."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from todo_api import fairness
from todo_api.fairness import TakingTurns

PLACES = 4
ROOM = 32
CHECKERS = ("someone", "somebody", "anyone", "anybody")
"""As many users as there are places."""


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
        await done.wait()
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

    async def finish(self, count: int = 1) -> None:
        """Let the oldest requests finish."""
        for _ in range(count):
            self.working.pop(0)[1].set()
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
            raise AssertionError

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
    """Play a scene to its end; afterwards every place must be free again."""

    async def whole() -> Scene:
        scene = Scene()
        await play(scene)
        await scene.finish_all()
        await scene.ask_for(*CHECKERS)
        assert len(scene.at_work()) == PLACES
        await scene.finish_all()
        return scene

    return asyncio.run(whole())


def test_user_alone_has_all_the_room() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", PLACES + ROOM)
        assert scene.at_work() == ["alice"] * PLACES
        assert scene.statuses == {}

    assert played(play).statuses["alice"] == [200] * (PLACES + ROOM)


def test_user_takes_so_many_places_and_leaves_the_others_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairness, "PLACES_OF_ONE_USER", 3)

    async def play(scene: Scene) -> None:
        await scene.ask("alice", 10)
        assert scene.at_work() == ["alice"] * 3
        await scene.ask("bob")
        assert scene.at_work() == ["alice"] * 3 + ["bob"]
        await scene.finish()
        assert scene.at_work() == ["alice"] * 2 + ["bob", "alice"]

    assert played(play).statuses["alice"] == [200] * 10


def test_place_passes_by_whoever_has_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairness, "PLACES_OF_ONE_USER", 2)

    async def play(scene: Scene) -> None:
        await scene.ask("alice", 5)
        await scene.ask_for("bob", "carol", "dan")
        assert scene.at_work() == ["alice", "alice", "bob", "carol"]
        scene.working.append(scene.working.pop(0))  # bob is done before alice is
        scene.working.append(scene.working.pop(0))
        await scene.finish(2)
        assert scene.at_work() == ["alice", "alice", "dan"]

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


def test_whoever_has_waited_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairness, "LONGEST_WAIT_SECONDS", -1)

    async def play(scene: Scene) -> None:
        await scene.ask("alice", PLACES + 3)
        await scene.finish()
        assert scene.statuses["alice"].count(503) == 3

    played(play)


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


def test_requests_of_nobody_pass() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", PLACES)
        await scene.ask("nobody")
        assert scene.at_work() == ["alice"] * PLACES + ["nobody"]

    played(play)
