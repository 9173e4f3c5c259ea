"""Addresses on the web, as settings give them.

Origins, base URLs, and whether plain http is safe for one.
"""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

_ORIGIN: Final = re.compile(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?", re.IGNORECASE)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# Not 134744072 or 0x8080808, which are IPv4 addresses (WHATWG URL §3.5); ASCII, because IDNA makes
# a dot of "。".
_PRIVATE_NAME: Final = re.compile(r"(?!(\d+|0x[\da-f]*)$)[\w-]+|[\w.-]+\.(localhost|local|internal)", re.ASCII)


def as_browsers_send(origin: str) -> str:
    """An origin as a browser writes it (RFC 6454 §6.2): in lower case, without a default port.

    Raises:
        ValueError: it is none.
    """
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        raise ValueError("each must be an origin such as https://app.example.com; * is not allowed")
    scheme, host, port = match[1].lower(), match[2].lower(), match[3]
    number = _DEFAULT_PORTS[scheme] if port is None else int(port)
    return f"{scheme}://{host}" + ("" if number == _DEFAULT_PORTS[scheme] else f":{number}")


def origin_of(url: str) -> str:
    """The origin of a URL that ``check_address`` accepts, as a browser writes it.

    Without a default port.
    """
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = "" if parts.port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def check_address(url: str) -> None:
    """See that ``url`` is an http or https URL with a host and without credentials.

    Raises:
        ValueError: it is not.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        usable = False
    if not usable or parts.username or parts.password:
        raise ValueError("must be an address such as https://app.example.com")


def is_private_or_https(url: str) -> bool:
    """Whether nobody on a public network can read along or answer instead."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return True
    try:
        return ip_address(parts.hostname or "").is_private
    except ValueError:
        return _PRIVATE_NAME.fullmatch(parts.hostname or "") is not None
