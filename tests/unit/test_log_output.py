"""The log when nobody can read it."""

import os

from todo_api.observability import Log


def test_line_that_nobody_reads_is_dropped_and_harms_nobody() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    log = Log(writer)
    try:
        log.write(0.0, 20, b'{"event":"lost"}')
    finally:
        os.close(writer)
