"""The path of a request, read once.

What authenticates, finds and serves a resource all see the same.
"""

import re
from typing import Final
from urllib.parse import quote, unquote

from starlette.types import Scope

EXACT_PATHS: Final = frozenset({"/", "/metrics/", "/docs/"})
"""Their slash stays, so that what a proxy says of ``/metrics`` and ``/docs`` holds for everything
that is one."""

_RULED_PATHS: Final = ("/metrics", "/docs", "/openapi.json")
"""Not every proxy decodes a path before it compares: behind its rule, ``/%6detrics`` must not be
``/metrics``."""

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


def read_path(scope: Scope) -> list[str]:
    """The segments of the path, each percent-decoded once; none for a path that is not served.

    Not served is a path with a control character, or an encoded spelling of one that proxies have
    rules for. The server has decoded ``scope["path"]`` as a whole, and a segment may contain a
    slash: so the segments come from ``raw_path``. From ``scope["path"]`` the root path and one
    trailing slash are taken away, once.
    """
    path: str = scope["path"]
    raw: bytes = scope.get("raw_path") or quote(path).encode()
    scope["raw_path"] = raw  # optional in ASGI, but relative references depend on its last slash
    if scope.get("root_path"):
        path, raw = _without_root_path(scope, path, raw)
    if raw.endswith(b"/") and path not in EXACT_PATHS:
        path, raw = path[:-1], raw[:-1]
    scope["path"] = path
    if not path.isprintable() and _CONTROL.search(path):
        return []
    if b"%" not in raw:
        return path.split("/")
    if path.startswith(_RULED_PATHS):
        return []
    # What is no UTF-8 becomes surrogates, which equal no user's id.
    return [unquote(segment, errors="surrogateescape") for segment in raw.decode("ascii", "replace").split("/")]


def _without_root_path(scope: Scope, path: str, raw: bytes) -> tuple[str, bytes]:
    """The path behind the prefix that a server puts before every path.

    ``request.url_for`` still finds the prefix.
    """
    root_path: str = scope["root_path"].rstrip("/")
    scope["app_root_path"], scope["root_path"] = root_path, ""  # as in Starlette's Mount
    if not path.startswith(f"{root_path}/"):
        return path, raw  # the proxy has stripped it
    for raw_root_path in (root_path.encode(), quote(root_path).encode()):
        if raw.startswith(raw_root_path + b"/"):
            return path[len(root_path) :], raw[len(raw_root_path) :]
    return path[len(root_path) :], quote(path[len(root_path) :]).encode()
