"""The load: wrk against a server, pgbench against PostgreSQL; each answers a ``Result``."""

import json
import re
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.contenders import Server
from bench.database import ACTIVE_USERS, TASKS_PER_USER, Postgres, Target
from bench.machine import pinned, sample
from todo_api import queries
from todo_api.db import Statement, compile_statement

SCRIPT = Path(__file__).with_name("mixed.lua")
ANSWER_SECONDS = 30
MIX = {"list": 50, "get": 25, "patch": 15, "post": 10}
STATEMENTS: dict[str, Any] = {
    "list": queries.select_tasks(),
    "get": queries.SELECT_TASK,
    "patch": queries.COMPLETE_TASK,
    "post": queries.INSERT_TASK,
}
# What a bind is in pgbench's script; one that is not named here is NULL.
VALUES = {
    "owner": "md5(:user::text)",
    "task_id": ":id",
    "limit": "20",
    "title": "'Buy milk'",
    "description": "'Two litres, semi-skimmed'",
    "completed": "true",
    "statement_timeout_milliseconds": "'3000'",
    "plan_cache_mode": "'force_generic_plan'",
}


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement; times in milliseconds, None where it was not measured."""

    rate: float
    cpu_microseconds: float
    busy: float
    database_microseconds: float
    p50: float | None
    p95: float | None
    p99: float | None
    errors: int
    requests: int
    rejected: int = 0
    """How many of the requests were answered 400 or above; they count among the errors."""

    def served(self) -> "Result":
        """The same, where rejections are what ought to happen.

        They are no errors, and no throughput either.
        """
        share = 1 - self.rejected / max(1, self.requests)
        return replace(self, rate=self.rate * share, errors=self.errors - self.rejected)


def press(
    server: Server, postgres: Postgres, *, kind: str, seconds: float, connections: int = 32, seed: int = 1
) -> Result:
    """Load a server with one kind of request, or the mix, and count every answer."""
    began = time.monotonic()
    cpu, database = sample(server.pid).cpu_seconds, postgres.cpu_seconds()
    process = start_wrk(server, kind=kind, seconds=seconds, connections=connections, seed=seed)
    summary = finish_wrk(process, seconds)
    cpu, database = sample(server.pid).cpu_seconds - cpu, postgres.cpu_seconds() - database
    return _result(summary, cpu, database, time.monotonic() - began)


def start_wrk(server: Server, *, kind: str, seconds: float, connections: int, seed: int = 1) -> subprocess.Popen[str]:
    """Start wrk, with one thread, on the load's core."""
    return subprocess.Popen(
        [
            *("wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{max(1, round(seconds))}s"),
            *("--timeout", f"{ANSWER_SECONDS}s", "--script", str(SCRIPT), server.url),
            *("--", str(server.target.users), kind, str(seed)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish_wrk(process: subprocess.Popen[str], seconds: float) -> dict[str, int]:
    """Wait for wrk; what ``done`` in its script printed."""
    try:
        output, _ = process.communicate(timeout=seconds + ANSWER_SECONDS + 30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if process.returncode or not lines:
        raise RuntimeError(f"wrk failed: {output.strip()[-500:]}")
    summary: dict[str, int] = json.loads(lines[-1])
    return summary


def _result(summary: dict[str, int], cpu: float, database: float, wall: float) -> Result:
    requests = max(1, summary["requests"])
    return Result(
        rate=summary["requests"] / (summary["duration"] / 1e6),
        cpu_microseconds=cpu / requests * 1e6,
        busy=cpu / wall,
        database_microseconds=database / requests * 1e6,
        p50=summary["p50"] / 1000,
        p95=summary["p95"] / 1000,
        p99=summary["p99"] / 1000,
        errors=summary["status"] + summary["socket"] + (summary["requests"] == 0),
        requests=summary["requests"],
        rejected=summary["status"],
    )


def press_postgres(
    target: Target, postgres: Postgres, *, kind: str, seconds: float, connections: int = 32, seed: int = 1
) -> Result:
    """The limit: pgbench in a server's place, sending the same statements and nothing else."""
    scripts = []
    for name, weight in (MIX if kind == "mixed" else {kind: 1}).items():
        path = postgres.directory / f"{name}.pgbench"
        path.write_text(_script(STATEMENTS[name]))
        scripts += ["-f", f"{path}@{weight}"]
    began, database = time.monotonic(), postgres.cpu_seconds()
    process = subprocess.Popen(
        pinned(
            [
                *(str(postgres.programs / "pgbench"), "-n", "-M", "prepared", "-c", str(connections), "-j", "1"),
                *("-T", str(max(1, round(seconds))), "--random-seed", str(seed), *scripts),
                *("-h", str(target.socket), "-U", "postgres", target.name),
            ]
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds + 60)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    requests = _number(r"transactions actually processed: (\d+)", output)
    failed = _number(r"failed transactions: (\d+)", output)
    return Result(
        rate=_number(r"tps = ([\d.]+)", output),
        cpu_microseconds=0,
        busy=0,
        database_microseconds=(postgres.cpu_seconds() - database) / max(1, requests) * 1e6,
        p50=None,
        p95=None,
        p99=None,
        errors=round(failed) + bool(process.returncode) + (time.monotonic() - began > seconds + 30),
        requests=round(requests),
    )


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"pgbench failed: {text.strip()[-500:]}")
    return float(found[1])


def _script(statement: Any) -> str:
    """A pgbench script: preamble and statement in one round trip, as the service sends them."""
    lines = [
        f"\\set user random(0, {ACTIVE_USERS - 1})",
        f"\\set id :user + 1 + {ACTIVE_USERS} * random(0, {TASKS_PER_USER - 1})",
        "\\startpipeline",
        f"{_inline(compile_statement(queries.TRANSACTION_PREAMBLE))};",
        f"{_inline(compile_statement(statement))};",
        "\\endpipeline",
    ]
    return "\n".join(lines) + "\n"


def _inline(statement: Statement) -> str:
    """The statement with pgbench's variables, or constants, for its parameters."""
    # pgbench takes ":MI" for a variable even within quotes.
    sql = re.sub(
        "'[^']*'", lambda literal: _escaped(literal[0]) if ":" in literal[0] else literal[0], statement.sql.decode()
    )
    return re.sub(r"\$(\d+)", lambda number: VALUES.get(statement.binds[int(number[1]) - 1], "NULL"), sql)


def _escaped(literal: str) -> str:
    return "E" + literal.replace(":", "\\x3a")
