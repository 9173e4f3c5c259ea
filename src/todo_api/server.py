"""The HTTP server: uvicorn, with our limits, our way to stop and our form of refusal.

``run`` serves until a signal comes. Answers leave in one piece, and bytes that are no HTTP are
refused as everything here is refused.
"""

import asyncio
import secrets
import signal
import sys
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from todo_api.observability import REQUEST_ID, RequestServed, configure_logging, observe
from todo_api.problems import respond

KEEP_ALIVE_SECONDS = 75

DRAIN_SECONDS = 0.5
"""How long an idle connection stays open once the server stops, for a request that is on its way."""


class _OnePiece:
    """A transport that hands what one turn of the event loop writes to the socket in one piece.

    uvicorn writes the head and the body of an answer by themselves; each write is a system call,
    and often a packet.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._pieces: list[bytes] = []
        self._call_soon = asyncio.get_running_loop().call_soon

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, piece: bytes) -> None:
        """Keep a piece until the turn is over."""
        self._pieces.append(piece)
        if len(self._pieces) == 1:
            self._call_soon(self._flush)

    def close(self) -> None:
        """Write what is kept, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            self._transport.write(b"".join(pieces))


class _LastRequest:
    """A parser after whose next request the connection is to close."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def should_keep_alive(self) -> bool:
        """No, whatever the request says."""
        return False


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol: answers in one piece, and refuses what is no HTTP as everything here is refused."""

    def connection_made(self, transport: Any) -> None:
        """Begin a connection."""
        super().connection_made(_OnePiece(transport))  # type: ignore[arg-type]

    def shutdown(self) -> None:
        """Stop, without losing a request that was sent before the client could know."""
        if self._idle():
            self.parser = _LastRequest(self.parser)  # type: ignore[assignment]
            self.loop.call_later(DRAIN_SECONDS, self._hang_up_if_idle)
        else:
            super().shutdown()

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _hang_up_if_idle(self) -> None:
        if self._idle():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's sentence, for its own log
        """Answer bytes that are no request, note it in the log, and hang up."""
        request_id = secrets.token_hex(8)
        errors = [{"field": "request", "message": "is not valid HTTP"}]
        response = respond({"request_id": request_id}, 400, "request: is not valid HTTP", errors=errors)
        headers = [*response.raw_headers, (b"x-request-id", request_id.encode()), (b"connection", b"close")]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[400] + lines + b"\r\n" + bytes(response.body))
        self.transport.close()
        context = REQUEST_ID.set(request_id)
        observe(RequestServed("other", "unmatched", 400, 0.0))
        REQUEST_ID.reset(context)


class _Supervisor(Multiprocess):
    """uvicorn's supervisor of workers."""

    def terminate_all(self) -> None:
        """Stop listening, so that nobody connects whom no worker will serve; then stop the workers."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def run(*, host: str, port: int, workers: int, log_level: str, grace_seconds: int) -> None:
    """Serve ``todo_api.main:app`` until SIGTERM or SIGINT; requests in flight finish first.

    Raises:
        SystemExit: the application or the socket could not be opened.
    """
    config = uvicorn.Config(
        "todo_api.main:app",
        host=host,
        port=port,
        workers=workers,
        http=HttpProtocol,
        log_level=log_level.lower(),
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here reads the client's address
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=grace_seconds,
    )
    configure_logging(log_level)  # uvicorn has just arranged its own, and the supervisor's lines are ours too
    # uvicorn raises the signal again once it has shut down; a clean stop is exit status 0.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: None)
    if workers > 1:
        supervisor = _Supervisor(config, sockets=[config.bind_socket()])
        supervisor.run()
        started = all(process.exitcode != STARTUP_FAILURE for process in supervisor.processes)
    else:
        server = uvicorn.Server(config)
        server.run()
        started = server.started
    if not started:
        sys.exit(STARTUP_FAILURE)
