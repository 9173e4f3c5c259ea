"""Which names a service answers to while anybody may have its sample token (DNS rebinding).

A web page of another origin can have its own name point at 127.0.0.1 and then read what this
service answers, the token in ``/docs`` included. Its name stays in ``Host``.
"""

from collections.abc import Mapping
from ipaddress import ip_address

from starlette.responses import Response
from starlette.types import Scope

from todo_api.problems import respond


def reject_foreign_host(scope: Scope, headers: Mapping[bytes, bytes]) -> Response | None:
    """421 unless ``Host`` is a loopback name (RFC 9110 §7.4; RFC 6761 §6.3).

    None lets the request pass.
    """
    return None if is_loopback(headers.get(b"host", b"").decode("latin-1")) else respond(scope, 421)


def is_loopback(host: str) -> bool:
    """Whether a ``Host``, with or without a port, is localhost, a name below it, or loopback."""
    name = host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    name = name.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
