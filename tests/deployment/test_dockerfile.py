"""The Dockerfile's promises that can be read off it; `make image-check` carries it out."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from deploy.dockerfile import Stage, parse
from typing_extensions import override

from tests.harness import free_port

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def image() -> Stage:
    """The last stage: what is shipped."""
    return parse(PROJECT / "Dockerfile")[-1]


def test_shipped_stage_runs_nothing_so_it_holds_no_build_tools_and_no_cache(image: Stage) -> None:
    assert [instruction for instruction in image.instructions if instruction.name == "RUN"] == []
    assert [line.flags for line in image.instructions if line.name == "COPY"] == [{"from": "build"}]


def test_user_is_a_number_and_not_root(image: Stage) -> None:
    user, group = (int(number) for number in image.last("USER").rest.split(":"))

    assert user > 0
    assert group > 0


def test_command_is_in_exec_form_so_signals_reach_it(image: Stage) -> None:
    assert json.loads(image.last("CMD").rest) == ["todo-api", "serve"]


def test_packages_are_installed_by_their_hashes() -> None:
    build = parse(PROJECT / "Dockerfile")[0]
    commands = " && ".join(line.rest for line in build.instructions if line.name == "RUN").split(" && ")
    installs = [command for command in commands if " install " in command]

    assert len(installs) == 2
    assert all("--require-hashes" in command or "--no-deps --no-build-isolation" in command for command in installs)


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    @override
    def log_message(self, *arguments: Any) -> None:
        return


class HealthyOverIPv6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


@pytest.fixture
def probe(image: Stage) -> Callable[[str, int], int]:
    """Carry out the health check of a service on this port, past a proxy that does not answer."""
    _, *arguments = image.last("HEALTHCHECK").words()
    dead = {name: f"http://127.0.0.1:{free_port()}" for name in ("http_proxy", "HTTP_PROXY", "all_proxy")}

    def run(host: str, port: int) -> int:
        settings = {**os.environ, **dead, "no_proxy": "", "NO_PROXY": "", "HOST": host, "PORT": str(port)}
        return subprocess.run([sys.executable, *arguments], env=settings, capture_output=True, check=False).returncode

    return run


@pytest.mark.parametrize(
    ("server_class", "host"),
    [(ThreadingHTTPServer, "0.0.0.0"), (ThreadingHTTPServer, "127.0.0.1"), (HealthyOverIPv6, "::")],
)
def test_health_check_connects_to_the_service_itself_over_either_protocol(
    server_class: type[ThreadingHTTPServer], host: str, probe: Callable[[str, int], int]
) -> None:
    with server_class((host, 0), Healthy) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            assert probe(host, server.server_address[1]) == 0
        finally:
            server.shutdown()
            thread.join()


def test_health_check_of_nothing_fails(probe: Callable[[str, int], int]) -> None:
    assert probe("0.0.0.0", free_port()) != 0


def test_instruction_that_the_check_would_skip_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nADD . /\n")

    with pytest.raises(ValueError, match="ADD"):
        parse(tmp_path / "Dockerfile")
