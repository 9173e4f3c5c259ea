"""Users whose statements run one at a time, because one was slow or returned a large result.

Statements of many users share connections, and PostgreSQL runs those of one connection one after
another. A user one of whose statements needed more time, or brought more rows, than others should
wait for is *heavy* for ``HEAVY_SECONDS``: meanwhile their statements wait for each other, in the
order in which they came, and not in everybody's way.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from todo_api.db.errors import Unavailable

HEAVY_SECONDS = 10.0
"""How long a user is heavy after a sign of it. Then the next statement shows whether it is still
so."""

MAX_EXPIRED = 256
"""How many users are remembered before those whose time is over are forgotten."""


class HeavyUser:
    """One heavy user.

    ``slow`` tells that a statement needed more time than a shared connection gives.
    """

    __slots__ = ("_lock", "expires_at", "slow")

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.expires_at = 0.0
        self.slow = False

    @property
    def busy(self) -> bool:
        """Whether a statement of this user runs alone, or waits to."""
        return self._lock.locked()

    def forgive(self) -> None:
        """Take the sign back: it was not this user's statement that was slow."""
        self.expires_at = 0.0

    @asynccontextmanager
    async def one_at_a_time(self, deadline: float) -> AsyncIterator[None]:
        """Hold back all other statements of this user for the duration of a block.

        Raises:
            Unavailable: those before it took until ``deadline``, a time of the event loop.
        """
        await acquire(self._lock, deadline)
        try:
            yield
        finally:
            self._lock.release()


class HeavyUsers:
    """All heavy users of one pool."""

    def __init__(self) -> None:
        self._users: dict[bytes, HeavyUser] = {}
        self._loop = asyncio.get_running_loop()

    def get(self, name: bytes) -> HeavyUser | None:
        """The user of this name, if heavy now."""
        user = self._users.get(name)
        if user is None or user.expires_at > self._loop.time():
            return user
        if not user.busy:
            del self._users[name]
        return None

    def add(self, name: bytes, *, slow: bool) -> HeavyUser:
        """Take note that this user has just shown to be heavy."""
        now = self._loop.time()
        if len(self._users) >= MAX_EXPIRED:
            remembered = {other: user for other, user in self._users.items() if user.expires_at > now or user.busy}
            self._users = remembered
        user = self._users.setdefault(name, HeavyUser())
        user.slow = slow or (user.slow and user.expires_at > now)
        user.expires_at = now + HEAVY_SECONDS
        return user


async def acquire(lock: asyncio.Lock | asyncio.Semaphore, deadline: float) -> None:
    """Acquire what is to be released later.

    Raises:
        Unavailable: it was not free by ``deadline``, a time of the event loop.
    """
    try:
        async with asyncio.timeout_at(deadline):
            await lock.acquire()
    except TimeoutError:
        raise Unavailable("too much of one user under way") from None
