"""The process that starts the workers, watches them and stops them."""

import signal
import socket
import time
from typing import Final
from weakref import WeakKeyDictionary

import uvicorn
from typing_extensions import override
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

HEALTHCHECK_SECONDS: Final = 10
"""A worker that does not answer its supervisor for so long is replaced."""

START_SECONDS: Final = 120
"""The same for a worker that has not answered yet. With a tenth of a core to run on, a start takes
half a minute, and the next one no less."""

STOP_SECONDS: Final = 5
"""How long those that serve go on, while a worker that is starting ends."""

ANSWERED: Final = -1.0


class Supervisor(Multiprocess):
    """uvicorn's supervisor of worker processes."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        hangup = signal.getsignal(signal.SIGHUP)
        super().__init__(config, sockets)
        self._wait_until: WeakKeyDictionary[Process, float] = WeakKeyDictionary()
        if hangup is signal.SIG_IGN:  # under nohup it stays ignored
            signal.signal(signal.SIGHUP, hangup)

    @override
    def keep_subprocess_alive(self) -> None:
        """Replace workers that are gone or do not answer.

        One that dies during the check, at once; one that is starting, after ``START_SECONDS``.
        Those that are starting are not waited for, so that signals are heard meanwhile.
        """
        for process in self.processes:
            process.child_conn.close()  # the worker's end: as long as it is open here, too, no end is noticed
        starting = [process for process in self.processes if self._is_starting(process)]
        self.processes = [process for process in self.processes if process not in starting]
        super().keep_subprocess_alive()
        self.processes += starting

    def _is_starting(self, process: Process) -> bool:
        """Whether a worker runs, has not answered yet, and has time left to."""
        try:
            if process not in self._wait_until:
                self._wait_until[process] = time.monotonic() + START_SECONDS
                process.parent_conn.send(b"ping")
            if self._wait_until[process] != ANSWERED and process.parent_conn.poll():
                process.parent_conn.recv()
                self._wait_until[process] = ANSWERED
                return True  # just so; it is asked again with the others next time
        except (OSError, EOFError):  # it ended
            return False
        return time.monotonic() < self._wait_until[process]

    @override
    def terminate_all(self) -> None:
        """Stop listening, so that nobody connects in vain; then stop the workers.

        Those that are starting first: they hold the listening sockets, too. Clients that connect
        once all others have closed theirs would wait for them, and be reset when they end.
        """
        starting = [process for process in self.processes if not self._serves(process)]
        for process in starting:
            process.terminate()
        until = time.monotonic() + STOP_SECONDS
        for process in starting:
            process.process.join(max(0, until - time.monotonic()))
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    def _serves(self, process: Process) -> bool:
        """Whether a worker accepts connections; it is asked, as it may have begun to just now."""
        self._is_starting(process)  # takes the answer to an earlier question
        return self._wait_until.get(process) == ANSWERED and process.is_ready(STOP_SECONDS)

    @override
    def handle_hup(self) -> None:
        """The terminal is closed.

        Stop, as with one worker, where uvicorn would restart the workers.
        """
        self.handle_term()
