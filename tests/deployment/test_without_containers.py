"""The examples for hosts without containers: a systemd unit, nginx and Caddy.

tests/api/test_behind_proxies.py runs the last two.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from todo_api.observability.tracing import LAST_EXPORT_SECONDS
from todo_api.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
KEEP_ALIVE = r"\bkeepalive(?:_timeout)? (\d+)s"


def default(name: str) -> float:
    """What a setting is where nothing sets it."""
    value: float = Settings.model_fields[name].default
    return value


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
def test_proxy_closes_idle_connections_before_the_service_does(name: str) -> None:
    (seconds,) = re.findall(KEEP_ALIVE, (DEPLOY / name).read_text())

    assert int(seconds) < default("keep_alive_seconds")


def test_unit_waits_longer_than_stopping_takes() -> None:
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", (DEPLOY / "todo-api.service").read_text(), re.MULTILINE)

    assert default("shutdown_grace_seconds") + LAST_EXPORT_SECONDS < int(seconds)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "todo-api.service"
    unit.write_text((DEPLOY / "todo-api.service").read_text().replace("/opt/todo-api/.venv/bin/todo-api", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60, check=False)

    assert [line for line in done.stderr.splitlines() if "todo-api.service" in line] == []
