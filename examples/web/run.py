"""``make demo``: Better Auth and the page on one port, the Todo API on another, until Ctrl-C.

DEMO_PORT (3000) and PORT (8000) say where. The service reads its other settings as ever: without
DATABASE_URL it starts its embedded PostgreSQL. The first of the two processes that ends takes the other along.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import httpx

HERE = Path(__file__).parent
OLDEST_NODE = 20
START_SECONDS = 60
GRACE_SECONDS = 30


def main() -> None:
    """Run both until one ends or a signal comes."""
    node = find_node()
    page = f"http://localhost:{os.environ.get('DEMO_PORT', '3000')}"
    port = os.environ.get("PORT", "8000")
    api = f"http://127.0.0.1:{port}"
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes.append(subprocess.Popen([node, HERE / "server.mjs"], env={**os.environ, "DEMO_API": api}))
        processes.append(subprocess.Popen([todo_api(), "serve"], env={**os.environ, **service_settings(page, port)}))
        wait_for(f"{page}/api/auth/ok", processes)
        wait_for(f"{api}/ready", processes)
        print(f"\n  The demo is at  {page}   Sign up with any address. Ctrl-C ends it.\n", flush=True)
        watch(processes)
    except KeyboardInterrupt:
        pass
    finally:
        end(processes)


def find_node() -> str:
    """Where Node is; exits with one sentence where there is none, or too old a one."""
    node = shutil.which("node")
    if node is None:
        sys.exit(f"The demo needs Node {OLDEST_NODE} or newer: https://nodejs.org")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        sys.exit(f"The demo needs Node {OLDEST_NODE} or newer, and this is {version}.")
    return node


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


def interrupt(*_: object) -> NoReturn:
    """End as on Ctrl-C, also where the shell made this process ignore that."""
    raise KeyboardInterrupt


def wait_for(url: str, processes: list[subprocess.Popen[bytes]]) -> None:
    """Return when the address answers; exit when a process ends before."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        leave_if_ended(processes)
        try:
            if httpx.get(url, timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    sys.exit(f"{url} was not well within {START_SECONDS} seconds. `todo-api doctor` may know why.")


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
