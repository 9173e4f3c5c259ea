"""The OpenAPI document, corrected where FastAPI's defaults do not describe the service."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from todo_api.auth import requires_token
from todo_api.models import TASK_EXAMPLE, TaskRead
from todo_api.problems import CONNECTION_STATUSES, PROBLEMS, FieldError, ProblemDetails

_CONNECTION_ERRORS = "\n".join(
    f"| {status} | `{PROBLEMS[status].code}` | {PROBLEMS[status].detail} |" for status in CONNECTION_STATUSES
)
DESCRIPTION = f"""\
Task lists for front ends that sign in with [Better Auth](https://better-auth.com).

Send the user's token as `Authorization: Bearer …`. Every error response is `application/problem+json`
(RFC 9457): show `detail` to people, read `code` in programs.

Each path is there without `/{{user_id}}` too (`/api/tasks`): it then means the token's own user.

Any request may also be answered like this, before its operation is known:

| status | `code` | meaning |
|---|---|---|
{_CONNECTION_ERRORS}
"""
TAGS = [
    {"name": "tasks", "description": "A user's tasks."},
    {"name": "operations", "description": "For operators and their machines."},
]


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The document of ``app``, made once.

    FastAPI's, with what it says otherwise than the service corrected.
    """
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            license_info={"name": "MIT", "identifier": "MIT"},
            servers=[{"url": ".", "description": "Where this document is"}],
            tags=TAGS,
            routes=app.routes,
        )
        for path, operations in document["paths"].items():
            for operation in operations.values():
                _correct(operation)
                if requires_token(path):
                    operation["security"] = [{"bearer": []}]
        document["security"] = []  # of all others
        _add_components(document["components"])
        app.openapi_schema = document
    return app.openapi_schema


def _correct(operation: dict[str, Any]) -> None:
    if "application/json" in operation["responses"].get("422", {}).get("content", {}):
        del operation["responses"]["422"]  # FastAPI's; ours are problems
    for media in operation.get("requestBody", {}).get("content", {}).values():
        media["schema"].pop("default", None)  # an absent body is not this body
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        # Optional means absent: a parameter has no null, and generators write types that say it
        # has.
        schema |= next((form for form in schema.pop("anyOf", ()) if form != {"type": "null"}), {})
        for name in ("title", "description"):
            schema.pop(name, None)  # the parameter's own say it


def _add_components(components: dict[str, Any]) -> None:
    schemas = components["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    # Put here because FastAPI drops null, and Pydantic sorts the keys.
    schemas[TaskRead.__name__]["examples"] = [TASK_EXAMPLE]
    for model in (FieldError, ProblemDetails):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schema.pop("$defs", None)
        schemas[model.__name__] = schema
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token issued by Better Auth.",
        }
    }
