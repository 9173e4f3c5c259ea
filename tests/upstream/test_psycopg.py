"""What ``db/`` relies on in psycopg, libpq, uvloop and PostgreSQL beyond their documentation."""

import asyncio
import gc
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import AsyncConnection, pq
from psycopg.adapt import Transformer

from tests.db.scenes import Loop, either_loop, play

SYNC = pq.ExecStatus.PIPELINE_SYNC


@contextmanager
def pipelined(url: str) -> Iterator[pq.abc.PGconn]:
    """A connection of libpq in pipeline mode."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.pgconn.enter_pipeline_mode()
        yield connection.pgconn


def results(connection: pq.abc.PGconn, syncs: int) -> list[pq.abc.PGresult]:
    """Everything up to so many Syncs."""
    found: list[pq.abc.PGresult] = []
    while sum(result.status == SYNC for result in found) < syncs:
        result = connection.get_result()
        if result is not None:
            found.append(result)
    return found


def value(result: pq.abc.PGresult) -> bytes | None:
    return result.get_value(0, 0)


class TestPipeline:
    def test_setting_that_is_local_ends_at_the_sync(self, worker_database: str) -> None:
        with pipelined(worker_database) as connection:
            connection.send_query_params(b"SELECT set_config('statement_timeout', '77', true)", None)
            connection.send_query_params(b"SHOW statement_timeout", None)
            connection.pipeline_sync()
            connection.send_query_params(b"SHOW statement_timeout", None)
            connection.pipeline_sync()
            _, inside, _, outside, _ = results(connection, 2)

            assert (value(inside), value(outside)) == (b"77ms", b"0")

    def test_statement_timeout_is_counted_for_each_statement_from_the_one_that_sets_it_on(
        self, worker_database: str
    ) -> None:
        with pipelined(worker_database) as connection:
            connection.send_query_params(b"SELECT set_config('statement_timeout', '50', true)", None)
            connection.send_query_params(b"SELECT pg_sleep(10)", None)
            connection.pipeline_sync()
            _, slow, _ = results(connection, 1)

            assert slow.error_field(pq.DiagnosticField.SQLSTATE) == b"57014"

    def test_failure_rolls_back_what_came_since_the_last_sync_and_no_more(self, worker_database: str) -> None:
        with pipelined(worker_database) as connection:
            for statement in (
                b"CREATE TEMP TABLE kept (n int)",
                b"",
                b"CREATE TEMP TABLE lost (n int)",
                b"SELECT 1/0",
                b"",
            ):
                if statement:
                    connection.send_query_params(statement, None)
                else:
                    connection.pipeline_sync()
            connection.send_query_params(b"SELECT to_regclass('kept'), to_regclass('lost')", None)
            connection.pipeline_sync()
            found = results(connection, 3)[-2]

            assert (found.get_value(0, 0), found.get_value(0, 1)) == (b"kept", None)

    def test_set_config_with_null_resets_to_what_the_session_began_with(self, worker_database: str) -> None:
        with psycopg.connect(worker_database, options="-c search_path=mine") as connection:
            connection.execute("SET search_path = other")

            assert connection.execute("SELECT set_config('search_path', NULL, true)").fetchone() == ("mine",)

    def test_changed_result_type_is_told_by_the_function_that_complains(self, database: str) -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("PREPARE p AS SELECT * FROM tasks")
            connection.execute("ALTER TABLE tasks ADD COLUMN more int")
            with pytest.raises(psycopg.errors.FeatureNotSupported) as failure:
                connection.execute("EXECUTE p")

        assert failure.value.diag.source_function == "RevalidateCachedQuery"

    def test_libpq_sends_no_sync_without_a_flush(self) -> None:
        """Decision 14: if this fails, one send for each event-loop iteration is possible."""
        assert not hasattr(pq.PGconn, "send_pipeline_sync")


class TestRows:
    def test_transformer_of_no_connection_loads_times_in_utc_and_text_as_utf8(self, worker_database: str) -> None:
        with psycopg.connect(worker_database, autocommit=True, options="-c timezone=Asia/Kolkata") as connection:
            result = connection.pgconn.exec_params(
                b"SELECT '2026-11-20 12:00:00.5Z'::timestamptz, 'Gr\xc3\xb6\xc3\x9fe'",
                None,
                result_format=pq.Format.BINARY,
            )
        transformer = Transformer()
        transformer.set_pgresult(result)
        ((moment, text),) = transformer.load_rows(0, 1, tuple)

        assert (moment, moment.utcoffset(), text) == (
            datetime(2026, 11, 20, 12, 0, 0, 500_000, UTC),
            UTC.utcoffset(None),
            "Größe",
        )


class TestConnecting:
    @either_loop
    def test_connected_socket_is_watched_by_nobody(self, worker_database: str, loop: Loop) -> None:
        async def scene() -> None:
            connection = await AsyncConnection.connect(worker_database)
            running = asyncio.get_running_loop()

            assert not running.remove_reader(connection.pgconn.socket)
            assert not running.remove_writer(connection.pgconn.socket)
            await connection.close()

        play(scene(), loop)

    def test_connection_whose_pgconn_is_finished_is_closed_without_a_warning(self, worker_database: str) -> None:
        async def scene() -> None:
            connection = await AsyncConnection.connect(worker_database)
            connection.pgconn.finish()
            assert connection.closed
            del connection
            gc.collect()

        play(scene())

    def test_each_host_is_an_attempt_with_the_whole_timeout(self, worker_database: str) -> None:
        """libpq's own loop would do the same; psycopg's asynchronous one is its own."""

        async def scene() -> None:
            with socket.create_server(("127.0.0.1", 0)) as silent:
                parts = psycopg.conninfo.conninfo_to_dict(worker_database)
                port = silent.getsockname()[1]
                both = {**parts, "host": f"127.0.0.1,{parts['host']}", "port": f"{port},5432", "connect_timeout": "2"}
                connection = await AsyncConnection.connect(psycopg.conninfo.make_conninfo("", **both))
                assert connection.info.host == parts["host"]
                await connection.close()

        play(scene())


class TestReaders:
    @either_loop
    def test_reader_is_called_again_while_something_is_left_to_read(self, loop: Loop) -> None:
        async def scene() -> None:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                pieces: list[bytes] = []
                done = asyncio.Event()

                def read() -> None:
                    pieces.append(os.read(ours.fileno(), 1))
                    if len(pieces) == 5:
                        done.set()

                running = asyncio.get_running_loop()
                running.add_reader(ours.fileno(), read)
                theirs.send(b"12345")
                await asyncio.wait_for(done.wait(), 30)
                running.remove_reader(ours.fileno())

                assert pieces == [b"1", b"2", b"3", b"4", b"5"]

        play(scene(), loop)
