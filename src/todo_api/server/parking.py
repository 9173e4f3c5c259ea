"""Keeps those requests as bytes that cannot be worked on yet, and begins some in each iteration.

What is begun is finished while it is in the processor's caches: with thousands of requests that are
all half-done, each costs twice as much. As iterations of the event loop are short while a database
is waited for, no fewer requests are under way then.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

MAX_UNPARKED: Final = 128
"""How many requests are under way before others are parked."""

MAX_BEGUN_PER_ITERATION: Final = 32

KeyOf = Callable[[bytes], str | None]
"""Whose request it is: takes what is here of its head. None is for those that are not parked."""

GoOn = Callable[[], bool]
"""Begins a parked request; whether it was still there."""


class Parking:
    """Where requests wait to be begun, in a queue for each key; the queues are served in rotation.

    Args:
        key_of: tells which queue a request belongs to.
    """

    def __init__(self, key_of: KeyOf) -> None:
        self._key_of = key_of
        self._queues: dict[str, deque[GoOn]] = {}  # the first one is next

    def is_needed(self, under_way: int) -> bool:
        """Whether requests have to be parked while so many are under way."""
        return under_way >= MAX_UNPARKED or bool(self._queues)

    def park(self, head: bytes, go_on: GoOn) -> bool:
        """Have a request begun in a later iteration; whether it is one to be parked."""
        key = self._key_of(head)
        if key is None:
            return False
        if not self._queues:
            asyncio.get_running_loop().call_soon(self._begin_some)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
        queue.append(go_on)
        return True

    def _begin_some(self) -> None:
        begun = 0
        while self._queues and begun < MAX_BEGUN_PER_ITERATION:
            key = next(iter(self._queues))
            queue = self._queues.pop(key)
            go_on = queue.popleft()
            if queue:
                self._queues[key] = queue
            begun += go_on()
        if self._queues:
            asyncio.get_running_loop().call_soon(self._begin_some)
