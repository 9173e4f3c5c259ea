"""The Python example: its programs, run as a person runs them, and its client on a bad network."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from typing_extensions import override

from tests.clients.node import ROOT
from tests.harness import Server, User, environment, free_port, serving, token
from tests.proxies import proxying, url_through

EXAMPLE = ROOT / "examples" / "python"

Fault = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def todo_client(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that people copy; its pauses are short."""
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.setattr("random.uniform", lambda *_: 0.01)
    import todo_client  # noqa: PLC0415  # beside no package

    return todo_client


def run(server: Server, user: User, *arguments: str, script: str = "todo.py", text: str = "") -> tuple[int, str, str]:
    """Run a program of the example for this user: its exit code and what it printed."""
    who = {"TODO_API": server.url, "TODO_USER": user.id, "TODO_TOKEN": token(user.id)}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / script), *arguments],
        env=environment(**who),
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


class TestPrograms:
    def test_task_is_added_completed_listed_and_deleted(self, server: Server, alice: User) -> None:
        added = run(server, alice, "add", "Buy milk")
        (task,) = alice.http.get(alice.base).json()
        done = run(server, alice, "done", str(task["id"]))
        listed = run(server, alice)
        deleted = run(server, alice, "delete", str(task["id"]))

        assert added == (0, f"{task['id']:>6} [ ] Buy milk\n", "")
        assert done == listed == (0, f"{task['id']:>6} [x] Buy milk\n", "")
        assert deleted == (0, "", "")
        assert alice.http.get(alice.base).json() == []

    def test_list_goes_on_to_its_end(self, server: Server, alice: User) -> None:
        ids = [alice.create()["id"] for _ in range(51)]

        assert [int(line.split()[0]) for line in run(server, alice)[1].splitlines()] == ids[::-1]

    def test_error_is_one_sentence(self, server: Server, alice: User) -> None:
        assert run(server, alice, "add", " ") == (1, "", "title: must not be blank\n")

    def test_tasks_are_created_together_and_completed(self, server: Server, alice: User) -> None:
        titles = {f"Task {number}" for number in range(60)}

        code, output, _ = run(server, alice, script="todo_async.py", text="\n".join(titles))

        assert code == 0
        assert {line.partition("[x] ")[2] for line in output.splitlines()} == titles
        assert {(task["title"], task["completed"]) for task in alice.http.get(alice.base).json()} == {
            (title, True) for title in titles
        }

    def test_task_is_added_once_to_a_database_that_comes_back(self, database: str, tmp_path: Path) -> None:
        with (
            proxying(database) as proxy,
            serving(tmp_path, DATABASE_URL=url_through(proxy.port, database), DATABASE_WAIT_SECONDS="0.3") as server,
            ThreadPoolExecutor() as beside,
        ):
            user = server.user()
            proxy.rejecting = True
            adding = beside.submit(run, server, user, "add", "Buy milk")
            failures = server.log(event="database.failed")
            proxy.rejecting = False
            code, _, error = adding.result()
            tasks = user.http.get(user.base).json()

        assert failures
        assert code == 0, error
        assert [task["title"] for task in tasks] == ["Buy milk"]


