"""``make demo``: Better Auth and the page on one port, the Todo API on another, until Ctrl-C.

DEMO_PORT (3000) and PORT (8000) say where. The service reads its other settings as ever: without
DATABASE_URL both use the embedded PostgreSQL. The first process that ends takes the other along.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import httpx

from todo_api import migrations
from todo_api.local import postgres
from todo_api.settings import Settings, load_settings
from todo_api.settings.secret import sample_secret

HERE = Path(__file__).parent
MIN_NODE_VERSION = 20
START_SECONDS = 60
GRACE_SECONDS = 30


def main() -> None:
    """Run both until one ends or a signal comes."""
    node = find_node()
    page_port, port = os.environ.get("DEMO_PORT", "3000"), os.environ.get("PORT", "8000")
    for name, number in (("DEMO_PORT", page_port), ("PORT", port)):
        require_free(name, number)
    page = f"http://localhost:{page_port}"
    api = f"http://127.0.0.1:{port}"
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, interrupt)
    service = service_settings(page, port)
    settings = load_settings(**{name.lower(): value for name, value in service.items()})
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with database(settings) as url:
            try:
                say(f"Starting the Todo API on {api} …")
                processes.append(start([todo_api(), "serve"], **service))
                say("Starting Better Auth and the page …")
                accounts = {"DATABASE_URL": url, "BETTER_AUTH_SECRET": accounts_secret(settings), "DEMO_API": api}
                processes.append(start([node, HERE / "server.mjs"], **accounts))
                wait_for(f"{page}/api/auth/ok", processes)
                wait_for(f"{api}/ready", processes)
                say(f"The demo is at  {page}   Sign up with any address. Ctrl-C ends it.\n")
                watch(processes)
            finally:
                end(processes)
    except KeyboardInterrupt:
        pass
    except (migrations.MigrationFailed, postgres.LocalPostgresFailed) as error:
        sys.exit(str(error))


def say(what: str) -> None:
    """Tell what comes next, at once."""
    print(f"  {what}", flush=True)


def find_node() -> str:
    """Where Node is; exits with one sentence where there is none, or too old a one."""
    node = shutil.which("node")
    if node is None:
        sys.exit(f"The demo needs Node {MIN_NODE_VERSION} or newer: https://nodejs.org")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < MIN_NODE_VERSION:
        sys.exit(f"The demo needs Node {MIN_NODE_VERSION} or newer, and this is {version}.")
    return node


def require_free(setting: str, port: str) -> None:
    """Exit with one sentence where something listens already, before anything is started."""
    with suppress(OSError), socket.create_connection(("localhost", int(port)), timeout=1):
        sys.exit(f"Port {port} is in use. {setting} names another one.")


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The URL of the database of tasks and accounts; the embedded one runs as long as the block."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    say("Starting PostgreSQL, for the tasks and the accounts …")
    with postgres.running(settings.data_dir, migrate=migrations.upgrade) as cluster:
        yield cluster.url


def todo_api() -> Path:
    """The command beside this Python."""
    return Path(sys.executable).with_name("todo-api")


def service_settings(page: str, port: str) -> dict[str, str]:
    """Where the service listens, who signs people in, and whose scripts may call."""
    return {
        "BETTER_AUTH_URL": page,
        "BETTER_AUTH_JWKS_URL": f"{page}/api/auth/jwks",
        "BETTER_AUTH_ISSUER": page,
        "BETTER_AUTH_AUDIENCE": page,
        "CORS_ORIGINS": page,
        "HOST": "127.0.0.1",
        "PORT": port,
    }


def accounts_secret(settings: Settings) -> str:
    """The secret of Better Auth: the one that is set, or one that is made once and stored."""
    if settings.better_auth_secret is not None:
        return settings.better_auth_secret.get_secret_value()
    return sample_secret(settings.data_dir / "better-auth-secret")


def start(command: list[str | Path], **variables: str) -> subprocess.Popen[bytes]:
    """Start a program with more variables in its environment."""
    return subprocess.Popen(command, env={**os.environ, **variables})


def interrupt(*_: object) -> NoReturn:
    """End as on Ctrl-C, also where the shell made this process ignore that."""
    raise KeyboardInterrupt


def wait_for(url: str, processes: list[subprocess.Popen[bytes]]) -> None:
    """Return when the address answers; exit when a process ends before."""
    until = time.monotonic() + START_SECONDS
    with httpx.Client(timeout=5) as client:
        while time.monotonic() < until:
            leave_if_ended(processes)
            with suppress(httpx.TransportError):
                if client.get(url).is_success:
                    return
            time.sleep(0.1)
    sys.exit(f"{url} did not answer for {START_SECONDS} seconds. `todo-api doctor` may know why.")


def watch(processes: list[subprocess.Popen[bytes]]) -> None:
    """Wait until one of them ends, which it should not."""
    while True:
        leave_if_ended(processes)
        time.sleep(0.5)


def leave_if_ended(processes: list[subprocess.Popen[bytes]]) -> None:
    """Exit when one of them has; it has said why."""
    if any(process.poll() is not None for process in processes):
        sys.exit("One half of the demo has ended; what it printed says why.")


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Let both finish. A second Ctrl-C, or one that came to them as well, changes nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


if __name__ == "__main__":
    main()
