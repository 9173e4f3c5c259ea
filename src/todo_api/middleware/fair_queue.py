"""Fair queueing per user.

Of more requests than can be served at once, no user waits for another's flood.

A request acquires a slot for its user before it is worked on and releases it afterwards. A request
that does not get one in time is answered 503.
"""

import asyncio
from collections import deque
from typing import Final

MAX_SLOTS_PER_USER: Final = 64
"""How many slots one user may hold. Beside a flood of one user, others wait until so many requests
are answered."""

MAX_WAITING_PER_SLOT: Final = 2
"""How many requests may wait for each slot."""

MAX_WAIT_SECONDS: Final = 0.5
"""How long a request waits for a slot. Together with the wait for the database it is what a client
waits at most."""

REJECTION_DELAY_SECONDS: Final = 1.0
"""How long a rejection is held back: a client that repeats at once costs more than serving it."""

OVERLOADED: Final = "The service is overloaded; please try again."


class FairQueue:
    """A bounded number of slots, shared fairly by users.

    A free slot goes to the user who got one longest ago. One user holds at most
    ``MAX_SLOTS_PER_USER``: what is worked on delays everybody. The number that may wait is bounded
    too: when it is reached, only a user with less than an equal share of it may still wait, so at
    most twice as many wait.

    Args:
        slots: how many requests are worked on at once. Fewer keep iterations of the event loop
            short; more are needed the farther the database is: throughput is at most slots /
            round-trip time.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._max_waiting = slots * MAX_WAITING_PER_SLOT
        self._waiting = 0
        self._held: dict[str, int] = {}
        """How many slots each user holds."""
        self._queues: dict[str, deque[asyncio.Future[bool]]] = {}
        """The waiting requests of each user; the first user who may hold another slot is next."""

    async def acquire(self, user: str, *, waited: float = 0.0) -> bool:
        """Get a slot, or wait for one; whether the request may be worked on.

        A caller that got True owes a ``release``. After False nothing is owed: too many wait, or it
        waited ``MAX_WAIT_SECONDS``, of which ``waited`` are over. A caller that is cancelled while
        waiting owes nothing either.
        """
        if self._free and self._may_take(user):
            self._take(user)
            return True
        queue = self._queues.get(user, deque())
        if waited >= MAX_WAIT_SECONDS or self._is_full_for(queue):
            await asyncio.sleep(REJECTION_DELAY_SECONDS)
            return False
        loop = asyncio.get_running_loop()
        slot: asyncio.Future[bool] = loop.create_future()
        queue.append(slot)
        self._queues[user] = queue
        self._waiting += 1
        expiry = loop.call_later(MAX_WAIT_SECONDS - waited, _reject, slot)
        try:
            return await slot
        except asyncio.CancelledError:
            if slot.done() and not slot.cancelled() and slot.result():
                self.release(user)
            raise
        finally:
            expiry.cancel()

    def _is_full_for(self, queue: deque[asyncio.Future[bool]]) -> bool:
        return self._waiting >= self._max_waiting and (
            len(queue) >= self._max_waiting // len(self._queues) or self._waiting >= 2 * self._max_waiting
        )

    def release(self, user: str) -> None:
        """Give a slot back; it goes to the user who got one longest ago."""
        self._free += 1
        self._held[user] -= 1
        if not self._held[user]:
            del self._held[user]
        while self._free and (following := next(filter(self._may_take, self._queues), None)) is not None:
            queue = self._queues.pop(following)
            slot = queue.popleft()
            self._waiting -= 1
            if queue:
                self._queues[following] = queue
            if not slot.done():
                slot.set_result(True)
                self._take(following)

    def _take(self, user: str) -> None:
        self._free -= 1
        self._held[user] = self._held.get(user, 0) + 1

    def _may_take(self, user: str) -> bool:
        return self._held.get(user, 0) < MAX_SLOTS_PER_USER


def _reject(slot: asyncio.Future[bool]) -> None:
    if not slot.done():
        slot.set_result(False)
