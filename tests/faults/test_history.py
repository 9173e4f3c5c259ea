"""The judge of the fault scenarios, judged: it accepts what may happen and rejects what may not."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.faults.history import Kind, Row, Step, complaints

ALICE = "alice"


def row(title: str = "one", *, at: int = 1, completed: bool = False, mark: str = "first", **more: Any) -> Row:
    """A task as answered; ``at`` says when it was changed, 1 when it was created."""
    times = {"created_at": "2026-11-20T20:00:01Z", "updated_at": f"2026-11-20T20:00:{at:02}Z"}
    return {"id": 1, "user_id": ALICE, "title": title, "description": mark, "completed": completed, **times, **more}


def step(kind: Kind, answer: Any = None, *, title: str = "one", mark: str = "first", status: int | None = 0) -> Step:
    """A request that succeeded, unless ``status`` says otherwise."""
    told = kind.value[1] if status == 0 else status
    return Step(kind, mark, title, 0.0, 0.0, told, answer, "1" if told == 503 else None)


CREATED = step(Kind.CREATE, row())
RENAMED = step(Kind.RENAME, row("two", at=2), title="two")
TOGGLED = step(Kind.TOGGLE, row(at=2, completed=True))
DELETED = step(Kind.DELETE, row())
UNSURE_CREATION = step(Kind.CREATE, status=503)
UNSURE_RENAMING = step(Kind.RENAME, title="two", status=503)
UNSURE_TOGGLE = step(Kind.TOGGLE, status=None)
UNSURE_DELETION = step(Kind.DELETE, status=503)
NOT_FOUND = step(Kind.READ, status=404)


def read(*answers: Row) -> list[Step]:
    """Reads that were answered so."""
    return [step(Kind.READ, answer) for answer in answers]


def listed(*rows: Row) -> Step:
    """A list that was answered so."""
    return step(Kind.LIST, list(rows), mark="")


@pytest.mark.parametrize(
    ("steps", "rows"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([CREATED, RENAMED, *read(row("two", at=2))], [row("two", at=2)], id="what was acknowledged"),
        pytest.param([CREATED, DELETED, NOT_FOUND, listed()], [], id="a deleted task is gone"),
        pytest.param([UNSURE_CREATION, listed()], [], id="a creation in doubt that was not carried out"),
        pytest.param([UNSURE_CREATION, listed()], [row()], id="a creation in doubt that came late"),
        pytest.param([UNSURE_CREATION, CREATED], [row()], id="a creation in doubt, repeated and acknowledged"),
        pytest.param([CREATED, UNSURE_RENAMING], [row()], id="a renaming in doubt that was not carried out"),
        pytest.param([CREATED, UNSURE_RENAMING, *read(row())], [row("two", at=2)], id="a renaming that came late"),
        pytest.param([CREATED, UNSURE_TOGGLE], [row(at=2, completed=True)], id="a toggle in doubt"),
        pytest.param([CREATED, UNSURE_TOGGLE, replace(TOGGLED, answer=row(at=3))], [row(at=3)], id="two toggles"),
        pytest.param([CREATED, UNSURE_DELETION, NOT_FOUND], [], id="a deletion in doubt that was carried out"),
        pytest.param([CREATED, UNSURE_DELETION, *read(row())], [row()], id="a deletion that was not"),
    ],
)
def test_possible_history_is_accepted(steps: Sequence[Step], rows: Sequence[Row]) -> None:
    assert complaints(ALICE, steps, rows) == []


@pytest.mark.parametrize(
    ("steps", "rows"),
    [
        pytest.param([CREATED], [], id="lost creation"),
        pytest.param([CREATED, listed()], [row()], id="list without what was created"),
        pytest.param([CREATED, NOT_FOUND], [row()], id="404 for what is there"),
        pytest.param([CREATED], [row(), row(id=2)], id="doubled creation"),
        pytest.param([UNSURE_CREATION], [row(), row(id=2)], id="doubled creation in doubt"),
        pytest.param([CREATED], [row(id=2)], id="other id"),
        pytest.param([CREATED], [row(), row(mark="second", id=2)], id="task that was never sent"),
        pytest.param([CREATED], [row(user_id="bob")], id="task of another user"),
        pytest.param([CREATED], [row("three", at=2)], id="title that was never sent"),
        pytest.param([CREATED, RENAMED], [row()], id="lost renaming"),
        pytest.param([CREATED, RENAMED], [row("one", at=3)], id="renaming taken back"),
        pytest.param([CREATED, RENAMED, *read(row("two", at=1))], [row("two", at=2)], id="time that went back"),
        pytest.param([CREATED, replace(RENAMED, answer=row("two"))], [row("two")], id="time that stood still"),
        pytest.param([CREATED, replace(RENAMED, answer=row(at=2))], [row(at=2)], id="renaming without effect"),
        pytest.param(
            [CREATED, UNSURE_RENAMING, *read(row("two", at=2), row(at=3))],
            [row(at=3)],
            id="renaming that came and went",
        ),
        pytest.param([CREATED, replace(TOGGLED, answer=row(at=2))], [row(at=2)], id="toggle carried out twice"),
        pytest.param([CREATED], [row(at=2, completed=True)], id="toggle that was never sent"),
        pytest.param(
            [CREATED, UNSURE_TOGGLE, *read(row(at=2, completed=True), row(at=3))],
            [row(at=3)],
            id="toggle in doubt twice",
        ),
        pytest.param([CREATED, DELETED], [row()], id="lost deletion"),
        pytest.param([CREATED, UNSURE_DELETION, NOT_FOUND, *read(row())], [row()], id="task that came back"),
        pytest.param([CREATED, step(Kind.READ, status=500)], [row()], id="500"),
        pytest.param([CREATED, step(Kind.READ, status=401)], [row()], id="401"),
        pytest.param([step(Kind.LIST, mark="", status=404)], [], id="404 for a list"),
        pytest.param([replace(UNSURE_CREATION, retry_after=None)], [], id="503 without Retry-After"),
        pytest.param([replace(CREATED, answer=row(at=2))], [row(at=2)], id="change before the creation"),
    ],
)
def test_impossible_history_is_rejected(steps: Sequence[Step], rows: Sequence[Row]) -> None:
    assert len(complaints(ALICE, steps, rows)) > 0
