"""The OpenAPI document, corrected where FastAPI's defaults say something the service does not do."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from todo_api.auth import GUARDED
from todo_api.models import TASK_EXAMPLE, TaskRead
from todo_api.problems import FieldError, ProblemDetails

DESCRIPTION = """\
Task lists for front ends that sign in with [Better Auth](https://better-auth.com).

Send the user's token as `Authorization: Bearer …`. Every refusal is `application/problem+json`
(RFC 9457): show `detail` to people, read `code` in programs.
"""


def describe(app: FastAPI) -> dict[str, Any]:
    """The document of ``app``: 400 instead of FastAPI's 422, problems for refusals, the bearer scheme."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        for path, operations in document["paths"].items():
            for operation in operations.values():
                if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                    del operation["responses"]["422"]  # FastAPI's; ours are problems
                for media in operation.get("requestBody", {}).get("content", {}).values():
                    media["schema"].pop("default", None)  # an absent body is not this body
                if path.startswith(GUARDED):
                    operation["security"] = [{"bearer": []}]
        components = document["components"]
        for name in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(name, None)
        # Put here because FastAPI drops null, and Pydantic sorts the keys.
        components["schemas"][TaskRead.__name__]["examples"] = [TASK_EXAMPLE]
        for model in (FieldError, ProblemDetails):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.pop("$defs", None)
            components["schemas"][model.__name__] = schema
        components["securitySchemes"] = {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "A token issued by Better Auth.",
            }
        }
        app.openapi_schema = document
    return app.openapi_schema
