"""The process that starts the workers, watches them and stops them."""

import signal
import socket
from typing import Final

import uvicorn
from typing_extensions import override
from uvicorn.supervisors import Multiprocess

HEALTHCHECK_SECONDS: Final = 10
"""A worker that does not answer its supervisor for so long is replaced; on a busy machine a start
takes a while."""


class Supervisor(Multiprocess):
    """uvicorn's supervisor of worker processes."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        hangup = signal.getsignal(signal.SIGHUP)
        super().__init__(config, sockets)
        if hangup is signal.SIG_IGN:  # under nohup it stays ignored
            signal.signal(signal.SIGHUP, hangup)

    @override
    def keep_subprocess_alive(self) -> None:
        """Replace workers that are gone or do not answer.

        One that dies during the check, at once.
        """
        for process in self.processes:
            process.child_conn.close()  # the worker's end: as long as it is open here, too, no end is noticed
        super().keep_subprocess_alive()

    @override
    def terminate_all(self) -> None:
        """Stop listening, so that nobody connects in vain; then stop the workers."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    @override
    def handle_hup(self) -> None:
        """The terminal is closed.

        Stop, as with one worker, where uvicorn would restart the workers.
        """
        self.handle_term()
