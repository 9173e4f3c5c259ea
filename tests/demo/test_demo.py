"""The demo as people meet it.

Its page in a real browser, before a real Better Auth server and the service.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.clients.node import CHROMIUM, MAX_RUN_SECONDS, QUICK_PASSWORDS, ROOT, run_tests
from tests.harness import environment, free_port, serving
from tests.proxies import proxying, url_through

HERE = Path(__file__).parent
WEB = ROOT / "examples" / "web"
START_SECONDS = 60
MAX_PLAY_SECONDS = 600
"""How long all tests of the page may take."""

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (WEB / "node_modules").is_dir(),
    reason="needs Node 20 or newer and the packages of examples/web: make test installs them",
)

in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: nothing is tested in a real browser")


@dataclass
class Demo:
    """A running demo."""

    page: str
    api: str
    process: subprocess.Popen[bytes]
    output: Path


@contextmanager
def demonstrating(directory: Path, **settings: str) -> Iterator[Demo]:
    """Run what ``make demo`` runs until the block ends."""
    page, api = free_port(), free_port()
    output = directory / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, WEB / "run.py"],
            cwd=directory,
            env=environment(DEMO_PORT=str(page), PORT=str(api), **settings),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        until = time.monotonic() + START_SECONDS
        while b"The demo is at" not in output.read_bytes():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < until, output.read_text()
            time.sleep(0.05)
        yield Demo(f"http://localhost:{page}", f"http://127.0.0.1:{api}", process, output)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def demo(worker_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo on this worker's database."""
    with demonstrating(tmp_path_factory.mktemp("demo"), DATABASE_URL=worker_database, **QUICK_PASSWORDS) as running:
        yield running


def play(name: str, demo: Demo, seconds: float = MAX_RUN_SECONDS) -> None:
    """Run a file of browser tests beside this one."""
    variables = {"DEMO_PAGE": demo.page, "DEMO_API": demo.api, "DEMO_CHROMIUM": str(CHROMIUM)}
    run_tests(HERE / name, packages=WEB, seconds=seconds, **variables)


@in_chromium
@pytest.mark.timeout(MAX_PLAY_SECONDS + START_SECONDS)
def test_in_the_browser(demo: Demo) -> None:
    play("page.mjs", demo, MAX_PLAY_SECONDS)


@in_chromium
def test_in_the_browser_while_the_database_is_away(database: str, tmp_path: Path) -> None:
    with (
        proxying(database) as proxy,
        demonstrating(tmp_path, DATABASE_URL=url_through(proxy.port, database), DATABASE_WAIT_SECONDS="0.3") as demo,
        ThreadPoolExecutor() as beside,
    ):
        playing = beside.submit(play, "database_away.mjs", demo)
        wait_for_request(demo, "GET", 200, playing)
        proxy.rejecting = True
        proxy.cut()
        wait_for_request(demo, "POST", 503, playing)
        proxy.rejecting = False
        playing.result()


def wait_for_request(demo: Demo, method: str, status: int, playing: Future[None]) -> None:
    """Wait until the page's request for tasks was answered like this."""
    line = f'"method":"{method}","route":"/api/{{user_id}}/tasks","status":{status}'.encode()
    until = time.monotonic() + START_SECONDS
    while line not in demo.output.read_bytes():
        assert not playing.done(), playing.result()
        assert time.monotonic() < until
        time.sleep(0.05)


@in_chromium
def test_documentation_in_the_browser_without_configuration(tmp_path: Path) -> None:
    with serving(tmp_path, BETTER_AUTH_SECRET="") as server:
        run_tests(HERE / "docs_page.mjs", packages=WEB, DEMO_API=server.url, DEMO_CHROMIUM=str(CHROMIUM))


def test_without_configuration_it_starts_ends_with_all_it_started_and_keeps_the_accounts(tmp_path: Path) -> None:
    person = {"email": "ada@example.com", "password": "correct horse battery"}  # pragma: allowlist secret
    for by, path, body in (
        (signal.SIGINT, "sign-up", person | {"name": "Ada"}),
        (signal.SIGTERM, "sign-in", person),
    ):
        with demonstrating(tmp_path) as demo:
            assert "Starting PostgreSQL" in demo.output.read_text().splitlines()[0]
            assert "Todo" in httpx.get(demo.page, timeout=20).text
            assert httpx.get(f"{demo.api}/ready", timeout=20).status_code == 200
            answer = httpx.post(f"{demo.page}/api/auth/{path}/email", json=body, timeout=20)
            assert answer.status_code == 200, answer.text

            demo.process.send_signal(by)

            assert demo.process.wait(30) == 0
            for address in (demo.page, demo.api):
                with pytest.raises(httpx.ConnectError):
                    httpx.get(address, timeout=20)
            assert "Traceback" not in demo.output.read_text()


@pytest.mark.parametrize("setting", ["DEMO_PORT", "PORT"])
def test_port_in_use_is_said_in_one_sentence_before_anything_is_started(
    setting: str, demo: Demo, tmp_path: Path
) -> None:
    taken = str(httpx.URL(demo.page if setting == "DEMO_PORT" else demo.api).port)
    ports = {"DEMO_PORT": str(free_port()), "PORT": str(free_port()), setting: taken}
    done = subprocess.run(
        [sys.executable, WEB / "run.py"],
        cwd=tmp_path,
        env=environment(**ports),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr == f"Port {taken} is in use. {setting} names another one.\n"
    assert done.stdout == ""


def test_without_node_it_says_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, WEB / "run.py"],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr == "The demo needs Node 20 or newer: https://nodejs.org\n"


@pytest.mark.parametrize(
    "path", ["/server.mjs", "/client/../../package.json", "/client/%2e%2e/package.json", "//", "/x"]
)
def test_nothing_but_the_page_and_its_modules_is_shown(path: str, demo: Demo) -> None:
    port = httpx.URL(demo.page).port
    with httpx.Client(base_url=demo.page, timeout=20, verify=False) as http:
        request = http.build_request("GET", "/")
        request.url = request.url.copy_with(raw_path=path.encode())

        assert http.send(request).status_code == 404
        assert http.get(f"http://localhost:{port}/").status_code == 200


@pytest.mark.parametrize(
    ("request_line", "host", "status"),
    [
        ("GET /", "a b", 400),
        ("GET /api/auth/ok", "a b", 400),
        ("GET /", "example.com", 421),
        ("TRACE /", None, 405),
        ("TRACE /api/auth/ok", None, 405),
        ("DELETE /", None, 405),
        ("POST /", None, 405),
        ("HEAD /", None, 200),
        ("GET http://[", None, 404),
        ("POST /api/auth/%zz", None, 404),
    ],
)
def test_no_request_ends_the_server(request_line: str, host: str | None, status: int, demo: Demo) -> None:
    url = httpx.URL(demo.page)
    method, path = request_line.split(" ", 1)
    head = f"{method} {path} HTTP/1.1\r\nHost: {host or url.netloc.decode()}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("localhost", url.port), timeout=20) as connection:
        connection.sendall(head.encode())

        assert connection.makefile("rb").readline().split()[1] == str(status).encode()
    assert httpx.get(demo.page, timeout=20, verify=False).status_code == 200


def test_page_at_an_address_redirects_to_the_name_under_which_people_can_sign_in(demo: Demo) -> None:
    answer = httpx.get(demo.page, headers={"Host": f"127.0.0.1:{httpx.URL(demo.page).port}"}, timeout=20, verify=False)

    assert (answer.status_code, answer.headers["Location"]) == (307, f"{demo.page}/")
