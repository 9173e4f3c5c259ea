"""What operators and their machines ask: is it alive, is it ready, how is it doing."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from todo_api import queries
from todo_api.db import Pool, SchemaMissing, compile_statement
from todo_api.observability import METRICS, METRICS_CONTENT_TYPE
from todo_api.problems import FROM_THE_CONNECTION, documented

SCHEMA_STATE = compile_statement(queries.SCHEMA_STATE)

router = APIRouter(tags=["operations"], responses=documented(*FROM_THE_CONNECTION))


class Health(BaseModel):
    """The answer of a probe."""

    status: Literal["ok"] = "ok"


@router.get("/health", operation_id="health")
async def health() -> Health:
    """The process is alive. Touches no database."""
    return Health()


@router.get(
    "/ready",
    operation_id="ready",
    responses=documented(503),
)
async def ready(request: Request) -> Health:
    """The database answers, its schema is the one this version needs, row-level security is in force."""
    database: Pool = request.state.database
    rows = await database.run(SCHEMA_STATE, "", head=request.state.schema_head)
    if rows != [(True, True)]:
        raise SchemaMissing("not at head, or not protected")
    return Health()


@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics() -> Response:
    """Prometheus metrics, of all workers of `todo-api serve`."""
    return Response(METRICS.exposition(), media_type=METRICS_CONTENT_TYPE)
