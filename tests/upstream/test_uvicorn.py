"""What the server relies on in uvicorn, which documents none of it.

How it makes and ends connections and workers.
"""

import asyncio
import inspect
import signal
from typing import Any

import pytest
import uvicorn
from uvicorn import server, supervisors
from uvicorn.config import STARTUP_FAILURE


def test_state_of_a_server_holds_connections_tasks_and_default_headers() -> None:
    state = server.ServerState()

    assert (state.connections, state.tasks, state.default_headers) == (set(), set(), [])


def test_protocol_is_made_by_any_callable_with_these_arguments() -> None:
    made: list[dict[str, Any]] = []

    class Stop(Exception):
        """Ends the start."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    class Loop:
        """What a server starts to listen on."""

        async def create_server(self, factory: Any, *, sock: Any, **_: Any) -> Any:
            assert sock == "socket"
            factory()
            raise Stop

    async def play(monkeypatch: pytest.MonkeyPatch) -> None:
        config = uvicorn.Config(app, http=lambda **arguments: made.append(arguments), log_config=None)  # type: ignore[arg-type]
        monkeypatch.setattr(asyncio, "get_running_loop", Loop)
        with pytest.raises(Stop):
            await uvicorn.Server(config)._serve(["socket"])  # type: ignore[list-item]

    with pytest.MonkeyPatch.context() as monkeypatch:
        asyncio.run(play(monkeypatch))
    assert set(made[0]) == {"config", "server_state", "app_state", "_loop"}
    assert made[0]["config"].loaded_app is not None


def test_date_and_the_callback_are_renewed_at_every_tenth_tick() -> None:
    async def play() -> None:
        called: list[int] = []

        async def notify() -> None:
            called.append(1)

        config = uvicorn.Config("app", callback_notify=notify, timeout_notify=0, server_header=False, log_config=None)
        running = uvicorn.Server(config)
        assert await running.on_tick(0) is False
        assert [name for name, _ in running.server_state.default_headers] == [b"date"]
        await running.on_tick(1)
        assert called == [1]

    asyncio.run(play())


def test_signals_to_stop_are_those_and_are_raised_again_afterwards() -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda name, _: received.append(name))
    try:
        running = uvicorn.Server(uvicorn.Config("app", log_config=None))
        with running.capture_signals():
            signal.raise_signal(signal.SIGTERM)
            assert running.should_exit
            assert received == []
        assert received == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
    assert server.HANDLED_SIGNALS == (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (supervisors.Multiprocess, "keep_subprocess_alive"),
        (supervisors.Multiprocess, "terminate_all"),
        (supervisors.Multiprocess, "handle_hup"),
        (supervisors.Multiprocess, "handle_term"),
    ],
)
def test_method_that_is_overridden_or_called_takes_no_argument(owner: type, name: str) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == ["self"]


def test_worker_answers_the_health_check_once_it_runs() -> None:
    process = supervisors.multiprocess.Process(uvicorn.Config("app"), [])

    process.parent_conn.send(b"ping")
    assert not process.parent_conn.poll()
    process.pong()
    assert process.parent_conn.recv() is False  # not started, but there
    process.server.started = True
    process.parent_conn.send(b"ping")
    process.pong()
    assert process.parent_conn.recv() is True
    process.child_conn.close()
    process.child_conn.close()


def test_failed_start_is_told_by_the_exit_status() -> None:
    assert STARTUP_FAILURE == 3
