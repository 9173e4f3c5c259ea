"""What is measured: each variant starts contenders, presses them in turn, and answers tables."""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bench.contenders import FASTIFY, GO, NAMES, OURS, PGBENCH, TUTORIAL, Server, Unavailable, serving
from bench.database import ACTIVE_USERS, TASKS_PER_USER, Postgres, Target, filled
from bench.load import Result, finish_wrk, press, press_postgres, start_wrk
from bench.machine import running, sample
from bench.report import Table

SMALL_TASKS = ACTIVE_USERS * TASKS_PER_USER
WARM_UP_SECONDS = 2
DELAY_MILLISECONDS = 5
CROWD = 1_000
SATURATING = 128
"""Connections that ask again at once and keep one worker wholly busy."""

FLOOD = 3_000
LONG_LIST = 1_000
MEMORY_REQUESTS = 500_000
MEMORY_LIMIT_SECONDS = 600
MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    seconds: float
    rounds: int
    only: tuple[str, ...]
    kinds: tuple[str, ...]
    big_tasks: int

    def wanted(self, *names: str) -> list[str]:
        """Those of the names that take part."""
        return [name for name in names if not self.only or name in self.only]


class Bench:
    """One run: PostgreSQL is up and filled; each method is a variant."""

    def __init__(self, postgres: Postgres, options: Options) -> None:
        self._postgres = postgres
        self._options = options
        self._small = filled(postgres, "small", SMALL_TASKS)

    def mixed(self) -> Iterator[Table]:
        """Everyone at 32 connections; the limit beside them."""
        with self._started(self._options.wanted(*NAMES), self._small) as (servers, absent):
            for kind in self._options.kinds:
                table = Table(f"{kind}: 32 connections, {SMALL_TASKS:,} tasks", OURS, absent=absent)
                pgbench = PGBENCH if PGBENCH in self._options.wanted(*NAMES) else None
                self._rounds(table, servers, kind=kind, connections=32, limit=pgbench)
                yield table

    def latency(self) -> Iterator[Table]:
        """The database some milliseconds away, each way."""
        with self._far_away() as (far, relay_pid):
            names = self._options.wanted(OURS, GO, FASTIFY, TUTORIAL)
            with self._started(names, far) as (servers, absent):
                for kind, connections in (("post", 1), ("get", 100), ("mixed", 100)):
                    title = f"{kind}: {connections} clients, the database {DELAY_MILLISECONDS} ms away each way"
                    table = Table(title, OURS, absent=absent)
                    before, began = sample(relay_pid).cpu_seconds, time.monotonic()
                    self._rounds(table, servers, kind=kind, connections=connections)
                    share = (sample(relay_pid).cpu_seconds - before) / (time.monotonic() - began)
                    table.notes.append(f"The relay that delays used {share:.0%} of a core on average.")
                    yield table

    def connections(self) -> Iterator[Table]:
        """A thousand connections at once.

        How a rejection fares meanwhile, and what the worker weighs.
        """
        with (
            self._far_away() as (far, _),
            self._started(self._options.wanted(OURS, GO, FASTIFY, TUTORIAL), self._small) as (servers, absent),
            self._started(self._options.wanted(OURS), far, suffix=", database far") as (distant, distant_absent),
        ):
            table = Table(f"mixed: {CROWD:,} connections", OURS, absent=absent | distant_absent)
            rejections = Table("401 for no token, meanwhile, 10 connections at 10 requests a second", OURS)
            weights: dict[str, int] = {}
            for turn in range(self._options.rounds):
                for server in _rotated([*servers, *distant], turn):
                    result, rejected, heaviest = self._crowded(server, turn)
                    table.add(server.name, result)
                    rejections.add(server.name, rejected)
                    weights[server.name] = max(heaviest, weights.get(server.name, 0))
            table.notes += [f"{name}: {weight / MEGABYTE:.0f} MB resident at most" for name, weight in weights.items()]
            yield table
            yield rejections

    def overload(self) -> Iterator[Table]:
        """Ours: as many as it can serve, three times as many, far too many, one user's flood."""
        with self._started(self._options.wanted(OURS), self._small) as (servers, absent):
            table = Table("overload: what is answered 2xx", OURS, absent=absent)
            for turn in range(self._options.rounds):
                for server in servers:
                    self._overloaded(server, table, turn)
            for name, results in table.rounds.items():
                rejected = median(
                    result.rejected * result.rate / (result.requests - result.rejected) for result in results
                )
                table.notes.append(f"{name}: {rejected:,.0f} rejections a second")
            yield table

    def data(self) -> Iterator[Table]:
        """Ours, on a small and on a big database."""
        _tell(f"loading {self._options.big_tasks:,} tasks")
        big = filled(self._postgres, "big", self._options.big_tasks)
        suffix = f", {big.tasks:,} tasks"
        with (
            self._started([OURS], self._small) as (small_servers, small_absent),
            self._started([OURS], big, suffix=suffix) as (big_servers, big_absent),
        ):
            for kind in self._options.kinds:
                table = Table(f"{kind}: 32 connections, {SMALL_TASKS:,} and {big.tasks:,} tasks", OURS)
                table.absent |= small_absent | big_absent
                self._rounds(table, [*small_servers, *big_servers], kind=kind, connections=32)
                if len(table.rounds) == 2:
                    share = 1 / table.ratio(f"{OURS}{suffix}")
                    table.notes.append(f"Throughput with the big table is {share:.2f} of that with the small one.")
                yield table

    def rows(self) -> Iterator[Table]:
        """Ours, lists of 20 and of 1,000 tasks of the same users."""
        target = filled(self._postgres, "rows", LONG_LIST * 100, tasks_per_user=LONG_LIST)
        with self._started([OURS], target) as (servers, absent):
            costs = []
            for kind, length in (("list", 20), ("long", LONG_LIST)):
                table = Table(f"{kind}: {length:,} of {LONG_LIST:,} tasks, 8 connections", OURS, absent=absent)
                self._rounds(table, servers, kind=kind, connections=8)
                costs += [median(result.cpu_microseconds for result in table.rounds[OURS]) for _ in servers]
                if len(costs) == 2:
                    per_thousand = (costs[1] - costs[0]) * 1000 / (LONG_LIST - 20)
                    table.notes.append(f"1,000 rows more cost the service {per_thousand:.0f} µs of CPU.")
                yield table

    def memory(self) -> Iterator[Table]:
        """What a worker of ours weighs before and after many requests."""
        with self._started([OURS], self._small) as (servers, absent):
            table = Table(f"mixed: memory over {MEMORY_REQUESTS:,} requests", OURS, absent=absent)
            for server in servers:
                before = sample(server.pid).resident_bytes
                done, until = 0, time.monotonic() + MEMORY_LIMIT_SECONDS
                while done < MEMORY_REQUESTS and time.monotonic() < until:
                    result = press(server, self._postgres, kind="mixed", seconds=10, seed=done)
                    table.add(server.name, result)
                    done += result.requests
                after = sample(server.pid).resident_bytes
                table.notes.append(
                    f"{before / MEGABYTE:.1f} MB resident before, {after / MEGABYTE:.1f} MB after {done:,} requests"
                )
            yield table

    @contextmanager
    def _started(
        self, names: Sequence[str], target: Target, *, suffix: str = ""
    ) -> Iterator[tuple[list[Server], dict[str, str]]]:
        """The contenders that can take part, warmed up, and why the others cannot."""
        servers: list[Server] = []
        absent: dict[str, str] = {}
        with ExitStack() as stack:
            for name in names:
                if name == PGBENCH:
                    continue
                _tell(f"starting {name}{suffix}")
                try:
                    server = stack.enter_context(serving(name, target, self._postgres))
                except Unavailable as reason:
                    absent[f"{name}{suffix}"] = str(reason)
                    continue
                press(server, self._postgres, kind="mixed", seconds=WARM_UP_SECONDS)
                servers.append(replace(server, name=f"{name}{suffix}"))
            yield servers, absent

    def _rounds(
        self, table: Table, servers: Sequence[Server], *, kind: str, connections: int, limit: str | None = None
    ) -> None:
        """Press the contenders in turn, each round beginning with another one."""
        for turn in range(self._options.rounds):
            for server in _rotated(servers, turn):
                _tell(f"{kind}, round {turn + 1}: {server.name}")
                self._postgres.tidy(server.target.name)
                table.add(
                    server.name,
                    press(
                        server,
                        self._postgres,
                        kind=kind,
                        seconds=self._options.seconds,
                        connections=connections,
                        seed=turn + 1,
                    ),
                )
            if limit is not None:
                self._postgres.tidy(self._small.name)
                seconds = self._options.seconds
                table.add(limit, press_postgres(self._small, self._postgres, kind=kind, seconds=seconds, seed=turn + 1))

    def _crowded(self, server: Server, turn: int) -> tuple[Result, Result, int]:
        """The mix over many connections, rejections beside it, and the server's peak memory."""
        _tell(f"{CROWD:,} connections, round {turn + 1}: {server.name}")
        self._postgres.tidy(server.target.name)
        seconds, heaviest = self._options.seconds, 0
        over = threading.Event()

        def weigh() -> None:
            nonlocal heaviest
            while not over.wait(0.5):
                heaviest = max(heaviest, sample(server.pid).resident_bytes)

        watcher = threading.Thread(target=weigh)
        watcher.start()
        # The rejected begin after the crowd has connected and end before it goes.
        beside = max(1.0, seconds - 2)
        wrk = start_wrk(server, kind="rejected", seconds=beside, connections=10)
        try:
            result = press(server, self._postgres, kind="mixed", seconds=seconds, connections=CROWD, seed=turn + 1)
        finally:
            over.set()
            watcher.join()
            summary = finish_wrk(wrk, beside)
        wrong = summary["requests"] - summary["status"] + summary["socket"]
        rejected = Result(
            rate=summary["requests"] / (summary["duration"] / 1e6),
            cpu_microseconds=0,
            busy=0,
            database_microseconds=0,
            p50=summary["p50"] / 1000,
            p95=summary["p95"] / 1000,
            p99=summary["p99"] / 1000,
            errors=abs(wrong),
            requests=summary["requests"],
        )
        return result, rejected, heaviest

    def _overloaded(self, server: Server, table: Table, turn: int) -> None:
        """One round of the variant ``overload``."""
        seconds, seed = self._options.seconds, turn + 1

        def pressed(name: str, kind: str, connections: int, seconds: float) -> None:
            _tell(f"{name}, round {seed}")
            result = press(server, self._postgres, kind=kind, seconds=seconds, connections=connections, seed=seed)
            table.add(name, result.served())

        pressed(OURS, "mixed", SATURATING, seconds)
        for connections in (3 * SATURATING, FLOOD):
            pressed(f"{connections:,} connections", "mixed", connections, seconds)
        pressed("16 connections alone", "mixed", 16, seconds)
        flood = start_wrk(server, kind="flood", seconds=seconds + 2, connections=FLOOD, seed=seed)
        time.sleep(1)
        pressed(f"16 connections beside one user's {FLOOD:,}", "mixed", 16, seconds)
        finish_wrk(flood, seconds)

    @contextmanager
    def _far_away(self) -> Iterator[tuple[Target, int]]:
        """The small database behind a relay that delays, and the relay's process id."""
        directory = self._postgres.directory / "far"
        directory.mkdir(exist_ok=True)
        listen = directory / ".s.PGSQL.5432"
        listen.unlink(missing_ok=True)
        command = [sys.executable, "-m", "bench.delay", str(listen), str(self._postgres.socket / listen.name)]
        root = Path(__file__).parent.parent
        with running([*command, str(DELAY_MILLISECONDS)], errors=directory / "errors", directory=root) as process:
            until = time.monotonic() + 10
            while not listen.exists():
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"the relay did not start: {(directory / 'errors').read_text()[-300:]}")
                time.sleep(0.05)
            yield replace(self._small, socket=directory), process.pid


def _rotated(servers: Sequence[Server], turn: int) -> list[Server]:
    start = turn % len(servers) if servers else 0
    return [*servers[start:], *servers[:start]]


def _tell(what: str) -> None:
    print(f"… {what}", file=sys.stderr, flush=True)
