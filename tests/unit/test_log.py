"""The log when nobody can read it, or not now."""

import os
import threading

from todo_api.observability import Log


def test_line_that_nobody_reads_is_dropped_and_harms_nobody() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    log = Log(writer)
    try:
        log.write(0.0, 20, b'{"event":"lost"}')
    finally:
        os.close(writer)


def test_line_for_which_there_is_no_room_waits_for_the_reader() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    filler = os.write(writer, b"x" * 2**20)
    received: list[bytes] = []
    late = threading.Timer(0.1, lambda: received.append(os.read(reader, filler)))
    late.start()
    try:
        Log(writer).write(0.0, 20, b'{"event":"late"}')
        late.join()
        received.append(os.read(reader, filler))
    finally:
        os.close(writer)
        os.close(reader)

    assert len(received[0]) == filler
    assert b'"event":"late"' in received[1]
