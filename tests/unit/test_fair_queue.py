"""Slots are shared fairly.

A user with many requests waits for one with few, never the reverse.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from todo_api.middleware import fair_queue
from todo_api.middleware.fair_queue import FairQueue
from todo_api.settings import Settings

SLOTS = 4
MAX_WAITING = 32


class Scene:
    """Requests that hold their slot until they are told to finish."""

    def __init__(self) -> None:
        self.queue = FairQueue(SLOTS)
        self.served: list[tuple[str, asyncio.Event]] = []
        self.answers: dict[str, list[bool]] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, user: str, times: int = 1) -> None:
        """Send a request of a user, and wait until everything that can happen has."""
        for _ in range(times):
            self.tasks.append(asyncio.create_task(self._request(user)))
        await settle()

    async def ask_for(self, *users: str) -> None:
        """Send one request of each of several users."""
        for user in users:
            await self.ask(user)

    async def finish(self, count: int = 1, user: str | None = None) -> None:
        """Let the oldest requests finish, of a user or of anybody."""
        for _ in range(count):
            found = self.holders().index(user) if user else 0
            self.served.pop(found)[1].set()
            await settle()

    async def finish_all(self) -> None:
        """Let everything finish."""
        while self.served:
            await self.finish()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def holders(self) -> list[str]:
        """Whose requests hold a slot."""
        return [user for user, _ in self.served]

    async def _request(self, user: str) -> None:
        granted = await self.queue.acquire(user)
        self.answers.setdefault(user, []).append(granted)
        if not granted:
            return
        try:
            done = asyncio.Event()
            self.served.append((user, done))
            assert len(self.served) <= SLOTS
            await done.wait()
        finally:
            self.queue.release(user)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _small_and_without_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "MAX_SLOTS_PER_USER", SLOTS)
    monkeypatch.setattr(fair_queue, "MAX_WAITING_PER_SLOT", MAX_WAITING // SLOTS)
    monkeypatch.setattr(fair_queue, "MAX_WAIT_SECONDS", 60)
    monkeypatch.setattr(fair_queue, "REJECTION_DELAY_SECONDS", 0)


def played(play: Callable[[Scene], Awaitable[None]]) -> Scene:
    """Play a scene to its end; afterwards every slot must be free again, and nothing remembered."""

    async def whole() -> Scene:
        scene = Scene()
        await play(scene)
        await scene.finish_all()
        queue = scene.queue
        assert (queue._free, queue._waiting, queue._held, queue._queues) == (SLOTS, 0, {}, {})
        return scene

    return asyncio.run(whole())


def test_user_alone_may_use_everything() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", SLOTS + MAX_WAITING)
        assert scene.holders() == ["alice"] * SLOTS
        assert scene.answers == {"alice": [True] * SLOTS}

    assert played(play).answers["alice"] == [True] * (SLOTS + MAX_WAITING)


@pytest.mark.parametrize("limit", [1, 3])
def test_one_user_holds_no_more_than_the_limit_and_leaves_the_rest_free(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(fair_queue, "MAX_SLOTS_PER_USER", limit)

    async def play(scene: Scene) -> None:
        await scene.ask("alice", 10)
        assert scene.holders() == ["alice"] * limit
        await scene.ask("bob")
        assert scene.holders() == ["alice"] * limit + ["bob"]
        await scene.finish()
        assert scene.holders() == ["alice"] * (limit - 1) + ["bob", "alice"]

    assert played(play).answers == {"alice": [True] * 10, "bob": [True]}


def test_free_slot_passes_by_a_user_who_holds_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "MAX_SLOTS_PER_USER", 2)

    async def play(scene: Scene) -> None:
        await scene.ask("alice", 5)
        await scene.ask_for("bob", "carol", "dan")
        assert scene.holders() == ["alice", "alice", "bob", "carol"]
        await scene.finish(user="bob")
        assert scene.holders() == ["alice", "alice", "carol", "dan"]
        await scene.finish(user="alice")
        assert scene.holders() == ["alice", "carol", "dan", "alice"]

    played(play)


def test_newcomer_gets_the_next_slot_but_one() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", SLOTS + 20)
        await scene.ask("bob")
        await scene.finish(2)
        assert "bob" in scene.holders()

    played(play)


def test_users_are_served_round_robin_and_the_requests_of_each_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "MAX_SLOTS_PER_USER", 1)

    async def main() -> list[str]:
        queue, order = FairQueue(1), []

        async def request(name: str) -> None:
            assert await queue.acquire(name[:-2])
            order.append(name)
            await asyncio.sleep(0)
            queue.release(name[:-2])

        names = ["alice 1", "alice 2", "alice 3", "alice 4", "bob 1", "bob 2", "carol 1"]
        await asyncio.gather(*map(request, names))
        return order

    assert asyncio.run(main()) == ["alice 1", "alice 2", "bob 1", "carol 1", "alice 3", "bob 2", "alice 4"]


def test_full_queue_rejects_the_user_who_fills_it_and_no_other() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", SLOTS + MAX_WAITING)
        await scene.ask("alice", 5)
        assert scene.answers == {"alice": [True] * SLOTS + [False] * 5}
        await scene.ask("bob", 5)
        assert "bob" not in scene.answers

    assert played(play).answers["bob"] == [True] * 5


def test_never_more_than_twice_the_limit_wait() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", SLOTS + MAX_WAITING)
        for number in range(2 * MAX_WAITING):
            await scene.ask(f"user {number}", 2)
        assert len([task for task in scene.tasks if not task.done()]) <= SLOTS + 2 * MAX_WAITING

    played(play)


def test_request_that_waited_too_long_is_rejected_though_no_slot_becomes_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "MAX_WAIT_SECONDS", 0.02)

    async def play(scene: Scene) -> None:
        await scene.ask("alice", SLOTS + 3)
        await asyncio.wait_for(asyncio.gather(*scene.tasks[SLOTS:]), 30)
        assert scene.answers == {"alice": [True] * SLOTS + [False] * 3}
        monkeypatch.setattr(fair_queue, "MAX_WAIT_SECONDS", 60)
        await scene.ask("bob")
        await scene.finish()
        assert scene.holders() == ["alice"] * (SLOTS - 1) + ["bob"]

    played(play)


def test_time_that_was_waited_before_counts() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", SLOTS)
        assert not await scene.queue.acquire("bob", waited=60)
        assert not await asyncio.wait_for(scene.queue.acquire("bob", waited=59.98), 30)
        await scene.finish()
        assert await scene.queue.acquire("bob", waited=60)
        scene.queue.release("bob")

    played(play)


def test_waits_for_a_slot_and_for_the_database_are_5_seconds_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    assert fair_queue.MAX_WAIT_SECONDS + Settings.model_fields["database_wait_seconds"].default <= 5


def test_cancelled_request_leaves_its_slot_to_the_next() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", SLOTS + 2)
        scene.tasks[SLOTS].cancel()
        await scene.finish()
        assert scene.holders() == ["alice"] * SLOTS

    played(play)


def test_request_cancelled_as_it_gets_a_slot_passes_it_on() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", SLOTS + 1)
        scene.served.pop(0)[1].set()
        await asyncio.sleep(0)  # the slot was handed over, but the request has not noticed
        scene.tasks[SLOTS].cancel()
        await settle()

    played(play)


def test_slot_that_comes_as_the_wait_ends_is_taken() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", SLOTS + 1)
        (slot,) = scene.queue._queues["alice"]
        scene.served.pop(0)[1].set()
        await asyncio.sleep(0)  # the slot was handed over
        assert slot.done()
        fair_queue._reject(slot)
        await settle()

    assert played(play).answers == {"alice": [True] * (SLOTS + 1)}


def test_request_cancelled_as_it_is_rejected_releases_nothing() -> None:
    async def play(scene: Scene) -> None:
        await scene.ask("alice", SLOTS + 1)
        (slot,) = scene.queue._queues["alice"]
        fair_queue._reject(slot)
        scene.tasks[SLOTS].cancel()
        await settle()
        assert scene.holders() == ["alice"] * SLOTS

    played(play)
