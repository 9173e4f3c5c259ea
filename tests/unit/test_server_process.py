"""What a server process may take up, where it listens, and how it stops.

What the running service cannot show.
"""

import ctypes
import os
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.supervisors.multiprocess import Process

from tests.harness import PATIENCE_SECONDS
from todo_api.server import run
from todo_api.server.listening import CannotListen, listen
from todo_api.server.memory import give_back_memory, memory_limit, resident_bytes
from todo_api.server.supervisor import ANSWERED, Supervisor


@pytest.mark.parametrize(
    ("limits", "room", "raised_to"),
    [
        ((1024, 4096), 4096 - 256, 4096),
        ((1024, resource.RLIM_INFINITY), 16_384, 16_384 + 256),
        ((65_536, 65_536), 16_384, None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 16_384, None),
        ((200, 200), 1, None),
    ],
)
def test_process_raises_its_limit_of_open_files(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], room: int, raised_to: int | None
) -> None:
    asked = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: asked.append(new))

    assert run._room_for_connections() == room
    assert asked == ([] if raised_to is None else [(raised_to, limits[1])])


class TestMemory:
    @pytest.mark.parametrize(
        ("groups", "files", "limit"),
        [
            pytest.param("0::/\n", {"memory.max": "268435456\n"}, 2**28, id="container"),
            pytest.param("0::/a/b\n", {"a/memory.max": "1000000\n", "a/b/memory.max": "max\n"}, 10**6, id="parent"),
            pytest.param("0::/a\n", {"memory.max": "max\n"}, None, id="no limit"),
            pytest.param(
                "4:cpu,memory:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": "1000000\n"}, 10**6, id="version 1"
            ),
            pytest.param("4:memory:/\n", {"memory/memory.limit_in_bytes": str(2**63 - 4096)}, None, id="none in 1"),
            pytest.param("1:name=systemd:/a:b\n", {}, None, id="other hierarchy"),
        ],
    )
    def test_limit_is_the_smallest_of_all_control_groups(
        self, tmp_path: Path, groups: str, files: dict[str, str], limit: int | None
    ) -> None:
        (tmp_path / "groups").write_text(groups)
        for name, content in files.items():
            (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "root" / name).write_text(content)

        found = memory_limit(tmp_path / "root", tmp_path / "groups")

        assert found == limit or (limit is None and found == memory_limit(tmp_path, tmp_path / "none"))

    @pytest.mark.parametrize("limited", [resource.RLIMIT_AS, resource.RLIMIT_RSS])
    def test_limit_is_the_processs_own_where_that_is_smaller(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limited: int
    ) -> None:
        own = {limited: (10**6, resource.RLIM_INFINITY)}
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        monkeypatch.setattr(resource, "getrlimit", lambda each: own.get(each, unlimited))

        assert memory_limit(tmp_path, tmp_path / "none") == 10**6

    def test_clients_take_up_a_part_of_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(run, "memory_limit", lambda: 256 * 2**20)
        monkeypatch.setattr(run, "_room_for_connections", lambda: 16_384)

        one, two = (run.limits_of_process(workers, client_seconds=1, keep_alive_seconds=1) for workers in (1, 2))

        assert (one.max_buffered_bytes, one.max_connections) == (32 * 2**20, 4096)
        assert (two.max_buffered_bytes, two.max_connections) == (16 * 2**20, 2048)

    def test_is_measured_where_the_system_tells_it(self, tmp_path: Path) -> None:
        assert resident_bytes() > 10_000_000
        assert resident_bytes(tmp_path / "none") == 0

    def test_is_given_back_where_the_c_library_can(self, monkeypatch: pytest.MonkeyPatch) -> None:
        give_back_memory()
        monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
        give_back_memory()


