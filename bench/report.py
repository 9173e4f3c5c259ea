"""Tables of what was measured, and whether anything went wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from typing_extensions import override

from bench.load import Result


@dataclass
class Table:
    """Results by contender, round by round. ``reference`` is who the others are compared with."""

    title: str
    reference: str
    rounds: dict[str, list[Result]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, result: Result) -> None:
        """Keep one round of a contender."""
        self.rounds.setdefault(name, []).append(result)

    @property
    def errors(self) -> int:
        """Answers that were no success, and connections that broke."""
        return sum(result.errors for results in self.rounds.values() for result in results)

    def ratio(self, name: str) -> float:
        """How many times the reference serves what this contender serves.

        The median over the rounds.
        """
        pairs = zip(self.rounds[self.reference], self.rounds[name], strict=True)
        return median(ours.rate / theirs.rate if theirs.rate else float("inf") for ours, theirs in pairs)

    @override
    def __str__(self) -> str:
        head = ("contender", "req/s", "µs CPU", "core", "db µs", "p50 ms", "p95 ms", "p99 ms", "errors")
        rows = [[*head, f"{self.reference} is x", "x by CPU"]]
        for name, results in self.rounds.items():
            cpu = _median([result.cpu_microseconds or None for result in results])
            busy = _median([result.busy or None for result in results])
            row = [
                name,
                f"{median(result.rate for result in results):,.0f}",
                _shown(cpu, 0),
                "-" if busy is None else f"{busy:.0%}",
                _shown(_median([result.database_microseconds for result in results]), 0),
                *(_shown(_median([getattr(result, name) for result in results]), 1) for name in ("p50", "p95", "p99")),
                str(sum(result.errors for result in results)),
            ]
            if self.reference in self.rounds:
                own = _median([result.cpu_microseconds or None for result in self.rounds[self.reference]])
                row += [f"{self.ratio(name):.2f}", _shown(cpu / own if cpu and own else None, 2)]
            rows.append(row)
        lines = [f"\n{self.title}", *_aligned(rows)]
        lines += [f"{name}: not measured: {why}" for name, why in self.absent.items()]
        lines += self.notes
        if self.errors:
            lines.append(f"FAILED: {self.errors} errors")
        return "\n".join(lines)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    width = max(map(len, rows))
    full = [[*row, *[""] * (width - len(row))] for row in rows]
    widths = [max(len(row[column]) for row in full) for column in range(width)]
    return [
        "  ".join(
            cell.rjust(size) if column else cell.ljust(size) for column, (cell, size) in enumerate(cells)
        ).rstrip()
        for cells in (list(zip(row, widths, strict=True)) for row in full)
    ]
