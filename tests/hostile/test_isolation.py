"""One user requests as much as they can; all requests of others are served meanwhile.

How fast depends on the machine: ``python -m tests.hostile.isolation`` prints the percentiles.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Server, serving, wait_for
from tests.hostile.isolation import ATTACKS, Attack, attacked, others_at_work, prepare

SECONDS = float(os.environ.get("HOSTILE_SECONDS", "1"))


@pytest.fixture(scope="module")
def server(worker_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("isolation"), DATABASE_URL=worker_database) as server:
        yield server


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_requests_of_others_are_all_served_beside(
    server: Server, worker_database: str, tmp_path: Path, attack: Attack
) -> None:
    user, request = prepare(worker_database, server, attack)
    with attacked(server, attack, request):
        others = others_at_work(server, SECONDS)

    assert set(others.statuses) == {200, 201}
    # Once what they asked for is done or given up, the attacker is served too.
    wait_for(lambda: user.http.get(user.base, params={"limit": "1"}).status_code == 200, "still 503")
