"""The sockets that clients connect to.

They are bound before anything else starts, so that what is wrong is said first.
"""

import errno
import socket
from typing import Final

BACKLOG: Final = 2048
"""How many connections may wait to be accepted."""

MAX_UNSENT_BYTES: Final = 128 * 1024
"""What the kernel holds of a response beyond what is on its way. The rest stays with us, where it
is counted."""

_REASONS: Final = {
    errno.EADDRINUSE: "Port {port} is in use on {host}: set PORT to another one, or stop what listens there.",
    errno.EACCES: "Port {port} is not for this user to listen on: set PORT to 1024 or more.",
    errno.EADDRNOTAVAIL: "HOST={host} is no address of this machine: set HOST to one, such as 127.0.0.1 or 0.0.0.0.",
}


class CannotListen(Exception):
    """The address cannot be listened on.

    The message is a sentence that names HOST or PORT, and what to do.
    """


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen on every address that a host name stands for.

    ``::`` stands for all of IPv6 and of IPv4.

    Args:
        host: a name or an address of this machine.
        port: 0 takes a free one, the same for all addresses.

    Raises:
        CannotListen: with the reason.
    """
    sockets: list[socket.socket] = []
    try:
        for family, address in _addresses(host):
            sockets.append(_bound(family, (address, port)))
            port = sockets[0].getsockname()[1]
    except OSError as error:
        for bound in sockets:
            bound.close()
        reason = _REASONS.get(error.errno or 0, "HOST={host} and PORT={port} cannot be listened on: {error}.")
        raise CannotListen(reason.format(host=host, port=port, error=error.strerror)) from None
    return sockets


def _addresses(host: str) -> list[tuple[int, str]]:
    if host == "::" and not _has_ipv6():
        host = "0.0.0.0"  # noqa: S104 - as configured
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise CannotListen(
            f"HOST={host} does not resolve: unset HOST, or set it to an address of this machine, such as 127.0.0.1 "
            "or 0.0.0.0. (conda sets HOST to the name of a compiler.)"
        ) from None
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def _bound(family: int, address: tuple[str, int]) -> socket.socket:
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        if notsent := getattr(socket, "TCP_NOTSENT_LOWAT", None):
            bound.setsockopt(socket.IPPROTO_TCP, notsent, MAX_UNSENT_BYTES)  # connections inherit it
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound
