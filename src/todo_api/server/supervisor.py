"""The process that starts the workers, watches them and stops them."""

from uvicorn.supervisors import Multiprocess

WORKER_SECONDS = 10
"""A worker that does not answer its supervisor for so long is replaced; on a busy machine a start takes a while."""


class Supervisor(Multiprocess):
    """uvicorn's supervisor of workers."""

    def keep_subprocess_alive(self) -> None:
        """Replace workers that are gone or do not answer; one that dies while it is being asked, at once."""
        for process in self.processes:
            process.child_conn.close()  # the worker's end: as long as it is open here, too, nobody hangs up
        super().keep_subprocess_alive()

    def terminate_all(self) -> None:
        """Stop listening, so that nobody connects whom no worker will serve; then stop the workers."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()
