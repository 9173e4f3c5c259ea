"""The TypeScript client.

Generated from this service, strictly typed, and true to its word on a bad network.
"""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.clients.node import CHROMIUM, HERE, PACKAGE, ROOT, node, node_tests, run_tests, run_tool
from tests.harness import SECRET, Server, serving, wait_for
from tests.proxies import proxying, url_through

WRITTEN_BY_HAND = sorted(set(PACKAGE.glob("src/*.ts")) - {PACKAGE / "src" / "schema.ts"})


def test_document_is_the_one_that_the_service_answers(server: Server) -> None:
    answered = httpx.get(f"{server.url}/openapi.json", timeout=20).json()

    assert json.loads((PACKAGE.parent / "openapi.json").read_text()) == answered


def test_types_are_generated_from_the_document(tmp_path: Path) -> None:
    scripts = json.loads((PACKAGE / "package.json").read_text())["scripts"]
    tool, _, _, _, *options = scripts["generate"].split()

    shutil.copy(PACKAGE.parent / "openapi.json", tmp_path)
    # Not where the project is: the tool cannot read paths with a per cent sign.
    run_tool(tool, "openapi.json", "--output", "schema.ts", *options, cwd=tmp_path)

    assert (tmp_path / "schema.ts").read_text() == (PACKAGE / "src" / "schema.ts").read_text()


def test_modules_are_compiled_from_the_sources(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE / "src", tmp_path / "src")
    shutil.copy(PACKAGE / "tsconfig.json", tmp_path)
    shutil.copy(PACKAGE / "package.json", tmp_path)

    run_tool("tsc", "--project", tmp_path)

    fresh = {path.name: path.read_text() for path in (tmp_path / "dist").iterdir()}
    assert fresh == {path.name: path.read_text() for path in (PACKAGE / "dist").iterdir()}


def test_types_say_what_is_right_and_what_is_wrong() -> None:
    run_tool("tsc", "--project", HERE)


def test_nothing_written_by_hand_is_any() -> None:
    assert len(WRITTEN_BY_HAND) > 3
    for source in WRITTEN_BY_HAND:
        assert re.search(r"(: ?|<|\bas )any\b|\bany\[\]|@ts-", source.read_text()) is None, source.name


def test_client_keeps_its_word(server: Server) -> None:
    node_tests("client.test.mjs", server)


def test_client_in_a_browser_says_what_fetch_hides(server: Server) -> None:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: nothing is tested in a real browser")
    run_tests(
        HERE / "browser.test.mjs",
        packages=ROOT / "examples" / "web",
        TODO_API=server.url,
        TODO_SECRET=SECRET,
        CHROMIUM=CHROMIUM,
    )


def test_client_waits_for_a_database_that_comes_back(database: str, tmp_path: Path) -> None:
    node("--version")  # skips here, where pytest sees it
    with (
        proxying(database) as proxy,
        serving(tmp_path, DATABASE_URL=url_through(proxy.port, database), DATABASE_WAIT_SECONDS="0.3") as server,
        ThreadPoolExecutor() as beside,
    ):
        proxy.rejecting = True
        playing = beside.submit(node_tests, "outage.test.mjs", server)
        wait_for(lambda: playing.done() or server.logged(event="database.failed"), "the client has asked for nothing")
        assert not playing.done(), playing.result()
        proxy.rejecting = False
        playing.result()
