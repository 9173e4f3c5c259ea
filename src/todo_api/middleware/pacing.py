"""Pacing: so many requests without a good token are answered in one event-loop iteration.

A client's next request is not parsed before the one before it is answered. So however many clients
without a token ask, the iterations stay short, and signed-in users are served in each of them.
"""

import asyncio
from collections import deque
from typing import Final

MAX_PER_ITERATION: Final = 32


class Pacing:
    """Lets ``MAX_PER_ITERATION`` callers through in each event-loop iteration, in their order."""

    def __init__(self) -> None:
        self._passed = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Return at once, or in a later iteration if too many have passed in this one."""
        loop = asyncio.get_running_loop()
        if not self._passed:
            loop.call_soon(self._begin_iteration)
        if self._passed < MAX_PER_ITERATION:
            self._passed += 1
            return
        passed = loop.create_future()
        self._waiting.append(passed)
        await passed

    def _begin_iteration(self) -> None:
        self._passed = 0
        while self._waiting and self._passed < MAX_PER_ITERATION:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                self._passed += 1
        if self._passed:
            asyncio.get_running_loop().call_soon(self._begin_iteration)
