"""A task on the wire has six fractional digits in its times, also when they are zero."""

import json
from datetime import UTC, datetime

import pytest

from todo_api.routes.representations import Json, Task

WHOLE = datetime(2026, 11, 20, 20, 53, 46, tzinfo=UTC)
BROKEN = WHOLE.replace(microsecond=424_000)


def task(created_at: datetime, updated_at: datetime, title: str = "Buy milk") -> object:
    return Task(1, "u1", title, None, False, created_at, updated_at)


@pytest.mark.parametrize("created_at", [WHOLE, BROKEN])
@pytest.mark.parametrize("updated_at", [WHOLE, BROKEN])
def test_whole_second_has_six_zeros(created_at: datetime, updated_at: datetime) -> None:
    answer = Json(task(created_at, updated_at))
    found = json.loads(bytes(answer.body))

    assert [found["created_at"], found["updated_at"]] == [
        f"{moment.isoformat(timespec='microseconds')[:-6]}Z" for moment in (created_at, updated_at)
    ]
    assert answer.tag.decode() == f'"{found["updated_at"]}"'


def test_text_that_looks_like_a_time_stays_as_it_is() -> None:
    title = '_at":"2026-11-20T20:53:46Z'
    answer = Json([task(WHOLE, BROKEN, title), task(BROKEN, WHOLE)])

    assert [found["title"] for found in json.loads(bytes(answer.body))] == [title, "Buy milk"]
    assert bytes(answer.body).count(b".000000Z") == 2
