"""The Python example, run as a person runs it."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.clients.node import HERE
from tests.harness import Server, User, environment, serving, token
from tests.proxies import proxying, url_through

EXAMPLE = HERE.parent.parent / "examples" / "python" / "todo.py"


def run(server: Server, user: User, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the example for this user."""
    who = {"TODO_API": server.url, "TODO_USER": user.id, "TODO_TOKEN": token(user.id)}
    command = [sys.executable, str(EXAMPLE), *arguments]
    return subprocess.run(command, env=environment(**who), capture_output=True, text=True, timeout=60, check=False)


def test_example_adds_lists_and_completes(server: Server, alice: User) -> None:
    added = run(server, alice, "add", "Buy milk").stdout
    (task,) = alice.http.get(alice.base).json()
    done = run(server, alice, "done", str(task["id"])).stdout

    assert added == f"{task['id']:>6} [ ] Buy milk\n"
    assert done == f"{task['id']:>6} [x] Buy milk\n"
    assert run(server, alice).stdout == done


def test_example_follows_the_list_to_its_end(server: Server, alice: User) -> None:
    ids = [alice.create()["id"] for _ in range(51)]

    assert [int(line.split()[0]) for line in run(server, alice).stdout.splitlines()] == ids[::-1]


def test_example_shows_what_is_wrong(server: Server, alice: User) -> None:
    refused = run(server, alice, "add", " ")

    assert (refused.returncode, refused.stderr) == (1, "title: must not be blank\n")


def test_example_adds_one_task_to_a_database_that_comes_back(database: str, tmp_path: Path) -> None:
    with (
        proxying(database) as proxy,
        serving(tmp_path, DATABASE_URL=url_through(proxy.port, database), DATABASE_WAIT_SECONDS="0.3") as server,
        ThreadPoolExecutor() as beside,
    ):
        user = server.user()
        proxy.refusing = True
        adding = beside.submit(run, server, user, "add", "Buy milk")
        failures = server.log(event="database.failed")
        proxy.refusing = False
        added = adding.result()
        tasks = user.http.get(user.base).json()

    assert failures
    assert added.returncode == 0, added.stderr
    assert [task["title"] for task in tasks] == ["Buy milk"]
