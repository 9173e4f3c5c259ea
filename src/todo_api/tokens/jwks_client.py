"""The JWKS client: where public keys come from, and when they are fetched again.

The JWK Set is fetched when a token needs it: the first time, and when a token names a key that is
not in it, so that a rotated key works on its first token. Concurrent requests share one fetch. A
set that has served for ``FRESH_SECONDS`` is fetched again in the background, so that a withdrawn
key is noticed; nothing runs while no token comes. While the identity server is down the last set
serves on, but not beyond ``MAX_AGE_SECONDS``.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any

from todo_api.tokens.jwks import Jwks, Key, UnusableJwks, parse
from todo_api.tokens.rate_limit import RateLimit

FRESH_SECONDS = 300.0
"""How long a set serves before it is fetched again, and a withdrawn key may still be accepted."""

MAX_AGE_SECONDS = 24 * 3600.0
"""How long a set serves while no newer one can be had. Long enough to repair an outage in working
hours; after it a key that was withdrawn meanwhile is accepted no longer, even if somebody blocks
the way to the JWKS."""

RETRY_SECONDS = 20.0
"""How long after a failed background fetch the next may begin."""

MAX_FRUITLESS_FETCHES, FRUITLESS_SECONDS = 10, 20.0
"""Fetches that did not bring the key they were made for: so many at once, and then one every so
many seconds."""

MAX_FAILED_FETCHES, FAILED_SECONDS = 3, 5.0
"""The same for fetches while there is no set to serve with."""

FETCH_TIMEOUT_SECONDS = 4.0

log = logging.getLogger(__name__)


class JwksUnavailable(Exception):
    """There is no JWKS, so that a token can be neither trusted nor rejected."""

    def __init__(self, reason: str, retry_after_seconds: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class JwksClient:
    """The keys that are published at one address.

    Args:
        url: where the JWK Set is published.
        clock: seconds, from anywhere.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        # httpx takes a while to import, and a service that has a secret alone needs none.
        from todo_api.tokens.jwks_download import JwksDownload  # noqa: PLC0415

        self.url = url
        self._clock = clock
        self._jwks: Jwks | None = None
        self._fingerprints: frozenset[str] = frozenset()
        self._fresh_until = self._usable_until = math.inf
        self._failure = "not fetched yet"
        self._fruitless = RateLimit(MAX_FRUITLESS_FETCHES, FRUITLESS_SECONDS, clock)
        self._failed = RateLimit(MAX_FAILED_FETCHES, FAILED_SECONDS, clock)
        self._fetching: asyncio.Task[bool] | None = None
        self._download = JwksDownload(url)

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys of the present set."""
        return () if self._jwks is None else self._jwks.keys

    def find(self, key_id: str | None, algorithm: str) -> Key | None:
        """The key that a token's header names, as far as it is known now."""
        if self._clock() >= self._fresh_until:
            self._renew()
        return None if self._jwks is None else self._jwks.find(key_id, algorithm)

    def publishes(self, fingerprint: str) -> bool:
        """Whether a key that verified a token earlier is still in the present set."""
        if self._clock() >= self._fresh_until:
            self._renew()
        return fingerprint in self._fingerprints

    async def refresh(self, key_id: str | None = None, algorithm: str = "") -> None:
        """Fetch the set for a token whose key ``find`` does not know, if the rate limit allows it.

        A fetch under way is waited for. It may have begun before the key was published; if it
        succeeds and does not bring the key, another follows.

        Raises:
            JwksUnavailable: there is still no set.
        """
        succeeded = True
        if self._fetching is not None:
            succeeded = await asyncio.shield(self._fetching)  # one that is cancelled does not cancel the others
        if succeeded and self.find(key_id, algorithm) is None:
            await self._fetch_for(key_id, algorithm)
        if self._jwks is None:
            raise JwksUnavailable(self._failure, self._failed.retry_after_seconds())

    async def close(self) -> None:
        """Give up a fetch under way, and close the connection."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        await self._download.close()

    async def _fetch_for(self, key_id: str | None, algorithm: str) -> None:
        """Fetch the set, unless another request that waited with this one has begun to."""
        limit = self._failed if self._jwks is None else self._fruitless
        if self._fetching is None and limit.take():
            self._begin(self._fetch_charged(key_id, algorithm, limit))
        if self._fetching is not None:
            await asyncio.shield(self._fetching)

    def _renew(self) -> None:
        """Fetch the set in the background; give up one that is too old to be trusted meanwhile."""
        now = self._clock()
        if now >= self._usable_until:
            self._failure = "the last one is too old"
            self._replace(None, now)
        elif self._fetching is None:
            self._begin(self._fetch())

    def _begin(self, fetch: Coroutine[Any, Any, bool]) -> None:
        self._fetching = asyncio.create_task(fetch)

    async def _fetch_charged(self, key_id: str | None, algorithm: str, limit: RateLimit) -> bool:
        """A fetch that was taken from the rate limit, and is given back if it brings the key."""
        succeeded = await self._fetch()
        if self.find(key_id, algorithm) is not None:
            limit.give_back()
        return succeeded

    async def _fetch(self) -> bool:
        """Whether a set was obtained."""
        asked_at = self._clock()
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_SECONDS):
                jwks = parse(await self._download.get())
        except (UnusableJwks, OSError, ValueError) as error:
            self._failure = str(error) or type(error).__name__
            log.warning("JWKS not obtained", extra={"reason": self._failure})
            if self._jwks is not None:
                self._fresh_until = self._clock() + RETRY_SECONDS
            return False
        else:
            self._replace(jwks, asked_at)
            return True
        finally:
            self._fetching = None

    def _replace(self, jwks: Jwks | None, asked_at: float) -> None:
        self._jwks = jwks
        self._fingerprints = frozenset(key.fingerprint for key in self.keys)
        self._fresh_until = math.inf if jwks is None else self._clock() + FRESH_SECONDS
        self._usable_until = asked_at + MAX_AGE_SECONDS
        if jwks is not None and not jwks.keys:
            log.warning("JWKS holds no key that can be used: all tokens of it are rejected")
