"""What people read in a browser: ``/docs`` with ``/openapi.json``, and the first page, ``/``.

Every asset is served from here, and every link is relative, so that the pages work below a prefix
that a proxy strips. With a sample secret the documentation signs its reader in as the sample user,
so that "Try it out" works at once. That is for the zero-configuration mode alone: anybody who opens
the page gets the token.
"""

import json
from html import escape
from importlib.resources import files
from string import Template
from typing import Final

from fastapi import FastAPI, Request, Response
from pydantic import SecretStr
from starlette.responses import HTMLResponse, JSONResponse

from todo_api.problems import Problem
from todo_api.routes.dependencies import OnePerIteration
from todo_api.tokens import SAMPLE_USER, sample_token

ASSET_TYPES: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
OWN_ASSET_TYPES: Final = {"docs.js": "text/javascript", "docs.css": "text/css"}
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS: Final = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-store"}
DOCUMENTATION: Final = (
    '<p>Read the <a href="docs">interactive documentation</a>, '
    'or have a client generated from the <a href="openapi.json">OpenAPI document</a>.</p>'
)

_PAGES = files("todo_api.routes") / "pages"
_DOCS = Template((_PAGES / "docs.html").read_text())
_HOME = Template((_PAGES / "home.html").read_text())


def serve_docs(app: FastAPI, *, sample_secret: SecretStr | None) -> None:
    """Add the documentation, its assets and the OpenAPI document to ``app``.

    Args:
        app: the application that the page describes.
        sample_secret: signs the page's reader in as the sample user; None leaves that to the
            reader.
    """
    swagger = files("fastapi_swagger") / "resources"
    assets = {name: ((swagger / name).read_bytes(), media_type) for name, media_type in ASSET_TYPES.items()}
    for name, media_type in OWN_ASSET_TYPES.items():
        assets[name] = (_PAGES / name).read_bytes(), media_type

    @app.get("/docs/assets/{name}", include_in_schema=False, dependencies=[OnePerIteration])
    async def asset(name: str) -> Response:
        if name not in assets:
            raise Problem(404)
        content, media_type = assets[name]
        return Response(content, media_type=media_type, headers={"Cache-Control": "max-age=86400"})

    @app.get("/openapi.json", include_in_schema=False, dependencies=[OnePerIteration])
    async def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        sample = None if sample_secret is None else {"user": SAMPLE_USER, "token": sample_token(sample_secret)}
        page = _DOCS.substitute(title=app.title, sample=escape(json.dumps(sample)))
        return HTMLResponse(page, headers=PAGE_HEADERS)


def serve_home(app: FastAPI, *, documented: bool) -> None:
    """Add ``/``: a page for browsers, JSON for programs (RFC 9110 §12.5.1).

    Args:
        app: the application to introduce.
        documented: whether there is documentation to lead to.
    """
    links = {"tasks": "api/tasks", **({"documentation": "docs", "openapi": "openapi.json"} if documented else {})}

    @app.get("/", include_in_schema=False)
    async def home(request: Request) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            content = {"title": app.title, "version": app.version, **links}
            return JSONResponse(content, headers={"Vary": "Accept"})
        page = _HOME.substitute(
            title=app.title,
            version=app.version,
            documentation=DOCUMENTATION if documented else "",
        )
        return HTMLResponse(page, headers={**PAGE_HEADERS, "Vary": "Accept"})
