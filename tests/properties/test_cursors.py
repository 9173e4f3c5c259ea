"""No cursor, however it was forged, is a fault of the service."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import encode
from msgspec.structs import replace

from tests.harness import User
from tests.properties.effort import effort
from todo_api.routes.task_list import _cursor, _read

offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(timezones=st.none() | st.just(UTC) | offsets).map(datetime.isoformat)
titles = st.text(max_size=300)
ids = st.integers(-2, 2**64) | st.sampled_from([1, 2**63 - 1, 2**63])


@pytest.mark.parametrize("sort", ["created_at", "updated_at", "title"])
@effort(80)
@given(data=st.data())
def test_forged_position_answers_a_list_or_400(alice: User, sort: str, data: st.DataObject) -> None:
    """The digest holds no secret, so that anybody can make one."""
    key: Any = data.draw(titles if sort == "title" else moments)
    query = replace(_read(f"sort={sort}".encode()), owner=alice.id)
    try:
        position = encode((key, data.draw(ids)))
    except UnicodeEncodeError:
        return
    response = alice.http.get(alice.base, params={"sort": sort, "cursor": _cursor(position, query._list())})

    assert response.status_code in {200, 400}, response.text
