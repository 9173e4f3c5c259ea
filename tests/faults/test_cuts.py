"""The connection to PostgreSQL ends after a statement was sent, at every byte of its answer."""

from collections.abc import Iterator

import pytest

from tests.faults.history import Kind
from tests.faults.load import PATIENCE_SECONDS, SECONDS, SEED, Client, judge
from tests.faults.postgres import OwnPostgres
from tests.harness import Server, serving
from tests.proxies import Proxy, proxying, url_through

PATIENT = {"DATABASE_WAIT_SECONDS": "20"}
"""Nothing here shows how long anything takes."""


@pytest.fixture(scope="module")
def proxy(broken: OwnPostgres) -> Iterator[Proxy]:
    with proxying(broken.url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def near(broken: OwnPostgres, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with one connection, which passes through the proxy."""
    settings = {"DATABASE_URL": url_through(proxy.port, broken.url), "DATABASE_CONNECTIONS": "1", **PATIENT}
    with serving(tmp_path_factory.mktemp("near"), **settings) as server:
        yield server


@pytest.fixture
def client(near: Server) -> Iterator[Client]:
    """A client who has a task, and whose statements are prepared."""
    client = Client([near.url], str(SEED))
    for kind in (Kind.CREATE, Kind.CREATE, Kind.READ):
        client.ask(kind)
    yield client
    client.close()


def answer_bytes(proxy: Proxy, client: Client, kind: Kind) -> int:
    """How long PostgreSQL's answer to one more request is."""
    before = proxy.answered_bytes
    client.ask(kind)
    return proxy.answered_bytes - before


def positions(length: int) -> range:
    """Where to cut: everywhere in a long run, in a short one at every eighth byte, at random."""
    return range(length) if SECONDS > 1 else range(SEED % 8, length, 8)


@pytest.mark.parametrize("kind", [Kind.READ, Kind.CREATE])
def test_what_may_be_repeated_succeeds_once_wherever_its_answer_is_cut(
    broken: OwnPostgres, proxy: Proxy, client: Client, kind: Kind
) -> None:
    """A creation bears an Idempotency-Key, so that the service may send it again by itself."""
    for position in positions(answer_bytes(proxy, client, kind)):
        client.ask(kind)  # on a new connection, which has to prepare it
        proxy.cut_after(position)
        step = client.ask(kind)

        assert step is not None
        assert step.status == kind.value[1], position
    judge([client], broken.url, max_seconds=PATIENCE_SECONDS, may_cut=False)
    assert not any(step.rejected for step in client.steps)


def test_toggle_is_acknowledged_or_in_doubt_and_never_carried_out_twice_wherever_its_answer_is_cut(
    broken: OwnPostgres, proxy: Proxy, client: Client
) -> None:
    statuses = set()
    for position in positions(answer_bytes(proxy, client, Kind.TOGGLE)):
        client.ask(Kind.TOGGLE)
        proxy.cut_after(position)
        step = client.ask(Kind.TOGGLE)
        assert step is not None
        statuses.add(step.status)
    judge([client], broken.url, max_seconds=PATIENCE_SECONDS, may_cut=False)

    assert 503 in statuses
