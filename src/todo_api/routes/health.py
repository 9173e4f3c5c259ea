"""For operators: is the process alive, is the database ready, and the metrics."""

import asyncio
from math import inf
from typing import Final, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from todo_api.db import Pool
from todo_api.migrations import state
from todo_api.observability import METRICS, METRICS_CONTENT_TYPE, DatabaseFailed, observe
from todo_api.problems import Problem, problem_responses
from todo_api.routes.dependencies import OnePerIteration

READY_SECONDS: Final = 3.0
"""How long the service stays ready before the database is checked again."""

router = APIRouter(tags=["operations"])
metrics_router = APIRouter(tags=["operations"])


class Health(BaseModel):
    """The answer of a probe."""

    status: Literal["ok"]


class Ready(Health):
    """The answer of ``/ready``."""

    read_only: bool


class Readiness:
    """Whether the database is ready.

    One check for all concurrent requests, whose result holds for a while.

    ``/ready`` needs no token, so a request must not cost a round trip each time.
    """

    def __init__(self, database: Pool, schema_head: str, *, distributed: bool = False) -> None:
        self._database = database
        self._schema_head = schema_head
        self._distributed = distributed
        self._ready_until = -inf
        self._check: asyncio.Task[bool] | None = None

    async def require(self) -> bool:
        """Return when the database is ready; whether it can only be read.

        Raises:
            DatabaseUnusable: it answers, but cannot be used.
            DatabaseError: it does not answer.
        """
        if self._check is None or (self._check.done() and self._loop_time() >= self._ready_until):
            self._check = asyncio.create_task(self._look())
        return await asyncio.shield(self._check)

    async def _look(self) -> bool:
        read_only = await state.check(self._database, self._schema_head, distributed=self._distributed)
        self._ready_until = self._loop_time() + READY_SECONDS
        return read_only

    def _loop_time(self) -> float:
        return asyncio.get_running_loop().time()


@router.get("/health", operation_id="health", summary="Is the process alive?")
async def health() -> Health:
    """The process is alive. Touches no database."""
    return Health(status="ok")


@router.get(
    "/ready",
    operation_id="ready",
    summary="Can the database be used?",
    responses=problem_responses(503),
)
async def ready(request: Request) -> Ready:
    """The database answers, is at this version's schema, and row-level security is in force.

    `read_only` tells that it is a standby, where writes answer 503. What was found holds for some
    seconds.
    """
    readiness: Readiness = request.state.readiness
    try:
        return Ready(status="ok", read_only=await readiness.require())
    except state.DatabaseUnusable as error:
        observe(DatabaseFailed(str(error)))
        raise Problem(503, error.reason) from None


@metrics_router.get(
    "/metrics",
    operation_id="metrics",
    dependencies=[OnePerIteration],
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics() -> Response:
    """In the text format, for all workers of `todo-api serve`."""
    return Response(METRICS.exposition(), media_type=METRICS_CONTENT_TYPE)
