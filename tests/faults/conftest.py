"""The PostgreSQL that fault scenarios break, and the service in front of it."""

from collections.abc import Iterator

import pytest

from tests.faults.postgres import OwnPostgres, own_postgres
from tests.harness import Server, serving

WAIT_SECONDS = 1.0
"""How long a request of the service under test waits for its database; short, so that tests are."""

MAX_SECONDS = WAIT_SECONDS + 9
"""How long one of its answers may take: long enough for a busy machine, too short for one that
waits forever."""

QUICK = {"DATABASE_WAIT_SECONDS": str(WAIT_SECONDS), "STATEMENT_TIMEOUT_MILLISECONDS": "600"}


@pytest.fixture(scope="session")
def broken() -> Iterator[OwnPostgres]:
    """A PostgreSQL to break. A test that breaks it repairs it."""
    with own_postgres() as own:
        yield own


@pytest.fixture(scope="session")
def service(broken: OwnPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service whose database is being broken."""
    with serving(tmp_path_factory.mktemp("service"), DATABASE_URL=broken.url, **QUICK) as server:
        yield server
