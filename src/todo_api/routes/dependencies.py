"""What the task endpoints take beside their input.

The database, the path as it was sent, the task's id.
"""

import asyncio
from typing import Annotated, Any

from fastapi import Depends, Path, Request
from pydantic import BeforeValidator, WithJsonSchema

from todo_api.db import Pool

MAX_ID_DIGITS = 18  # every such number is a bigint, and a bigint of more is never reached


def _database(request: Request) -> Pool:
    database: Pool = request.scope["state"]["database"]
    return database


def _decimal(text: Any) -> int:
    """Digits as a number; 0, which names no task, when they exceed what PostgreSQL can number."""
    digits = str(text)
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("must be decimal digits")
    if len(digits) > MAX_ID_DIGITS:
        digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= MAX_ID_DIGITS else 0


def _path(request: Request) -> bytes:
    path: bytes = request.scope["raw_path"]
    return path


async def _wait_for_an_iteration(request: Request) -> None:
    async with request.app.state.iteration:
        await asyncio.sleep(0)


OnePerIteration = Depends(_wait_for_an_iteration)
"""Of the requests for routes with this dependency, one is answered in an event-loop iteration.

It is for what needs no token and takes a millisecond: however many such requests come, those of
signed-in users are answered between them.
"""
Connections = Annotated[Pool, Depends(_database)]
RequestPath = Annotated[bytes, Depends(_path)]
"""The path as it was sent: references in an answer are relative to it (RFC 3986 §5.2)."""
TaskId = Annotated[
    int,
    BeforeValidator(_decimal),
    WithJsonSchema({"type": "integer", "format": "int64", "minimum": 0}),
    Path(description="The task's id."),
]
