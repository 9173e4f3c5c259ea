"""Tokens that were verified, by digest.

Bounded by the memory they take, the expired dropped first.
"""

from heapq import heappop, heappush
from sys import getsizeof

from todo_api.tokens.claims import Claims

MAX_CACHE_BYTES = 8 * 1024 * 1024
ENTRY_BYTES = 512
"""What an entry takes besides the texts of its claims: digest, objects, its share of dictionary and
heap."""


Verified = tuple[Claims, str | None]
"""Claims, and the fingerprint of the JWKS key that signed them; None: the shared secret did."""


class TokenCache:
    """The latest verified tokens, about 12,000 of usual ones."""

    def __init__(self) -> None:
        self._verified: dict[bytes, Verified] = {}
        self._by_expiry: list[tuple[float, bytes]] = []
        self._bytes = 0
        self.get = self._verified.get

    def add(self, digest: bytes, verified: Verified, *, now: float) -> None:
        """Hold an entry until it expires.

        While the cache is full, those that expire first make room.
        """
        if digest not in self._verified:
            heappush(self._by_expiry, (verified[0].expires_at, digest))
            self._bytes += _size(verified)
        self._verified[digest] = verified
        while self._by_expiry and (self._bytes > MAX_CACHE_BYTES or self._by_expiry[0][0] <= now):
            _, oldest = heappop(self._by_expiry)
            self._bytes -= _size(self._verified.pop(oldest))


def _size(verified: Verified) -> int:
    claims, _ = verified
    return ENTRY_BYTES + getsizeof(claims.subject) + getsizeof(claims.email) + getsizeof(claims.name)
