"""The same behaviour under any ASGI server.

Faults in a route, and a root path that the server puts before paths.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.test_tasks import assert_problem
from tests.faulty import faulty_app
from tests.harness import SECRET, Server, running
from tests.serving import Serving, on_our_loop
from todo_api.settings import Settings

ROOT = Path(__file__).parents[2]
UVICORN = str(Path(sys.executable).with_name("uvicorn"))

Get = Callable[[str], httpx.Response]


@pytest.fixture(scope="module")
def foreign(worker_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service under plain uvicorn, which puts a root path before each path."""
    command = [UVICORN, "tests.faulty:app", "--app-dir", str(ROOT), "--root-path", "/backend", "--log-level", "warning"]
    with running(tmp_path_factory.mktemp("foreign"), command, DATABASE_URL=worker_database) as server:
        yield server


def get_from_our_server(path: str) -> httpx.Response:
    """One answer of our server, in this process, with no database."""
    settings = Settings(_env_file=None, database_url="postgresql://127.0.0.1:1/x", better_auth_secret=SECRET)

    responses = []

    async def get() -> None:
        async with Serving(faulty_app(settings)) as server, httpx.AsyncClient() as client:
            responses.append(await client.get(f"http://127.0.0.1:{server.port}{path}"))

    on_our_loop(get)
    return responses[0]


@pytest.fixture(params=["our server", "uvicorn"])
def get(request: pytest.FixtureRequest) -> Get:
    """Gets a path from the service under either server."""
    if request.param == "our server":
        return get_from_our_server
    foreign: Server = request.getfixturevalue("foreign")
    return foreign.client().get


class TestFaultInARoute:
    def test_is_a_problem(self, get: Get) -> None:
        body = assert_problem(get("/fails"), 500, "internal_error")

        assert "private" not in str(body)

    def test_after_a_complete_response_changes_nothing(self, get: Get) -> None:
        response = get("/fails-afterwards")

        assert (response.status_code, response.text) == (200, "complete")

    def test_halfway_cuts_the_connection(self, get: Get) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            get("/fails-halfway")

    def test_is_logged_without_its_words_and_without_a_traceback(self, foreign: Server) -> None:
        foreign.client().get("/fails", headers={"X-Request-ID": "a-fault"})
        (line,) = foreign.log(event="request.failed", request_id="a-fault")
        written = foreign.log_path.read_text() + foreign.log_path.with_name("errors").read_text()

        assert line["error"] == "RuntimeError"
        assert "private" not in written
        assert "Traceback" not in written


class TestRootPath:
    def test_is_no_part_of_the_path_that_is_protected_and_served(self, foreign: Server) -> None:
        alice, bob = foreign.user(), foreign.user()
        task = alice.create()

        assert alice.http.get(alice.path(task)).json() == task
        assert alice.http.get(f"{alice.base}/").json() == [task]
        assert_problem(foreign.client().get(alice.base), 401, "unauthorized")
        assert_problem(bob.http.get(alice.base), 403, "forbidden")
        assert_problem(bob.http.get(f"{bob.base}/{task['id']}"), 404, "not_found")

    @pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/docs", "/openapi.json"])
    def test_is_no_part_of_an_open_path(self, foreign: Server, path: str) -> None:
        assert foreign.client().get(path).status_code == 200

    def test_user_may_need_encoding(self, foreign: Server) -> None:
        user = foreign.user("a/b c")

        assert user.http.get("/api/a%2Fb%20c/tasks").json() == []

    def test_in_a_request_is_nothing_but_a_part_of_its_path(self, foreign: Server) -> None:
        user = foreign.user("backend")

        assert_problem(foreign.client().get("/backend/api/backend/tasks"), 404, "not_found")
        assert user.http.get("/api/backend/tasks").json() == []


class TestBodyThatTheServerLoses:
    """uvicorn takes no body after the offer of an upgrade (its issue 2722).

    Java's client offers one each time.
    """

    @pytest.mark.parametrize("content", [b'{"completed": false}', [b'{"completed"', b": false}"]])
    def test_is_not_taken_for_an_empty_one(self, foreign: Server, content: bytes | list[bytes]) -> None:
        user = foreign.user()
        task = user.create()
        offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAAA"}
        headers = {**offer, "Content-Type": "application/json"}

        response = user.http.patch(f"{user.path(task)}/complete", content=content, headers=headers)

        body = assert_problem(response, 400, "invalid_request")
        assert body["errors"] == [{"field": "body", "message": "did not arrive"}]
        again = foreign.user(user.id)  # on this connection, what is left of the body may meet the next request
        assert again.http.get(user.path(task)).json() == task
