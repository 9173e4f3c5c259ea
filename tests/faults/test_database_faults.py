"""The database breaks under load, in every way it can, and is repaired.

What was acknowledged is there.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.faults.conftest import MAX_SECONDS, QUICK
from tests.faults.history import Kind
from tests.faults.load import SECONDS, Load, under_load
from tests.faults.postgres import MAX_CONNECTIONS, OwnPostgres
from tests.harness import Server, serving
from tests.pooler import PGBOUNCER, pooling
from tests.proxies import Proxy, proxying, url_through

READS = {Kind.READ, Kind.LIST}


@contextmanager
def loaded(server: Server, own: OwnPostgres, max_seconds: float = MAX_SECONDS) -> Iterator[Load]:
    """Clients at work on a service while its database breaks."""
    with under_load(server.url, database=own.url, max_seconds=max_seconds) as load:
        yield load


def repeatedly(load: Load, fault: Callable[[], float]) -> None:
    """Break and repair for as long as a scenario goes on, once at least.

    ``fault`` says when all was well again.
    """
    until = time.monotonic() + SECONDS
    while True:
        load.assert_back_since(fault())
        if time.monotonic() > until:
            return
        time.sleep(load.random.uniform(0, 0.5))


class TestStopped:
    def test_termination_of_every_backend(self, broken: OwnPostgres, service: Server) -> None:
        with loaded(service, broken) as load:

            def terminate() -> float:
                for _ in range(3):
                    assert broken.terminate_backends() > 0
                    load.work_on()
                return broken.answers_since()

            repeatedly(load, terminate)

    @pytest.mark.parametrize("mode", ["fast", "immediate"])
    def test_restart(self, broken: OwnPostgres, service: Server, mode: str) -> None:
        with loaded(service, broken) as load:

            def restart() -> float:
                broken.stop(mode)
                load.wait_for_rejections()
                broken.start()
                return broken.answers_since()

            repeatedly(load, restart)

    def test_freeze(self, broken: OwnPostgres, service: Server) -> None:
        with loaded(service, broken) as load:

            def freeze() -> float:
                broken.freeze()
                try:
                    time.sleep(load.random.uniform(0.1, 2.5))
                finally:
                    broken.thaw()
                return broken.answers_since()

            repeatedly(load, freeze)


class TestSilent:
    @pytest.fixture
    def proxy(self, broken: OwnPostgres) -> Iterator[Proxy]:
        with proxying(broken.url) as proxy:
            yield proxy

    def test_silence_of_every_connection(self, broken: OwnPostgres, proxy: Proxy, tmp_path: Path) -> None:
        url = url_through(proxy.port, broken.url)
        with serving(tmp_path, DATABASE_URL=url, **QUICK) as service, loaded(service, broken) as load:

            def silence() -> float:
                proxy.silence()
                load.wait_for_rejections()
                proxy.resume()
                return time.monotonic()

            repeatedly(load, silence)

    def test_silence_that_no_present_connection_survives(
        self, broken: OwnPostgres, proxy: Proxy, tmp_path: Path
    ) -> None:
        """Within a second of the return, though stuck attempts to connect wait longer than that."""
        url = url_through(proxy.port, broken.url)
        with serving(tmp_path, DATABASE_URL=url) as service, loaded(service, broken, 5.0) as load:

            def lose() -> float:
                proxy.silence()
                load.wait_for_rejections()
                time.sleep(load.random.uniform(0, 1))
                proxy.lose()
                proxy.resume()
                return time.monotonic()

            repeatedly(load, lose)

    def test_cold_start_of_5_seconds(self, broken: OwnPostgres, proxy: Proxy, tmp_path: Path) -> None:
        """Requests wait for it as long as they may.

        Those whose time is up before are told when to come back.
        """
        url = url_through(proxy.port, broken.url)
        with serving(tmp_path, DATABASE_URL=url) as service:
            proxy.silence()
            awake_at = time.monotonic() + 5.0
            alarm = threading.Timer(5.0, proxy.resume)
            alarm.start()
            with loaded(service, broken, 5.0) as load:
                alarm.join()
                load.assert_back_since(awake_at)

                assert all(step.sent_at < awake_at - 4 for step in load.rejections())


@pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed")
class TestPooler:
    def test_kill_and_restart(self, broken: OwnPostgres, tmp_path: Path) -> None:
        with (
            pooling(broken.url) as pooler,
            serving(tmp_path, DATABASE_URL=pooler.url, DATABASE_POOLER="true", **QUICK) as service,
            loaded(service, broken) as load,
        ):

            def kill() -> float:
                pooler.kill()
                load.wait_for_rejections()
                pooler.start()
                return time.monotonic()

            repeatedly(load, kill)

    def test_termination_of_every_backend_behind_it(self, broken: OwnPostgres, tmp_path: Path) -> None:
        with (
            pooling(broken.url) as pooler,
            serving(tmp_path, DATABASE_URL=pooler.url, DATABASE_POOLER="true", **QUICK) as service,
            loaded(service, broken) as load,
        ):

            def terminate() -> float:
                for _ in range(3):
                    assert broken.terminate_backends() > 0
                    load.work_on()
                return broken.answers_since()

            repeatedly(load, terminate)


class TestCrowded:
    def test_no_connection_left_for_the_service(self, broken: OwnPostgres, service: Server) -> None:
        with loaded(service, broken) as load:

            def crowd() -> float:
                with ExitStack() as held:
                    with held_still(service):
                        broken.terminate_backends()
                        fill(broken, held)
                    load.wait_for_rejections()
                return broken.answers_since()

            repeatedly(load, crowd)

    def test_no_connection_left_but_those_of_the_service(self, broken: OwnPostgres, service: Server) -> None:
        with loaded(service, broken) as load:
            with ExitStack() as held:
                fill(broken, held)
                load.work_on(20)

            assert load.rejections() == []


@contextmanager
def held_still(server: Server) -> Iterator[None]:
    """A service that does nothing for one block."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def fill(own: OwnPostgres, held: ExitStack) -> None:
    """Take every connection that PostgreSQL has left to give."""
    for _ in range(MAX_CONNECTIONS + 1):
        try:
            held.enter_context(psycopg.connect(own.url))
        except psycopg.OperationalError:
            return
    raise AssertionError("PostgreSQL gave more connections than it has")


