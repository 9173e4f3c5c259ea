"""What the tests of the wire share."""

from collections.abc import Iterator

import httpx
import pytest

from tests.harness import Server


@pytest.fixture(scope="session")
def nobody(server: Server) -> Iterator[httpx.Client]:
    """A client that brings no token of its own."""
    with httpx.Client(base_url=server.url, timeout=20) as client:
        yield client
