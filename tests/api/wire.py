"""The wire as it is: bytes in, one parsed answer out; and what the service counts."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPMessage, HTTPResponse
from urllib.parse import urlsplit

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.harness import Server

WAIT_SECONDS = 10
REQUESTS = "todo_http_request_duration_seconds_count"
"""The metric that counts answered requests by method, route template and status."""


@dataclass(frozen=True)
class Answer:
    """One response, as it was sent."""

    status: int
    headers: HTTPMessage
    body: bytes


def connect(server: Server) -> socket.socket:
    """A connection to the service."""
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=WAIT_SECONDS)


def exchange(server: Server, request: bytes) -> Answer:
    """Send these bytes and no others, on a connection of their own, and read one answer."""
    with connect(server) as connection:
        connection.sendall(request)
        method = request.partition(b" ")[0].decode("latin-1")
        with HTTPResponse(connection, method=method) as response:
            response.begin()
            return Answer(response.status, response.headers, response.read())


def ask(
    server: Server, target: str | bytes, token: str | None = None, *, method: str = "GET", **headers: str
) -> Answer:
    """Request a target exactly as it is spelled: nothing is normalised on the way."""
    lines = [
        method.encode() + b" " + (target if isinstance(target, bytes) else target.encode()) + b" HTTP/1.1",
        b"Host: 127.0.0.1",
        *([f"Authorization: Bearer {token}".encode()] if token else []),
        *(f"{name.replace('_', '-')}: {value}".encode() for name, value in headers.items()),
    ]
    return exchange(server, b"\r\n".join(lines) + b"\r\n\r\n")


def counted(client: httpx.Client, name: str, **labels: str) -> float:
    """The value of a counter's sample; 0 while it does not exist."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name == name and _has(sample.labels, labels)
    )


def _has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return wanted.items() <= labels.items()
