"""How hard the generated tests try.

Quickly and the same every time, or for as many requests as a soak is given.

``SOAK_REQUESTS=200000`` spreads that many examples over the tests that send requests, and draws new
ones each time; a failure prints the blob that replays it.
"""

import os
from typing import Any

from hypothesis import HealthCheck, settings

SOAK_REQUESTS = int(os.environ.get("SOAK_REQUESTS", "0"))


def effort(examples: int, *, soak_share: float = 0.0, **more: Any) -> settings:
    """Hypothesis's settings for a test: ``examples``, or its share of a soak's requests."""
    wanted = max(examples, round(SOAK_REQUESTS * soak_share))
    return settings(
        max_examples=wanted,
        deadline=None,
        database=None,
        derandomize=not SOAK_REQUESTS,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        **more,
    )
