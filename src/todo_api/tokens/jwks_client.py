"""Where the key set comes from, and when it is fetched again.

It is fetched when a token needs it: the first time, and when a token names a key that is not in it, so a
rotated key works on its first token. Everyone who waits shares one fetch. An allowance bounds what invented
keys can cause. A set that has served for a while is fetched again beside the requests, so that a removed
key is noticed; nothing runs while nobody asks. What was obtained is kept until something better comes:
an outage of the identity server logs nobody out.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

import httpx

from todo_api.tokens.jwks import Jwks, UnusableJwks, parse

FRESH_SECONDS = 300.0
"""How long a set serves before it is fetched again beside a request: the grace of a removed key."""

ALLOWANCE, ALLOWANCE_SECONDS = 3, 20.0
"""Fetches that tokens may cause at once, and after how many seconds one more."""

WITHOUT_KEYS_SECONDS = 5.0
"""The same, while there is no key set to serve with."""

FETCH_SECONDS = 4.0
MAX_JWKS_BYTES = 256 * 1024
MAX_REDIRECTS = 3

log = logging.getLogger(__name__)


class JwksUnavailable(Exception):
    """No key set was ever obtained, so a token can be neither trusted nor refused."""

    def __init__(self, reason: str, retry_after_seconds: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class JwksClient:
    """The present key set of one address.

    Args:
        url: where the key set is published.
        clock: seconds, from anywhere.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.url = url
        self.keys = Jwks()
        self.removals = 0
        self._clock = clock
        self._allowance = float(ALLOWANCE)
        self._counted_at = clock()
        self._fresh_until = float("inf")
        self._failure = "not fetched yet"
        self._fetching: asyncio.Task[None] | None = None
        self._client: httpx.AsyncClient | None = None

    async def refresh(self) -> None:
        """Fetch the set, together with whoever else wants it, as far as the allowance goes.

        Raises:
            JwksUnavailable: there is still none.
        """
        if self._fetching is None and self._may_fetch():
            self._begin()
        if self._fetching is not None:
            await asyncio.shield(self._fetching)  # who leaves does not take it along
        if not self.keys.keys:
            raise JwksUnavailable(self._failure, max(1, round((1 - self._allowance) * self._pace())))

    def keep_fresh(self) -> None:
        """Fetch the set in the background if it has served for long."""
        if self._clock() >= self._fresh_until and self._fetching is None:
            self._begin()

    async def close(self) -> None:
        """Give up a fetch under way, and close the connection."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        if self._client is not None:
            await self._client.aclose()

    def _may_fetch(self) -> bool:
        now = self._clock()
        self._allowance = min(ALLOWANCE, self._allowance + (now - self._counted_at) / self._pace())
        self._counted_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def _pace(self) -> float:
        return ALLOWANCE_SECONDS if self.keys.keys else WITHOUT_KEYS_SECONDS

    def _begin(self) -> None:
        self._fresh_until = self._clock() + FRESH_SECONDS
        self._fetching = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                keys = parse(await self._download())
        except (httpx.HTTPError, httpx.InvalidURL, UnusableJwks, OSError, ValueError) as error:
            self._failure = str(error) or type(error).__name__
            self._fresh_until = self._clock() + ALLOWANCE_SECONDS
            log.warning("key set not obtained", extra={"reason": self._failure})
        else:
            self.removals += bool(set(self.keys.keys) - set(keys.keys))
            self.keys = keys
        finally:
            self._fetching = None

    async def _download(self) -> bytes:
        """The body of the answer. Redirects are followed to the same origin alone.

        Raises:
            httpx.HTTPError, UnusableJwks: there is none, or it is too large.
        """
        if self._client is None:
            self._client = httpx.AsyncClient(trust_env=False, headers={"Accept": "application/json"})
        url = self.url
        for _ in range(MAX_REDIRECTS + 1):
            async with self._client.stream("GET", url) as response:
                if response.is_redirect:
                    url = urljoin(url, response.headers.get("location", ""))
                    if urlsplit(url)[:2] != urlsplit(self.url)[:2]:
                        raise UnusableJwks("redirected to another origin")
                    continue
                if response.status_code != 200:
                    raise UnusableJwks(f"status {response.status_code}")
                content = b""
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > MAX_JWKS_BYTES:
                        raise UnusableJwks("too large")
                return content
        raise UnusableJwks("too many redirects")