class TestServerThatRejectsWrites:
    def test_read_only_server_answers_reads(self, broken: OwnPostgres, service: Server) -> None:
        with loaded(service, broken) as load:

            def forbid() -> float:
                set_read_only(broken, "on")
                try:
                    load.wait_for_rejections(5)
                    assert not READS & {step.kind for step in load.rejections()}
                finally:
                    set_read_only(broken, "off")
                return time.monotonic()

            repeatedly(load, forbid)

    def test_full_disk_answers_reads(self, broken: OwnPostgres, service: Server) -> None:
        with loaded(service, broken) as load:

            def fill_disk() -> float:
                with rejecting_writes(broken, "53100"):
                    load.wait_for_rejections(5)
                    assert not READS & {step.kind for step in load.rejections()}
                return time.monotonic()

            repeatedly(load, fill_disk)

    @pytest.mark.parametrize(
        "code",
        [
            "08006",  # connection failure, as a pooler reports it
            "25006",  # read-only transaction
            "40001",  # could not serialise
            "40P01",  # deadlock
            "53000",  # insufficient resources
            "53100",  # disk full
            "53200",  # out of memory
            "53300",  # too many connections
            "53400",  # configuration limit exceeded
            "55P03",  # lock not available
            "57014",  # cancelled by an operator, or by the statement timeout
            "57P01",  # an administrator shuts down
            "57P05",  # idle session timeout
            "58030",  # input or output failed
        ],
    )
    def test_condition_that_passes_answers_503_and_tells_nothing(
        self, broken: OwnPostgres, service: Server, code: str
    ) -> None:
        user = service.user()
        user.create()
        with rejecting_writes(broken, code):
            rejected = user.http.post(user.base, json={"title": "Buy milk"})

            assert rejected.status_code == 503
            assert rejected.headers["retry-after"] == "1"
            assert "rejected by the test" not in rejected.text
        assert user.create()["title"] == "Buy milk"


def set_read_only(own: OwnPostgres, value: str) -> None:
    """Make every transaction read-only, or writing again."""
    own.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}", "SELECT pg_reload_conf()")


@contextmanager
def rejecting_writes(own: OwnPostgres, code: str) -> Iterator[None]:
    """A PostgreSQL that answers every write of a task with this SQLSTATE."""
    own.execute(
        "CREATE OR REPLACE FUNCTION reject() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'rejected by the test' USING ERRCODE = '{code}'; END $$",
        "CREATE TRIGGER rejection BEFORE INSERT OR UPDATE OR DELETE ON tasks EXECUTE FUNCTION reject()",
    )
    try:
        yield
    finally:
        own.execute("DROP TRIGGER rejection ON tasks")


class TestSlow:
    def test_statements_that_wait_for_a_lock_end_in_time(self, broken: OwnPostgres, service: Server) -> None:
        with loaded(service, broken) as load:

            def lock() -> float:
                with psycopg.connect(broken.url) as connection:
                    connection.execute("SELECT FROM tasks FOR UPDATE")
                    load.wait_for_rejections()
                return time.monotonic()

            repeatedly(load, lock)


class TestClockSetBack:
    def test_updated_at_of_every_task_still_increases(self, broken: OwnPostgres, service: Server) -> None:
        """To a task that was changed an hour from now, the clock has been set back by an hour."""
        with loaded(service, broken) as load:

            def set_back() -> float:
                broken.execute("UPDATE tasks SET updated_at = clock_timestamp() + interval '1 hour'")
                return time.monotonic()

            repeatedly(load, set_back)
