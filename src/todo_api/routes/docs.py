"""``/docs`` and ``/openapi.json``: the interactive documentation, every asset served from here.

With a sample secret the page signs its reader in as the sample user, so that "Try it out" works at
once. That is for the zero-configuration mode alone: whoever opens the page gets the token.
"""

import json
import time
from importlib.resources import files
from string import Template

from fastapi import FastAPI, Response
from pydantic import SecretStr
from starlette.responses import HTMLResponse, JSONResponse

from todo_api.problems import Problem
from todo_api.tokens import sign

SAMPLE_USER = "demo-user"
SAMPLE_TOKEN_SECONDS = 7 * 24 * 3600
ASSET_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<link rel="icon" href="/docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script>
const sample = $sample;
const named = (key, value) =>
  value?.in === "path" && value.name === "user_id" ? { ...value, example: sample.user } : value;
const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  tryItOutEnabled: true,
  persistAuthorization: !sample, // a kept sample token would outlive the secret that signed it
  onComplete: () => sample && ui.preauthorizeApiKey("bearer", sample.token),
  responseInterceptor: (response) => {
    if (sample && response.url.endsWith("/openapi.json")) {
      response.text = JSON.stringify(JSON.parse(response.text, named));
    }
    return response;
  },
});
</script>
</body>
</html>
""")


def sample_token(secret: SecretStr) -> str:
    """A token for the sample user, good for a week."""
    now = int(time.time())
    return sign({"sub": SAMPLE_USER, "iat": now, "exp": now + SAMPLE_TOKEN_SECONDS}, secret.get_secret_value())


def serve_docs(app: FastAPI, *, sample_secret: SecretStr | None) -> None:
    """Add the page, its assets and the document to ``app``.

    Args:
        app: the application that the page describes.
        sample_secret: signs the page's reader in as the sample user; None leaves that to the reader.
    """
    resources = files("fastapi_swagger") / "resources"
    assets = {name: (resources / name).read_bytes() for name in ASSET_TYPES}

    @app.get("/docs/assets/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in assets:
            raise Problem(404)
        return Response(assets[name], media_type=ASSET_TYPES[name], headers={"Cache-Control": "max-age=86400"})

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        # The token's letters, digits, dots and dashes cannot end a script.
        sample = None if sample_secret is None else {"user": SAMPLE_USER, "token": sample_token(sample_secret)}
        page = PAGE.substitute(title=app.title, sample=json.dumps(sample))
        return HTMLResponse(page, headers={"Cache-Control": "no-store"})
