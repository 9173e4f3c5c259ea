"""Carry out deploy/compose.yaml without a container engine.

Sign up at Better Auth, and create a task.

The services are processes on loopback. The PostgreSQL of the check stands for the one of the file,
and ports that are free here for the published ones; commands, environments and their order are the
file's.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

COMPOSE = Path(__file__).with_name("compose.yaml")
START_SECONDS, STOP_SECONDS = 120.0, 60.0


@dataclass(frozen=True, slots=True)
class Image:
    """How a process of an image is run.

    Its command, its environment and what Popen needs beside them.
    """

    command: list[str]
    environment: dict[str, str]
    process: dict[str, Any]


def try_compose(images: Mapping[str, Image], database_url: str, free_port: Callable[[], int]) -> None:
    """Run the file's services and use them as a browser would.

    ``images`` are those of the services ``api`` and ``sign-in``.

    Raises:
        httpx.HTTPError: something was not answered as it should be.
        TimeoutError: a service did not begin to answer.
        subprocess.CalledProcessError: the migration failed.
    """
    services: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    page, api = free_port(), free_port()
    here = {
        services["api"]["environment"]["DATABASE_URL"]: database_url,
        "sign-in:3000": f"localhost:{page}",
        "localhost:3000": f"localhost:{page}",
        "localhost:8000": f"localhost:{api}",
    }

    def environment(name: str, image: Image, **more: str) -> dict[str, str]:
        given = dict(services[name].get("environment", {}))
        for there, local in here.items():
            given = {key: value.replace(there, local) for key, value in given.items()}
        return {**image.environment, **given, **more}

    service, sign_in = images["api"], images["sign-in"]
    command = [service.command[0], *services["migrate"]["command"][1:]]
    subprocess.run(command, env=environment("migrate", service), check=True, **service.process)
    with ExitStack() as stack:
        loopback = {"DEMO_HOST": "localhost", "DEMO_PORT": str(page)}
        stack.enter_context(running(sign_in, environment("sign-in", sign_in, **loopback)))
        settings = environment("api", service, HOST="127.0.0.1", PORT=str(api))
        stack.enter_context(running(service, settings))
        wait_until_it_answers(f"http://localhost:{page}/api/auth/ok")
        wait_until_it_answers(f"http://localhost:{api}/ready")
        use(f"http://localhost:{page}", f"http://localhost:{api}")


@contextmanager
def running(image: Image, environment: dict[str, str]) -> Iterator[None]:
    """Run the image's command until the block ends."""
    process = subprocess.Popen(image.command, env=environment, stdout=subprocess.DEVNULL, **image.process)
    try:
        yield
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def wait_until_it_answers(url: str) -> None:
    """Wait for 200."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            if httpx.get(url, timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"{url} does not answer.")


def use(page: str, api: str) -> None:
    """Sign up, fetch a token, create a task with it, and send a preflight as the page would."""
    person = {
        "name": "Ada",
        "email": "ada@example.com",
        "password": "a long enough password",  # pragma: allowlist secret
    }
    with httpx.Client(headers={"Origin": page}, timeout=20, trust_env=False) as browser:
        user = browser.post(f"{page}/api/auth/sign-up/email", json=person).raise_for_status().json()["user"]
        token = browser.get(f"{page}/api/auth/token").raise_for_status().json()["token"]
        created = browser.post(
            f"{api}/api/{user['id']}/tasks", json={"title": "Buy milk"}, headers={"Authorization": f"Bearer {token}"}
        ).raise_for_status()
        if created.headers["access-control-allow-origin"] != page:
            raise httpx.HTTPError("The page's scripts may not call the service.")


def node_image(root: Path, command: list[str], workdir: Path) -> Image | None:
    """What runs a Node server from an image's root; nothing where there is no Node."""
    node = shutil.which("node")
    if node is None:
        return None
    environment = {"PATH": os.environ["PATH"], "HOME": str(root)}
    return Image([node, *command[1:]], environment, {"cwd": workdir})
