"""Behind real nginx and Apache, which strip a prefix and compress.

Links lead on, and preconditions hold.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.harness import Server, free_port, token

PREFIX = "/backend"
MODULES = Path("/usr/lib/apache2/modules")

NGINX = """
daemon off; master_process off; pid {directory}/pid; error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;
  server {{
    listen 127.0.0.1:{port};
    location {prefix}/ {{ proxy_pass {upstream}/; proxy_http_version 1.1; }}
  }}
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


@contextmanager
def proxying(command: list[str], port: int) -> Iterator[str]:
    """A proxy that runs until the block ends; the URL under which the service is there."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
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


@pytest.fixture(scope="module", params=["nginx", "apache2"])
def proxy(request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service behind one of the two."""
    program = shutil.which(request.param)
    if program is None:
        pytest.skip(f"needs {request.param} (Debian: nginx-light, apache2-bin)")
    directory, port = tmp_path_factory.mktemp(request.param), free_port()
    template = NGINX if request.param == "nginx" else APACHE
    text = template.format(directory=directory, port=port, prefix=PREFIX, upstream=server.url, modules=MODULES)
    configuration = directory / "proxy.conf"
    configuration.write_text(text)
    arguments = ["-p", str(directory), "-c"] if request.param == "nginx" else ["-X", "-f"]
    with proxying([program, *arguments, str(configuration)], port) as url:
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
    created = [http.post(f"{proxy}{path}", json={"title": "x" * 200}) for _ in range(5)]
    found = [http.get(answer.url.join(answer.headers["location"])).json() for answer in created]
    url, listed = f"{proxy}{path}?limit=2", []
    while url:
        page = http.get(url)
        listed += page.json()
        url = str(page.url.join(page.links["next"]["url"])) if "next" in page.links else ""

    assert found == [answer.json() for answer in created]
    assert [task["id"] for task in listed] == [task["id"] for task in found[::-1]]


def test_tag_of_a_compressed_answer_is_as_good_as_ours(proxy: str, http: httpx.Client) -> None:
    task = http.post(f"{proxy}/api/tasks", json={"title": "x" * 200}).json()
    url = f"{proxy}/api/tasks/{task['id']}"
    read = http.get(url)
    tag = read.headers["etag"]

    assert read.headers["content-encoding"] == "gzip"
    assert tag != f'"{task["updated_at"]}"'
    assert http.get(url, headers={"If-None-Match": tag}).status_code == 304
    changed = http.put(url, json={"title": "y" * 200}, headers={"If-Match": tag})
    assert changed.status_code == 200
    assert http.put(url, json={"title": "z"}, headers={"If-Match": tag}).status_code == 412
    assert http.patch(f"{url}/complete", headers={"If-Match": changed.headers["etag"]}).status_code == 200
    assert http.delete(url, headers={"If-Match": changed.headers["etag"]}).status_code == 412
    assert http.delete(url, headers={"If-Match": http.get(url).headers["etag"]}).status_code == 200


def test_tag_of_a_compressed_list_is_as_good_as_ours(proxy: str, http: httpx.Client) -> None:
    http.post(f"{proxy}/api/tasks", json={"title": "x" * 200})
    tag = http.get(f"{proxy}/api/tasks").headers["etag"]

    assert http.get(f"{proxy}/api/tasks", headers={"If-None-Match": tag}).status_code == 304
