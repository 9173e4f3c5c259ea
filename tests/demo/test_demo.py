"""The demo as people meet it: its page in a real browser, before a real Better Auth server and the service."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.clients.node import ROOT, run_tests
from tests.harness import environment, free_port, serving
from tests.proxies import proxying, url_through

HERE = Path(__file__).parent
WEB = ROOT / "examples" / "web"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
START_SECONDS = 60

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
    with demonstrating(tmp_path_factory.mktemp("demo"), DATABASE_URL=worker_database) as running:
        yield running


def play(name: str, demo: Demo) -> None:
    """Run a file of browser tests beside this one."""
    run_tests(HERE / name, packages=WEB, DEMO_PAGE=demo.page, DEMO_API=demo.api, DEMO_CHROMIUM=str(CHROMIUM))


@in_chromium
@pytest.mark.parametrize("name", sorted(path.name for path in HERE.glob("*.test.mjs")))
def test_in_the_browser(name: str, demo: Demo) -> None:
    play(name, demo)


@in_chromium
def test_in_the_browser_while_the_database_is_away(database: str, tmp_path: Path) -> None:
    with (
        proxying(database) as proxy,
        demonstrating(tmp_path, DATABASE_URL=url_through(proxy.port, database), DATABASE_WAIT_SECONDS="0.3") as demo,
        ThreadPoolExecutor() as beside,
    ):
        proxy.refusing = True
        proxy.cut()
        playing = beside.submit(play, "database_away.mjs", demo)
        until = time.monotonic() + 30
        while b'"method":"POST","route":"/api/{user_id}/tasks","status":503' not in demo.output.read_bytes():
            assert not playing.done(), playing.result()
            assert time.monotonic() < until
            time.sleep(0.05)
        proxy.refusing = False
        playing.result()


@in_chromium
def test_documentation_in_the_browser_without_configuration(tmp_path: Path) -> None:
    with serving(tmp_path, BETTER_AUTH_SECRET="") as server:
        run_tests(HERE / "docs_page.mjs", packages=WEB, DEMO_API=server.url, DEMO_CHROMIUM=str(CHROMIUM))


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_without_configuration_it_starts_and_leaves_nothing_running(by: signal.Signals, tmp_path: Path) -> None:
    with demonstrating(tmp_path) as demo:
        assert "Todo" in httpx.get(demo.page, timeout=20).text
        assert httpx.get(f"{demo.api}/ready", timeout=20).status_code == 200

        demo.process.send_signal(by)

        assert demo.process.wait(30) == 0
        for address in (demo.page, demo.api):
            with pytest.raises(httpx.ConnectError):
                httpx.get(address, timeout=20)
        assert "Traceback" not in demo.output.read_text()


def test_port_in_use_is_said_in_one_sentence(demo: Demo, tmp_path: Path) -> None:
    port = httpx.URL(demo.page).port
    done = subprocess.run(
        [sys.executable, WEB / "run.py"],
        cwd=tmp_path,
        env=environment(DEMO_PORT=str(port), PORT=str(free_port())),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert f"Port {port} is in use. DEMO_PORT names another one." in done.stderr
    assert "Traceback" not in done.stderr


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
    with httpx.Client(base_url=demo.page, timeout=20) as http:
        request = http.build_request("GET", "/")
        request.url = request.url.copy_with(raw_path=path.encode())

        assert http.send(request).status_code == 404
        assert http.get(f"http://localhost:{port}/").status_code == 200
