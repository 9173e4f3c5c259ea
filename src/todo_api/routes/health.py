"""What operators and their machines ask: is it alive, is it ready, how is it doing."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from todo_api import database_state
from todo_api.observability import METRICS, METRICS_CONTENT_TYPE, DatabaseFailed, observe
from todo_api.problems import FROM_THE_CONNECTION, Problem, documented

router = APIRouter(tags=["operations"], responses=documented(*FROM_THE_CONNECTION))


class Health(BaseModel):
    """The answer of a probe."""

    status: Literal["ok"] = "ok"


class Ready(Health):
    """The answer of ``/ready``."""

    read_only: bool


@router.get("/health", operation_id="health")
async def health() -> Health:
    """The process is alive. Touches no database."""
    return Health()


@router.get(
    "/ready",
    operation_id="ready",
    responses=documented(503),
)
async def ready(request: Request) -> Ready:
    """The database answers, its schema is the one this version needs, row-level security is in force.

    `read_only` tells that it is a standby, where writes answer 503.
    """
    try:
        read_only = await database_state.check(request.state.database, request.state.schema_head)
    except database_state.DatabaseUnusable as error:
        observe(DatabaseFailed(str(error)))
        raise Problem(503, str(error)) from None
    return Ready(read_only=read_only)


@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics() -> Response:
    """Prometheus metrics, of all workers of `todo-api serve`."""
    return Response(METRICS.exposition(), media_type=METRICS_CONTENT_TYPE)