class Network:
    """A server in the place of the service.

    It plays what it is told, one response after the other.
    """

    def __init__(self, *faults: Fault) -> None:
        self.faults = list(faults)
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        network = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                network.requests.append((self.command, self.path, dict(self.headers)))
                network.faults.pop(0)(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one  # noqa: N815

            @override
            def log_message(self, *_: object) -> None:
                """Keep the tests' output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def network(*faults: Fault) -> Iterator[Network]:
    """Serve until the block ends."""
    playing = Network(*faults)
    thread = threading.Thread(target=playing.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield playing
    finally:
        playing.server.shutdown()
        thread.join()
        playing.server.server_close()


def answer(status: int, body: str = "[]", **headers: str) -> Fault:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content_Type": "application/json", "Content_Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body.encode())

    return respond


def cut(handler: BaseHTTPRequestHandler) -> None:
    """The connection ends without a response."""
    handler.close_connection = True


TASK = '{"id": 1, "title": "Buy milk"}'
EVERY_WAY = pytest.mark.parametrize("way", ["sync", "async"])


class Ways:
    """Both clients of the example, called alike."""

    def __init__(self, module: ModuleType, way: str) -> None:
        self.module, self.way = module, way

    def call(
        self,
        url: str,
        method: str,
        *arguments: Any,
        user: str = "alice",
        token: Callable[[], str] = lambda: "token",
    ) -> Any:
        if self.way == "async":
            return asyncio.run(self._awaited(self.module.AsyncTodoClient(url, user, token), method, *arguments))
        with self.module.TodoClient(url, user, token) as client:
            result = getattr(client, method)(*arguments)
            return list(result) if isinstance(result, Iterator) else result

    async def _awaited(self, unopened: Any, method: str, *arguments: Any) -> Any:
        async with unopened as client:
            result = getattr(client, method)(*arguments)
            return [item async for item in result] if isinstance(result, AsyncIterator) else await result


@EVERY_WAY
class TestClient:
    @pytest.fixture
    def ways(self, todo_client: ModuleType, way: str) -> Ways:
        return Ways(todo_client, way)

    def test_every_method_works(self, ways: Ways, server: Server, alice: User) -> None:
        def call(method: str, *arguments: Any) -> Any:
            return ways.call(server.url, method, *arguments, user=alice.id, token=lambda: token(alice.id))

        task = call("create", "Buy milk", "Two litres")
        changed = call("update", task["id"], {"title": "Buy tea"})
        completed = call("complete", task["id"])
        listed = call("list")
        call("delete", task["id"])

        assert (changed["title"], changed["description"]) == ("Buy tea", "Two litres")
        assert completed["completed"] is True
        assert listed == [completed]
        assert alice.http.get(alice.base).json() == []

    def test_create_is_repeated_with_its_key(self, ways: Ways) -> None:
        with network(cut, answer(503), answer(502), answer(201, TASK)) as playing:
            assert ways.call(playing.url, "create", "Buy milk")["id"] == 1

        assert len({headers["Idempotency-Key"] for _, _, headers in playing.requests}) == 1
        assert len(playing.requests) == 4

    def test_delete_whose_response_was_lost_has_happened(self, ways: Ways) -> None:
        with network(cut, answer(404, "{}")) as playing:
            ways.call(playing.url, "delete", 1)

        with network(answer(404, "{}")) as playing, pytest.raises(ways.module.Problem) as caught:
            ways.call(playing.url, "delete", 1)

        assert caught.value.status == 404

    def test_error_response_is_not_repeated(self, ways: Ways) -> None:
        body = '{"detail": "title: must not be blank", "code": "invalid_request"}'
        with (
            network(answer(400, body, X_Request_ID="1", Content_Type="application/problem+json")) as playing,
            pytest.raises(ways.module.Problem) as caught,
        ):
            ways.call(playing.url, "create", " ")

        assert (str(caught.value), caught.value.code) == ("title: must not be blank", "invalid_request")
        assert caught.value.request_id == "1"

    @pytest.mark.parametrize(("status", "body"), [(200, "<p>"), (200, "null"), (400, "<p>"), (400, "[]")])
    @pytest.mark.parametrize(("method", "arguments"), [("list", ()), ("create", ("Buy milk",))])
    def test_response_of_another_server_is_a_problem(
        self, ways: Ways, method: str, arguments: tuple[str, ...], status: int, body: str
    ) -> None:
        with (
            network(answer(status, body, Content_Type="application/problem+json")) as playing,
            pytest.raises(ways.module.Problem) as caught,
        ):
            ways.call(playing.url, method, *arguments)

        assert caught.value.status == status

    def test_long_retry_after_is_left_to_the_caller(self, ways: Ways) -> None:
        with network(answer(503, "{}", Retry_After="31")) as playing, pytest.raises(ways.module.Problem):
            ways.call(playing.url, "list")

        assert len(playing.requests) == 1

    def test_service_that_stays_away_is_an_error_in_the_end(self, ways: Ways) -> None:
        with network(*[answer(503, "{}")] * 6) as playing, pytest.raises(ways.module.Problem, match="503"):
            ways.call(playing.url, "list")

        assert len(playing.requests) == 6

    def test_wrong_address_is_an_error_soon(self, ways: Ways) -> None:
        with pytest.raises(httpx.ConnectError):
            ways.call(f"http://127.0.0.1:{free_port()}", "list")

    def test_token_is_fetched_again_after_a_401(self, ways: Ways) -> None:
        tokens = iter(["old", "new"])
        with network(answer(401, "{}"), answer(200)) as playing:
            assert ways.call(playing.url, "list", token=lambda: next(tokens)) == []

        assert [headers["Authorization"] for _, _, headers in playing.requests] == ["Bearer old", "Bearer new"]

    def test_redirect_is_not_followed(self, ways: Ways) -> None:
        with (
            network() as elsewhere,
            network(answer(307, Location=elsewhere.url)) as playing,
            pytest.raises(ways.module.Problem, match="307"),
        ):
            ways.call(playing.url, "create", "Buy milk")

        assert elsewhere.requests == []

    @pytest.mark.parametrize("link", ["{elsewhere}/api/alice/tasks", "/backend/api/alice/tasks", "tasks", ""])
    def test_token_goes_nowhere_else_whatever_a_link_says(self, ways: Ways, link: str) -> None:
        with network() as elsewhere, network() as playing:
            next_page = f'<{link.format(elsewhere=elsewhere.url)}?limit=1&cursor=a%2Bb>; rel="next"'
            playing.faults = [answer(200, f"[{TASK}]", Link=next_page), answer(200)]
            assert len(ways.call(playing.url, "list")) == 1

        assert [path for _, path, _ in playing.requests] == ["/api/alice/tasks", "/api/alice/tasks?cursor=a%2Bb"]
        assert elsewhere.requests == []