class TestListening:
    def test_all_addresses_are_those_of_ipv4_and_ipv6(self) -> None:
        (listener,) = listen("::", 0)
        with listener:
            for host in ("127.0.0.1", "::1"):
                socket.create_connection((host, listener.getsockname()[1])).close()

    def test_all_addresses_are_those_of_ipv4_where_there_is_no_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_ipv6(family: int = socket.AF_INET, *arguments: Any) -> socket.socket:
            if family == socket.AF_INET6:
                raise OSError
            return original(family, *arguments)

        original = socket.socket
        monkeypatch.setattr(socket, "socket", no_ipv6)
        (listener,) = listen("::", 0)
        with listener:
            assert listener.family == socket.AF_INET

    def test_name_stands_for_all_its_addresses_on_one_port(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = [(socket.AF_INET, 0, 0, "", ("127.0.0.1", 0)), (socket.AF_INET6, 0, 0, "", ("::1", 0, 0, 0))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

        listeners = listen("name", 0)

        assert [listener.family for listener in listeners] == [socket.AF_INET, socket.AF_INET6]
        assert len({listener.getsockname()[1] for listener in listeners}) == 1
        for listener in listeners:
            listener.close()

    def test_port_in_use_is_named(self) -> None:
        (listener,) = listen("127.0.0.1", 0)
        port = listener.getsockname()[1]
        with listener, pytest.raises(CannotListen, match=f"^Port {port} is in use on 127.0.0.1: set PORT"):
            listen("127.0.0.1", port)

    @pytest.mark.parametrize("host", ["x86_64-conda-linux-gnu.invalid", "a" * 300])
    def test_name_that_does_not_resolve_is_named(self, host: str) -> None:
        with pytest.raises(CannotListen, match=f"^HOST={host} does not resolve: unset HOST"):
            listen(host, 0)

    def test_address_of_another_machine_is_named(self) -> None:
        with pytest.raises(CannotListen, match=r"^HOST=192\.0\.2\.1 is no address of this machine"):
            listen("192.0.2.1", 0)

    def test_first_address_is_closed_when_the_second_cannot_be_listened_on(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = [(socket.AF_INET, 0, 0, "", (address, 0)) for address in ("127.0.0.1", "192.0.2.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

        with pytest.raises(CannotListen):
            listen("name", 0)

    def test_kernel_without_a_limit_of_unsent_bytes_listens_all_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(socket, "TCP_NOTSENT_LOWAT", raising=False)
        for listener in listen("127.0.0.1", 0):
            listener.close()


@pytest.fixture
def handlers() -> Any:
    """Every signal's handler is put back."""
    names = [signal.SIGHUP, signal.SIGTERM, signal.SIGINT, *(getattr(signal, f"SIG{x}") for x in HANDLED)]
    before = {name: signal.getsignal(name) for name in names}
    yield
    for name, handler in before.items():
        signal.signal(name, handler)


@pytest.mark.usefixtures("handlers")
class TestStart:
    """Of a worker; here one that does not answer is given no time at all, once it has answered."""

    @pytest.fixture
    def supervisor(self) -> Iterator[Supervisor]:
        supervisor = Supervisor(uvicorn.Config(ignore, log_config=None, workers=1, timeout_worker_healthcheck=0), [])
        supervisor.init_processes()
        yield supervisor
        for process in supervisor.processes:
            process.kill()
            process.join()

    def test_that_takes_longer_than_a_check_is_not_broken_off(self, supervisor: Supervisor) -> None:
        (first,) = supervisor.processes
        while supervisor._wait_until.get(first) != ANSWERED:
            supervisor.keep_subprocess_alive()
            assert supervisor.processes == [first]

        freeze(first)
        supervisor.keep_subprocess_alive()
        assert supervisor.processes != [first]

    def test_that_does_not_end_is_broken_off(self, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("todo_api.server.supervisor.START_SECONDS", 0)
        (first,) = supervisor.processes
        freeze(first)
        supervisor.keep_subprocess_alive()

        assert supervisor.processes != [first]

    def test_that_fails_is_noticed_at_once(self, supervisor: Supervisor) -> None:
        (first,) = supervisor.processes
        os.kill(first.pid or 0, signal.SIGKILL)
        first.join()
        supervisor.keep_subprocess_alive()

        assert supervisor.processes != [first]


@pytest.mark.usefixtures("handlers")
class TestStop:
    """Of a service of which one worker serves and another has not begun to."""

    @pytest.fixture
    def supervisor(self) -> Iterator[Supervisor]:
        (listener,) = listen("127.0.0.1", 0)
        serving, starting = (uvicorn.Config(ignore, log_config=None, loop=loop) for loop in ("asyncio", HANGING_LOOP))
        supervisor = Supervisor(serving, [listener])
        supervisor.processes = [Process(config, supervisor.sockets) for config in (serving, starting)]
        for process in supervisor.processes:
            process.start()
        yield supervisor
        for process in supervisor.processes:
            process.kill()
            process.join()

    @pytest.mark.parametrize("has_answered", [False, True])
    def test_ends_those_that_start_while_the_others_serve(self, supervisor: Supervisor, has_answered: bool) -> None:
        serving, starting = supervisor.processes
        assert serving.wait_until_ready(PATIENCE_SECONDS)
        while supervisor._wait_until.get(serving) != ANSWERED:
            supervisor.keep_subprocess_alive()
        while has_answered and supervisor._wait_until.get(starting) != ANSWERED:
            supervisor.keep_subprocess_alive()
        seen = []

        def terminate() -> None:
            seen.append((starting.exitcode, serving.is_ready(PATIENCE_SECONDS)))
            Process.terminate(serving)

        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(serving, "terminate", terminate)
            supervisor.terminate_all()
            supervisor.join_all()

        assert seen == [(-signal.SIGTERM, True)]
        assert serving.exitcode == -signal.SIGTERM  # by itself: uvicorn raises the signal again


def freeze(process: Process) -> None:
    """Stop a process, and wait until it has stopped: a moment before, it might answer."""
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)


def hang() -> Any:
    """An event loop that is never made: the worker does not come to serve."""
    while True:
        signal.pause()


HANGING_LOOP = f"{__name__}:{hang.__name__}"


async def ignore(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers nothing."""


@pytest.mark.usefixtures("handlers")
class TestHangup:
    def test_stops_the_supervisor(self) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
        supervisor = Supervisor(uvicorn.Config("app", log_config=None), [])
        signal.raise_signal(signal.SIGHUP)
        supervisor.handle_signals()

        assert supervisor.should_exit.is_set()

    def test_is_ignored_by_the_supervisor_under_nohup(self) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        Supervisor(uvicorn.Config("app", log_config=None), [])

        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    @pytest.mark.parametrize("ignored", [False, True])
    def test_is_a_request_to_terminate_in_each_process_that_serves(self, ignored: bool) -> None:
        received = []
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
        signal.signal(signal.SIGTERM, lambda name, _: received.append(name))
        run.new_event_loop().close()
        signal.raise_signal(signal.SIGHUP)

        assert received == ([] if ignored else [signal.SIGTERM])


HANDLED = ("QUIT", "TTIN", "TTOU", "USR1", "USR2", "WINCH")
