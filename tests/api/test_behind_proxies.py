"""Behind real nginx and Caddy, as deploy/ has them, and Apache: all strip a prefix and compress.

Links lead on, preconditions hold, and what the examples close is closed.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.harness import Server, free_port, token

DEPLOY = Path(__file__).parents[2] / "deploy"
PREFIX = "/todo"
MODULES = Path("/usr/lib/apache2/modules")
LONG = {"title": "x" * 200, "description": "y" * 1000}  # long enough to be compressed
"""A task."""

NGINX = """
daemon off; master_process off; pid {directory}/pid; error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  include {directory}/site.conf;
}}
"""
APACHE = """
ServerRoot {directory}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {directory}/pid
ErrorLog /dev/stderr
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule filter_module {modules}/mod_filter.so
LoadModule deflate_module {modules}/mod_deflate.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
SetOutputFilter DEFLATE
AllowEncodedSlashes NoDecode
ProxyPass {prefix}/ {upstream}/ nocanon
"""


def nginx(directory: Path, port: int, upstream: str) -> list[str | Path]:
    """The command that runs the example for nginx."""
    site = (DEPLOY / "nginx.conf").read_text()
    assert "listen 80;" in site
    assert "127.0.0.1:8000" in site
    site = site.replace("listen 80;", f"listen 127.0.0.1:{port};").replace("127.0.0.1:8000", upstream)
    (directory / "site.conf").write_text(site)
    (directory / "nginx.conf").write_text(NGINX.format(directory=directory))
    return ["nginx", "-e", "stderr", "-p", directory, "-c", directory / "nginx.conf"]


def caddy(directory: Path, port: int, upstream: str) -> list[str | Path]:
    """The command that runs the example for Caddy."""
    site = (DEPLOY / "Caddyfile").read_text()
    assert "\napi.example.com {" in site
    assert "127.0.0.1:8000" in site
    site = site.replace("api.example.com {", f"http://127.0.0.1:{port} {{").replace("127.0.0.1:8000", upstream)
    (directory / "Caddyfile").write_text(f"{{\n\tadmin off\n}}\n{site}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", directory / "Caddyfile"]


def apache2(directory: Path, port: int, upstream: str) -> list[str | Path]:
    """The command that runs Apache."""
    text = APACHE.format(directory=directory, port=port, prefix=PREFIX, upstream=f"http://{upstream}", modules=MODULES)
    (directory / "apache.conf").write_text(text)
    return ["apache2", "-X", "-f", directory / "apache.conf"]


PROXIES = {"nginx": nginx, "caddy": caddy, "apache2": apache2}


@contextmanager
def proxying(name: str, server: Server, directory: Path) -> Iterator[str]:
    """A proxy in front of the service until the block ends; the service's URL there."""
    if shutil.which(name) is None:
        pytest.skip(f"needs {name} (Debian: nginx-light, caddy, apache2-bin)")
    port = free_port()
    command = PROXIES[name](directory, port, server.url.removeprefix("http://"))
    environment = {**os.environ, "HOME": str(directory)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            assert process.poll() is None, process.communicate()[1].decode()
            try:
                httpx.get(f"http://127.0.0.1:{port}{PREFIX}/health", timeout=20)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}{PREFIX}"
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service behind one of the three."""
    with proxying(request.param, server, tmp_path_factory.mktemp(request.param)) as url:
        yield url


@pytest.fixture
def http(proxy: str) -> Iterator[httpx.Client]:
    """A signed-in user's client, which takes compressed answers as browsers do."""
    headers = {"Authorization": f"Bearer {token('proxied')}", "Accept-Encoding": "gzip"}
    with httpx.Client(headers=headers, timeout=20) as client:
        for task in client.get(f"{proxy}/api/proxied/tasks").json():
            client.delete(f"{proxy}/api/proxied/tasks/{task['id']}")
        yield client


@pytest.mark.parametrize("path", ["/api/proxied/tasks", "/api/proxied/tasks/", "/api/tasks", "/api/tasks/"])
def test_location_and_link_lead_on(proxy: str, http: httpx.Client, path: str) -> None:
    created = [http.post(f"{proxy}{path}", json=LONG) for _ in range(5)]
    found = [http.get(answer.url.join(answer.headers["location"])).json() for answer in created]
    url, listed = f"{proxy}{path}?limit=2", []
    while url:
        page = http.get(url)
        listed += page.json()
        url = str(page.url.join(page.links["next"]["url"])) if "next" in page.links else ""

    assert found == [answer.json() for answer in created]
    assert [task["id"] for task in listed] == [task["id"] for task in found[::-1]]


def test_tag_of_a_compressed_answer_is_as_good_as_ours(proxy: str, http: httpx.Client) -> None:
    task = http.post(f"{proxy}/api/tasks", json=LONG).json()
    url = f"{proxy}/api/tasks/{task['id']}"
    read = http.get(url)
    tag = read.headers["etag"]

    assert read.headers["content-encoding"] == "gzip"
    assert tag != f'"{task["updated_at"]}"' or read.headers["server"] == "Caddy"  # older ones change no tag
    assert http.get(url, headers={"If-None-Match": tag}).status_code == 304
    changed = http.put(url, json={"title": "y" * 200}, headers={"If-Match": tag})
    assert changed.status_code == 200
    assert http.put(url, json={"title": "z"}, headers={"If-Match": tag}).status_code == 412
    assert http.patch(f"{url}/complete", headers={"If-Match": changed.headers["etag"]}).status_code == 200
    assert http.delete(url, headers={"If-Match": changed.headers["etag"]}).status_code == 412
    assert http.delete(url, headers={"If-Match": http.get(url).headers["etag"]}).status_code == 200


def test_tag_of_a_compressed_list_is_as_good_as_ours(proxy: str, http: httpx.Client) -> None:
    http.post(f"{proxy}/api/tasks", json=LONG)
    tag = http.get(f"{proxy}/api/tasks").headers["etag"]

    assert http.get(f"{proxy}/api/tasks", headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize("name", ["nginx", "caddy"])
def test_example_closes_metrics_under_every_spelling_and_nothing_else(
    name: str, server: Server, tmp_path: Path
) -> None:
    with proxying(name, server, tmp_path) as url, httpx.Client(timeout=20) as http:
        for spelling in (
            "metrics",
            "metrics/",
            "METRICS",
            "%6detrics",
            "/metrics",
            "./metrics",
            "x/../metrics",
            "metrics?x",
        ):
            assert spelled(http, f"{url}/{spelling}").status_code == 404, spelling
        assert spelled(http, f"{url.removesuffix(PREFIX)}//todo//metrics").status_code == 404
        assert http.get(url.removesuffix(PREFIX)).status_code == 404
        for path in ("health", "ready", "docs", "openapi.json", ""):
            assert http.get(f"{url}/{path}").status_code == 200, path


def spelled(http: httpx.Client, url: str) -> httpx.Response:
    """The answer to a path that is sent as it is."""
    origin, path = url[: url.index("/", 8)], url[url.index("/", 8) :]
    request = http.build_request("GET", origin)
    request.url = request.url.copy_with(raw_path=path.encode())
    return http.send(request)
