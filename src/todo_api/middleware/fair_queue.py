"""When more is asked than can be done at once: users take turns, and who comes too late is told so."""

import asyncio
from collections import deque
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from todo_api.problems import respond

PLACES_OF_ONE_USER: Final = 64
"""How many one user may take. Beside a flood of one user, others wait until so many requests are answered."""

WAITING_PER_PLACE: Final = 2
"""How many requests may wait for each one that is worked on."""

LONGEST_WAIT_SECONDS: Final = 0.5
"""After it a request is refused. With the wait for the database, 4.5 s by default, it is what clients wait at most."""

HOLD_SECONDS: Final = 1.0
"""How long a refusal is held back: whoever repeats the request at once would cost more than by being served."""

OVERLOADED: Final = "Too much is asked of the service now; please try again."


class TakingTurns:
    """Works on so many requests of signed-in users at once; the others wait, and users take turns.

    When a place becomes free it goes to the user whose last turn is longest ago, so that nobody waits
    for the end of another's flood. One user has at most ``PLACES_OF_ONE_USER``: what is worked on delays
    everybody. The room to wait in is bounded: when it is full, only a user with less than an equal share
    of it may still come in, so at most twice its size wait. The others, and who has waited too long, are
    answered 503.

    Args:
        places: how many requests are worked on at once. Fewer keep the event loop's turns short; more
            are needed the farther the database is: throughput is at most places / round-trip time.
    """

    def __init__(self, app: ASGIApp, places: int) -> None:
        self._app = app
        self._free = places
        self._room = places * WAITING_PER_PLACE
        self._waiting = 0
        self._taken: dict[str, int] = {}
        """How many places each user has."""
        self._queues: dict[str, deque[asyncio.Future[bool]]] = {}
        """What waits of each user; the next turn is the first one's who may take another place."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if "owner" not in scope:
            await self._app(scope, receive, send)
            return
        user = scope["owner"].subject
        if not await self._place(user):
            await respond(scope, 503, OVERLOADED)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._leave(user)

    async def _place(self, user: str) -> bool:
        """Take a place, or wait for it; whether there is one."""
        if self._free and self._may_take(user):
            self._take(user)
            return True
        queue = self._queues.get(user, deque())
        if self._waiting >= self._room and (
            len(queue) >= self._room // len(self._queues) or self._waiting >= 2 * self._room
        ):
            await asyncio.sleep(HOLD_SECONDS)
            return False
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        queue.append(turn)
        self._queues[user] = queue
        self._waiting += 1
        expiry = loop.call_later(LONGEST_WAIT_SECONDS, _refuse, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self._leave(user)
            raise
        finally:
            expiry.cancel()

    def _take(self, user: str) -> None:
        self._free -= 1
        self._taken[user] = self._taken.get(user, 0) + 1

    def _leave(self, user: str) -> None:
        """Give up a place, to whose turn it is."""
        self._free += 1
        self._taken[user] -= 1
        if not self._taken[user]:
            del self._taken[user]
        while self._free and (following := next(filter(self._may_take, self._queues), None)) is not None:
            queue = self._queues.pop(following)
            turn = queue.popleft()
            self._waiting -= 1
            if queue:
                self._queues[following] = queue
            if not turn.done():
                turn.set_result(True)
                self._take(following)

    def _may_take(self, user: str) -> bool:
        return self._taken.get(user, 0) < PLACES_OF_ONE_USER


def _refuse(turn: asyncio.Future[bool]) -> None:
    if not turn.done():
        turn.set_result(False)
