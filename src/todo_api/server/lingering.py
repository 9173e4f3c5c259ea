"""Closing a connection whose client may still send: a reset would lose its last response."""

import asyncio
from typing import Final

LINGER_SECONDS: Final = 2.0
"""How long a client may go on sending (RFC 9112 §9.6)."""


class Lingering:
    """Closes this side of a connection, and lets pass what comes from the other."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        transport.write_eof()
        self._timer = self._loop.call_later(LINGER_SECONDS, self._end)

    def cancel(self) -> None:
        """The connection is closed."""
        self._timer.cancel()

    def _end(self) -> None:
        if self._transport.get_write_buffer_size():
            self._timer = self._loop.call_later(LINGER_SECONDS, self._end)
        else:
            self._transport.abort()
