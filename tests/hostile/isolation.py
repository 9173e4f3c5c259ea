"""How other users are served while one user requests as much as they can.

``python -m tests.hostile.isolation [SECONDS]`` prints, for each way to ask for much, how many
requests of other users were served beside it, and how fast. The tests use the same parts and count
alone.
"""

import json
import selectors
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from urllib.parse import quote

import psycopg

from tests.api.wire import connect
from tests.forked import FORK_SERVER
from tests.harness import PATIENCE_SECONDS, Server, User, cloned_database, postgres_with_template, serving, token

SEARCH = "b" + 199 * "a"
"""The worst that can be looked for in text that holds nothing but the letter a."""

PAUSE_SECONDS = 0.02
OTHERS = 8


@dataclass(frozen=True)
class Attack:
    """A heavy user: what they own, and what ``clients`` connections request again and again."""

    name: str
    tasks: int
    letter: str
    clients: int
    request: str
    """Method and path below the user's tasks; ``{id}`` is one of them."""


ATTACKS = (
    Attack("a search that takes seconds", 3000, "a", 64, f"GET ?search={quote(SEARCH)}"),
    Attack("a search that takes milliseconds", 60, "a", 64, f"GET ?search={quote(SEARCH)}"),
    Attack("lists of 5.2 MB", 1000, "\N{GRINNING FACE}", 40, "GET ?limit=1000"),
    Attack("lists of 1.3 MB", 250, "\N{GRINNING FACE}", 40, "GET ?limit=250"),
    Attack("toggles of one task", 1, "a", 64, "PATCH /{id}/complete"),
)


@dataclass
class Others:
    """Other users at work: every status they were answered, and how long each answer took."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """So many seconds, or fewer, took this share of the answers."""
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))]


def prepare(database: str, server: Server, attack: Attack) -> tuple[User, bytes]:
    """The attacker, who owns the tasks, and the bytes of one request."""
    user = server.user()
    first = user.create()
    with psycopg.connect(database) as connection:
        connection.execute(
            "INSERT INTO tasks (user_id, title, description)"
            " SELECT %s, repeat(%s, 255), repeat(%s, 1000) FROM generate_series(2, %s)",
            [user.id, attack.letter, attack.letter, attack.tasks],
        )
    method, _, rest = attack.request.format(id=first["id"]).partition(" ")
    lines = f"{method} {user.base}{rest} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(user.id)}\r\n\r\n"
    return user, lines.encode()


@contextmanager
def attacked(server: Server, attack: Attack, request: bytes) -> Iterator[None]:
    """The attack for one block, from a process of its own."""
    started = FORK_SERVER.Event()
    process = FORK_SERVER.Process(target=run_attack, args=(server.url, attack.clients, request, started))
    process.start()
    try:
        assert started.wait(PATIENCE_SECONDS)
        yield
    finally:
        process.kill()
        process.join()


def run_attack(url: str, clients: int, request: bytes, started: Event) -> None:
    """Send requests over so many connections, each as soon as the last is answered."""
    with ExitStack() as held, selectors.DefaultSelector() as selector:
        for _ in range(clients):
            connection = held.enter_context(connect(Server(url, None, Path())))  # type: ignore[arg-type]
            connection.sendall(request)
            selector.register(connection, selectors.EVENT_READ, [b"", 0])
        started.set()
        while True:
            for key, _ in selector.select():
                piece = key.fileobj.recv(2**20)  # type: ignore[union-attr]
                state = key.data
                if state[1]:
                    state[1] -= len(piece)
                else:
                    head, _, body = piece.partition(b"\r\n\r\n")
                    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                    state[1] = length - len(body)
                if state[1] == 0:
                    key.fileobj.sendall(request)  # type: ignore[union-attr]


def others_at_work(server: Server, seconds: float, users: int = OTHERS) -> Others:
    """So many other users create, read, list, complete and delete, with short pauses."""
    others, until = Others(), time.monotonic() + seconds

    def work() -> None:
        user = server.user()
        while time.monotonic() < until:
            task = {"id": 0}
            for method, rest, body in (
                ("POST", "", {"title": "Buy milk"}),
                ("GET", "", None),
                ("GET", "/{id}", None),
                ("PATCH", "/{id}/complete", None),
                ("GET", "?search=milk", None),
                ("DELETE", "/{id}", None),
            ):
                started = time.monotonic()
                response = user.http.request(method, user.base + rest.format(**task), json=body)
                others.seconds.append(time.monotonic() - started)
                others.statuses[response.status_code] += 1
                if method == "POST" and response.status_code == 201:
                    task = response.json()
                time.sleep(PAUSE_SECONDS)

    threads = [threading.Thread(target=work) for _ in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return others


def main(seconds: float) -> None:
    """Print the table."""
    with (
        postgres_with_template() as postgres,
        cloned_database(postgres) as database,
        tempfile.TemporaryDirectory() as directory,
        serving(Path(directory), DATABASE_URL=database) as server,
    ):
        print_line("alone", others_at_work(server, seconds))
        for attack in ATTACKS:
            _, request = prepare(database, server, attack)
            with attacked(server, attack, request):
                print_line(attack.name, others_at_work(server, seconds))


def print_line(name: str, others: Others) -> None:
    """One line of the table."""
    figures = ", ".join(f"p{share:.0f} {others.percentile(share / 100) * 1000:.0f} ms" for share in (50, 95, 99, 100))
    sys.stdout.write(f"{name}: {json.dumps(others.statuses)}; {figures}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(float(sys.argv[1] if len(sys.argv) > 1 else 10))
