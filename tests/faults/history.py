"""One client's requests and answers, and whether a correct service could have answered so.

Each client has a user of its own and sends one request after another, so its history has one order.
A write without an acknowledgement is in doubt: it may take effect once, at any later time, or
never. Whatever else a client sees must be what it was told: every acknowledged write there exactly
once, nothing that was never sent, no task going back to what it was before.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Row = dict[str, Any]
"""A task as the API shows it."""


class Kind(Enum):
    """What a request is to do; the value holds the status of its success."""

    CREATE = ("create", 201)
    READ = ("read", 200)
    LIST = ("list", 200)
    RENAME = ("rename", 200)
    TOGGLE = ("toggle", 200)
    DELETE = ("delete", 200)


@dataclass(frozen=True, slots=True)
class Step:
    """One request and its outcome.

    ``mark`` is the task's description: its client makes it up and never changes it, so it names a
    task also before its id is known. ``status`` is None when the connection ended before the
    answer; times are seconds of one monotonic clock.
    """

    kind: Kind
    mark: str
    title: str
    sent_at: float
    answered_at: float
    status: int | None
    answer: Any = None
    retry_after: str | None = None

    @property
    def rejected(self) -> bool:
        """Whether the service asked to come back later."""
        return self.status == 503


class Being(Enum):
    """What is certain of a task's existence."""

    ASKED_FOR = "a creation in doubt"
    THERE = "there"
    TO_GO = "a deletion in doubt"
    GONE = "gone"


@dataclass(slots=True)
class Known:
    """What one client may expect of one task."""

    being: Being
    title: str
    completed: bool = False
    id: int | None = None
    updated_at: str = ""
    doubtful_titles: set[str] = field(default_factory=set)
    doubtful_toggles: int = 0


class Checker:
    """Follows the history of one client; ``complaints`` are the promises that were broken."""

    def __init__(self, user_id: str) -> None:
        self.complaints: list[str] = []
        self._user_id = user_id
        self._tasks: dict[str, Known] = {}

    def follow(self, steps: Iterable[Step]) -> None:
        """Take in requests and answers, in order."""
        for step in steps:
            if step.kind is Kind.CREATE:
                self._tasks.setdefault(step.mark, Known(Being.ASKED_FOR, step.title))
            if step.status is None or step.rejected:
                self._doubt(step)
            elif step.status == step.kind.value[1]:
                self._acknowledge(step)
            elif step.status == 404 and step.mark in self._tasks:
                self._miss(step.mark, f"{step.kind.name} {step.mark}")
            else:
                self._complain(f"{step.kind.name} {step.mark} answered {step.status}: {step.answer}")

    def finish(self, rows: Sequence[Row]) -> None:
        """Take in all the user's rows that are there in the end."""
        self._list(rows, "in the end")

    def _complain(self, sentence: str) -> None:
        self.complaints.append(f"{self._user_id}: {sentence}")

    def _doubt(self, step: Step) -> None:
        if step.rejected and not (step.retry_after or "").isdigit():
            self._complain(f"{step.kind.name} answered 503 with Retry-After {step.retry_after!r}")
        known = self._tasks.get(step.mark)
        if known is None:
            return
        if step.kind is Kind.RENAME:
            known.doubtful_titles.add(step.title)
        elif step.kind is Kind.TOGGLE:
            known.doubtful_toggles += 1
        elif step.kind is Kind.DELETE and known.being is Being.THERE:
            known.being = Being.TO_GO

    def _acknowledge(self, step: Step) -> None:
        if step.kind is Kind.LIST:
            self._list(step.answer, "listed")
            return
        known, row = self._tasks[step.mark], step.answer
        before = known.updated_at
        if step.kind is Kind.RENAME:
            known.title = step.title
        elif step.kind is Kind.TOGGLE:
            known.completed = not known.completed
        self._see(row, step.kind.name)
        if step.kind is Kind.RENAME and row["title"] != step.title:
            self._complain(f"RENAME of {step.mark} to {step.title!r} answered {row['title']!r}")
        if step.kind is Kind.CREATE and row["updated_at"] != row["created_at"]:
            self._complain(f"{step.mark} was changed before it was created")
        if step.kind in {Kind.RENAME, Kind.TOGGLE} and row["updated_at"] <= before:
            self._complain(f"{step.kind.name} of {step.mark} did not move updated_at on from {before}")
        if step.kind is Kind.DELETE:
            known.being = Being.GONE

    def _list(self, rows: Sequence[Row], where: str) -> None:
        marks = Counter(row["description"] for row in rows)
        for mark, count in marks.items():
            if count > 1:
                self._complain(f"{mark} is there {count} times ({where})")
        for row in rows:
            self._see(row, where)
        for mark, known in self._tasks.items():
            if mark not in marks and known.being is not Being.ASKED_FOR:
                self._miss(mark, where)

    def _miss(self, mark: str, where: str) -> None:
        known = self._tasks[mark]
        if known.being in {Being.THERE, Being.ASKED_FOR}:
            self._complain(f"{mark} was acknowledged and is not there ({where})")
        known.being = Being.GONE

    def _see(self, row: Row, where: str) -> None:
        """Compare one row with what may be expected, and expect it from now on."""
        known = self._tasks.get(row["description"])
        if known is None or row["user_id"] != self._user_id:
            self._complain(f"{row} was never sent ({where})")
            return
        if known.being is Being.GONE:
            self._complain(f"{row['description']} was deleted and is there ({where})")
        if known.being is Being.ASKED_FOR:
            known.being = Being.THERE
        self._see_change(known, row, where)
        known.id, known.updated_at = row["id"], row["updated_at"]

    def _see_change(self, known: Known, row: Row, where: str) -> None:
        mark = row["description"]
        if known.id not in {None, row["id"]}:
            self._complain(f"{mark} has the ids {known.id} and {row['id']} ({where})")
        changed = (row["title"], row["completed"]) != (known.title, known.completed)
        if row["updated_at"] < known.updated_at or (changed and row["updated_at"] == known.updated_at):
            self._complain(f"{mark} went from {known} to {row} ({where})")
        if row["title"] != known.title:
            if row["title"] not in known.doubtful_titles:
                self._complain(f"{mark} is called {row['title']!r} instead of {known.title!r} ({where})")
            known.title = row["title"]
        known.doubtful_titles.discard(row["title"])
        if row["completed"] != known.completed:
            known.doubtful_toggles -= 1
            known.completed = row["completed"]
            if known.doubtful_toggles < 0:
                self._complain(f"{mark} was toggled by nobody ({where})")


def complaints(user_id: str, steps: Iterable[Step], rows: Sequence[Row]) -> list[str]:
    """The promises that were broken to one client, given its history and its rows in the end."""
    checker = Checker(user_id)
    checker.follow(steps)
    checker.finish(rows)
    return checker.complaints
