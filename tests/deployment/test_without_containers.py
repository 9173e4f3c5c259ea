"""The examples for hosts without containers: a systemd unit, nginx and Caddy."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness import free_port
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


@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
def test_nginx_accepts_the_example(tmp_path: Path) -> None:
    site = (DEPLOY / "nginx.conf").read_text()
    assert "listen 80;" in site
    (tmp_path / "site.conf").write_text(site.replace("listen 80;", f"listen 127.0.0.1:{free_port()};"))
    main = tmp_path / "nginx.conf"
    main.write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}}\nhttp {{ access_log off; include {tmp_path}/site.conf; }}\n"
    )
    command = ["nginx", "-t", "-e", "stderr", "-p", str(tmp_path), "-c", str(main)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
