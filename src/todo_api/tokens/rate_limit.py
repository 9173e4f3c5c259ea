"""A token bucket: so many at once, and then one more every so many seconds."""

import math
from collections.abc import Callable


class RateLimit:
    """Says whether something may be done now.

    Args:
        burst: how often at once, after a pause.
        interval_seconds: how long until it may be done once more.
        clock: seconds, from anywhere.
    """

    def __init__(self, burst: int, interval_seconds: float, clock: Callable[[], float]) -> None:
        self._burst = burst
        self._interval = interval_seconds
        self._clock = clock
        self._left = float(burst)
        self._counted_at = clock()

    def take(self) -> bool:
        """Use it up by one, if it is not used up."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._counted_at) / self._interval)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        """Undo one ``take``."""
        self._left += 1

    def retry_after_seconds(self) -> int:
        """How long until ``take`` works again: whole seconds, at least one."""
        passed = self._clock() - self._counted_at
        return max(1, math.ceil((1 - self._left) * self._interval - passed))
