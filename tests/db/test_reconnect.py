"""Connections that are rejected, lost, cut or silent, and what callers notice of it."""

import asyncio
import os
import select as select_module
import socket
import time
from collections.abc import Iterator
from functools import partial

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import func, literal_column, select

from tests.db.scenes import (
    BACKEND,
    INSERT,
    LIST,
    Loop,
    Witness,
    echo,
    either_loop,
    ids,
    insert,
    insert_once,
    new_owner,
    opened,
    play,
    sleep,
    until,
    warm,
    witnessing,
)
from tests.harness import free_port
from tests.proxies import Proxy, proxying, url_through
from todo_api.db import Pool, Unavailable, compile_statement
from todo_api.db.connector import STUCK_SECONDS


@pytest.fixture
def witness(worker_database: str) -> Iterator[Witness]:
    with witnessing(worker_database) as witness:
        yield witness


@pytest.fixture
def proxy(worker_database: str) -> Iterator[Proxy]:
    with proxying(worker_database) as proxy:
        yield proxy


async def insert_all(database: Pool, owner: str, titles: list[str]) -> tuple[list[str], list[BaseException]]:
    """Create tasks at once; the titles that were acknowledged, and what the others met."""
    answers = await asyncio.gather(*(insert(database, owner, title) for title in titles), return_exceptions=True)
    acknowledged = [title for title, answer in zip(titles, answers, strict=True) if isinstance(answer, int)]
    return acknowledged, [answer for answer in answers if isinstance(answer, BaseException)]


class TestBackendsEnded:
    def test_read_and_write_after_an_idle_loss_succeed_unnoticed(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url) as database:
                await warm(database, 4)
                assert witness.terminate() == 4
                await until(lambda: not database._connector.connections)
                owner = new_owner()
                task = await insert(database, owner)

                assert ids(await database.run(LIST, owner, completed=None, search=None, limit=10)) == [task]

        play(scene())

    def test_read_that_is_the_first_to_notice_succeeds(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url, connections=1) as database:
                await warm(database, 1)
                witness.terminate()

                assert await echo(database, "unnoticed") == "unnoticed"

        play(scene())

    def test_write_that_is_the_first_to_notice_succeeds(self, witness: Witness) -> None:
        """As after a suspended process: the loss and the request come in the same tick."""

        async def scene() -> None:
            async with opened(witness.url, connections=1) as database:
                await warm(database, 1)
                hung_up = select_module.poll()
                hung_up.register(database._connector.connections[0]._socket, select_module.POLLHUP)
                witness.terminate()
                assert hung_up.poll(30_000)  # without a look of the event loop
                owner = new_owner()
                await insert(database, owner, "unnoticed")

                assert witness.titles(owner) == ["unnoticed"]

        play(scene())

    def test_reads_in_flight_are_sent_again(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url, connections=1) as database:
                await warm(database, 1)
                reads = [asyncio.create_task(sleep(database, 0.02, str(number))) for number in range(20)]
                await until(lambda: witness.running("pg_sleep") == 1)
                assert witness.terminate() == 1

                assert await asyncio.gather(*reads) == [str(number) for number in range(20)]

        play(scene())

    def test_reads_in_flight_on_every_connection_are_sent_again(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url) as database:
                await warm(database, 4)
                reads = [asyncio.create_task(sleep(database, 0.05, str(number))) for number in range(20)]
                await until(lambda: witness.running("pg_sleep") == 4)
                assert witness.terminate() == 4

                assert await asyncio.gather(*reads) == [str(number) for number in range(20)]

        play(scene())

    def test_reads_are_sent_again_when_connections_end_one_after_another(self, witness: Witness) -> None:
        """As when a server shuts down: the connection that takes the repetition ends as well."""

        async def scene() -> None:
            async with opened(witness.url) as database:
                await warm(database, 4)
                reads = [asyncio.create_task(sleep(database, 0.2, str(number))) for number in range(4)]
                await until(lambda: witness.running("pg_sleep") == 4)
                for (pid,) in witness.rows(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = %s", witness.name
                ):
                    witness.rows("SELECT pg_terminate_backend(%s, 1000)", pid)
                    await asyncio.sleep(0.02)

                assert await asyncio.gather(*reads) == ["0", "1", "2", "3"]

        play(scene())

    def test_read_that_loses_every_connection_is_given_up_after_one_try_more_than_there_are(
        self, database: str
    ) -> None:
        with psycopg.connect(database) as connection:
            connection.execute("CREATE SEQUENCE tries")
            connection.execute(
                "CREATE FUNCTION hang_up() RETURNS bool LANGUAGE sql SECURITY DEFINER"
                " AS 'SELECT pg_terminate_backend(pg_backend_pid()) FROM (SELECT nextval(''tries'')) AS t'"
            )
        statement = compile_statement(select(func.hang_up()))

        async def scene() -> None:
            async with opened(database, connections=2) as shared:
                with pytest.raises(Unavailable):
                    await shared.run(statement, "someone")

        play(scene())
        with psycopg.connect(database) as connection:
            assert connection.execute("SELECT last_value FROM tries").fetchone() == (3,)

    def test_write_in_flight_is_unavailable_and_not_sent_again(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url, connections=1) as database:
                await warm(database, 1)
                owner = new_owner()
                slow = asyncio.create_task(sleep(database, 1))
                write = asyncio.create_task(insert(database, owner))
                await until(lambda: witness.running("pg_sleep") == 1)
                witness.terminate()
                with pytest.raises(Unavailable, match=r"^[^\n]+$"):
                    await write
                await slow

                assert witness.titles(owner) == []

        play(scene())

    @either_loop
    def test_loss_is_noticed_at_once_though_the_server_had_not_read_everything(
        self, witness: Witness, loop: Loop
    ) -> None:
        """The server's last message is followed by a reset, of which uvloop tells once."""

        async def scene() -> None:
            async with opened(witness.url, connections=1) as database:
                await warm(database, 1)
                slow = asyncio.create_task(sleep(database, 1))
                writes = asyncio.create_task(insert_all(database, new_owner(), ["x" * 200] * 1000))
                await until(lambda: witness.running("pg_sleep") == 1)
                witness.terminate()
                acknowledged, failures = await writes

                assert (len(acknowledged), len(failures)) == (0, 1000)
                assert "no answer in time" not in map(str, failures)
                await slow

        play(scene(), loop)

    @either_loop
    def test_no_write_is_both_lost_and_acknowledged(self, witness: Witness, worker_database: str, loop: Loop) -> None:
        async def scene() -> None:
            async with opened(witness.url) as database:
                await warm(database, 4)
                owner, titles = new_owner(), [str(number) for number in range(2000)]
                done = asyncio.create_task(insert_all(database, owner, titles[:1000]))
                await until(lambda: len(witness.titles(owner)) > 10)
                with psycopg.connect(worker_database) as other:
                    other.execute("SELECT FROM users WHERE id = %s FOR UPDATE", [owner])  # no write of theirs ends
                    stuck = asyncio.create_task(insert_all(database, owner, titles[1000:]))
                    await until(lambda: witness.waiting() > 0)
                    witness.terminate()
                (acknowledged, failures), (also_acknowledged, also_failed) = await done, await stuck
                acknowledged, failures = acknowledged + also_acknowledged, failures + also_failed
                written = witness.titles(owner)

                assert failures
                assert all(isinstance(failure, Unavailable) for failure in failures)
                assert len(written) == len(set(written))
                assert set(acknowledged) <= set(written)

        play(scene(), loop)


class TestCut:
    @pytest.mark.parametrize("answer_bytes", [1, 100, 5_000, 20_001])
    def test_write_whose_answer_was_cut_off_is_unavailable_and_there_at_most_once(
        self, witness: Witness, proxy: Proxy, answer_bytes: int
    ) -> None:
        async def scene() -> None:
            async with opened(url_through(proxy.port, witness.url), connections=1) as database:
                await warm(database, 1)
                owner, titles = new_owner(), [str(number) for number in range(100)]
                proxy.silence()
                proxy.cut_after(answer_bytes)
                writes = asyncio.create_task(insert_all(database, owner, titles))
                await until(lambda: len(database._connector.connections[0].pending) == len(titles))
                proxy.resume()
                acknowledged, failures = await writes
                written = witness.titles(owner)

                assert failures
                assert all(isinstance(failure, Unavailable) for failure in failures)
                assert len(written) == len(set(written))
                assert set(acknowledged) <= set(written)
                assert len(written) > len(acknowledged)
                assert acknowledged or answer_bytes < 1000

        play(scene())

    @pytest.mark.parametrize("answer_bytes", [0, 1, 100, 3_000])
    def test_reads_whose_answers_were_cut_off_are_sent_again(
        self, worker_database: str, proxy: Proxy, answer_bytes: int
    ) -> None:
        async def scene() -> None:
            async with opened(url_through(proxy.port, worker_database)) as database:
                await warm(database, 4)
                proxy.cut_after(answer_bytes)
                answers = await asyncio.gather(*(echo(database, str(number)) for number in range(100)))

                assert answers == [str(number) for number in range(100)]
                assert proxy.accepted > 4

        play(scene())

    @either_loop
    def test_what_was_cut_in_the_middle_of_being_sent_is_sent_again(
        self, worker_database: str, proxy: Proxy, loop: Loop
    ) -> None:
        async def scene() -> None:
            async with opened(url_through(proxy.port, worker_database), connections=1, wait_seconds=10) as database:
                await warm(database, 1)
                proxy.silence()
                text = "x" * 2**25
                read = asyncio.create_task(echo(database, text))
                await until(lambda: database._connector.connections[0]._writing)
                proxy.cut()
                proxy.resume()

                assert await read == text

        play(scene(), loop)


class TestKeyedCreate:
    """A create with a key may be sent again by the service itself."""

    @pytest.mark.parametrize("answer_bytes", [0, 1, 100, 5_000, 20_001])
    def test_those_whose_answers_were_cut_off_are_sent_again_and_there_exactly_once(
        self, witness: Witness, proxy: Proxy, answer_bytes: int
    ) -> None:
        async def scene() -> None:
            async with opened(url_through(proxy.port, witness.url), connections=1) as database:
                await warm(database, 1)
                owner, titles = new_owner(), [str(number) for number in range(100)]
                before = proxy.accepted
                proxy.cut_after(answer_bytes)
                rows = await asyncio.gather(*(insert_once(database, owner, title, title=title) for title in titles))

                assert proxy.accepted > before
                assert [row[2] for row in rows] == titles
                assert len({row[0] for row in rows}) == len(titles)
                assert sorted(witness.titles(owner)) == sorted(titles)
                assert {row[7:] for row in rows} == {(True, True)}  # each knows the task as its own work

        play(scene())

    def test_another_attempt_is_told_that_it_came_second(self, worker_database: str) -> None:
        async def scene() -> None:
            async with opened(worker_database) as database:
                owner = new_owner()
                first, second = [await insert_once(database, owner, "k") for _ in range(2)]

                assert first == (*second[:-1], True)
                assert second[-1] is False

        play(scene())


class TestUnreachable:
    def test_rejected_connection_is_unavailable_at_once_and_used_as_soon_as_it_is_accepted(
        self, worker_database: str
    ) -> None:
        port = free_port()

        async def scene() -> None:
            async with opened(url_through(port, worker_database)) as database:
                for _ in range(4):
                    with pytest.raises(Unavailable, match=r"^no attempt to connect succeeded$"):
                        await echo(database, "nobody listens")
                with proxying(worker_database, port=port):
                    assert await echo(database, "somebody listens") == "somebody listens"

        play(scene())

    def test_rejected_connection_is_logged_in_one_line_without_the_password(
        self, worker_database: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def scene() -> None:
            url = f"postgresql://postgres:very-private@127.0.0.1:{free_port()}/postgres"  # pragma: allowlist secret
            async with opened(url) as database:
                with pytest.raises(Unavailable) as failure:
                    await echo(database, "")

                assert "very-private" not in f"{failure.value!r}{failure.value.__cause__!r}"

        play(scene())
        (record,) = caplog.records
        reason = vars(record)["reason"]
        assert (record.levelname, record.message) == ("WARNING", "database connection failed")
        assert reason.startswith("connection failed: ")
        assert reason.isprintable()  # no line break, above all
        assert "very-private" not in reason

    def test_attempts_wait_longer_and_longer_up_to_a_limit_until_one_succeeds(
        self, worker_database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port = free_port()
        drawn = []

        def uniform(low: float, high: float) -> float:
            drawn.append((low, high))
            return low

        async def scene() -> None:
            async with opened(url_through(port, worker_database)) as database:
                started = time.monotonic()
                backoffs = []
                for _ in range(6):
                    with pytest.raises(Unavailable):
                        await echo(database, "nobody listens")
                    backoffs.append(database._connector._backoff_seconds)

                assert backoffs == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5]
                assert time.monotonic() - started >= 0.5  # half of each but the last, less what the loop's clock is off
                with proxying(worker_database, port=port):
                    await echo(database, "somebody listens")
                assert database._connector._backoff_seconds == 0

        monkeypatch.setattr("todo_api.db.connector.random.uniform", uniform)
        play(scene())
        assert set(drawn) == {(0.5, 1)}

    def test_silent_server_is_unavailable_within_the_wait(self, worker_database: str, proxy: Proxy) -> None:
        proxy.silence()

        async def scene() -> None:
            async with opened(url_through(proxy.port, worker_database), wait_seconds=0.4) as database:
                for _ in range(2):
                    started = time.monotonic()
                    with pytest.raises(Unavailable, match=r"^no connection in time$"):
                        await echo(database, "")
                    assert time.monotonic() - started >= 0.3

        play(scene())

    @pytest.mark.parametrize("connections", [1, 4])
    def test_server_that_answers_again_is_used_at_once_though_an_attempt_is_stuck(
        self, worker_database: str, proxy: Proxy, connections: int
    ) -> None:
        async def scene() -> None:
            proxy.silence()
            url = url_through(proxy.port, worker_database)
            async with opened(url, wait_seconds=1, connections=connections) as database:
                with pytest.raises(Unavailable):
                    await echo(database, "silence")
                proxy.lose()
                proxy.resume()

                assert await echo(database, "there again") == "there again"

        play(scene())

    @pytest.mark.parametrize("connections", [2, 4])
    def test_request_that_waits_gets_through_with_the_next_attempt_though_every_attempt_before_is_stuck(
        self, worker_database: str, proxy: Proxy, connections: int
    ) -> None:
        proxy.silence()

        async def scene() -> None:
            async with opened(url_through(proxy.port, worker_database), connections=connections) as database:
                request = asyncio.create_task(echo(database, "there again"))
                await asyncio.sleep(2)
                assert len(database._connector._attempts) <= connections
                proxy.lose()
                proxy.resume()

                assert await request == "there again"

        play(scene())

    @pytest.mark.parametrize("connections", [1, 4])
    def test_slow_connections_are_waited_for_though_others_are_tried_beside_them(
        self, worker_database: str, proxy: Proxy, connections: int
    ) -> None:
        proxy.delay_seconds = 0.5

        async def scene() -> None:
            url = url_through(proxy.port, worker_database)
            async with opened(url, connections=connections) as database:
                started = time.monotonic()

                assert await echo(database, "slow") == "slow"
                assert time.monotonic() - started > 2.5
                assert proxy.accepted <= (1 if connections == 1 else 8)

        play(scene())

    def test_slow_first_connection_is_waited_for(self, worker_database: str, proxy: Proxy) -> None:
        proxy.silence()

        async def scene() -> None:
            async with opened(url_through(proxy.port, worker_database)) as database:
                request = asyncio.create_task(echo(database, "awake"))
                await asyncio.sleep(2 * STUCK_SECONDS)
                proxy.resume()

                assert await request == "awake"

        play(scene())

    def test_attempt_outlives_the_request_that_began_it(self, worker_database: str, proxy: Proxy) -> None:
        proxy.silence()

        async def scene() -> None:
            async with opened(url_through(proxy.port, worker_database), wait_seconds=0.3) as database:
                with pytest.raises(Unavailable):
                    await echo(database, "asleep")
                proxy.resume()

                assert await echo(database, "awake") == "awake"

        play(scene())

    def test_nothing_reconnects_without_a_request(self, worker_database: str, proxy: Proxy) -> None:
        async def scene() -> None:
            async with opened(url_through(proxy.port, worker_database)) as database:
                await warm(database, 4)
                proxy.rejecting = True
                proxy.cut()
                with pytest.raises(Unavailable):
                    await echo(database, "")
                attempts = proxy.accepted
                await asyncio.sleep(1)

                assert proxy.accepted == attempts == 5

        play(scene())

    def test_many_requests_share_one_attempt(self, worker_database: str, proxy: Proxy) -> None:
        proxy.rejecting = True

        async def scene() -> None:
            async with opened(url_through(proxy.port, worker_database)) as database:
                answers = await asyncio.gather(*(echo(database, "") for _ in range(100)), return_exceptions=True)

                assert all(isinstance(answer, Unavailable) for answer in answers)
                assert proxy.accepted == 1

        play(scene())


class TestSilence:
    def test_connection_that_falls_silent_is_replaced(self, worker_database: str, proxy: Proxy) -> None:
        async def scene() -> None:
            url = url_through(proxy.port, worker_database)
            async with opened(url, wait_seconds=1, statement_timeout_milliseconds=1000) as database:
                await warm(database, 4)
                proxy.lose()
                works = [insert(database, new_owner()) for _ in range(20)]
                answers = await asyncio.gather(*works, return_exceptions=True)
                assert all(isinstance(answer, Unavailable) for answer in answers)
                await until(lambda: not database._connector.connections)
                owner = new_owner()
                task = await insert(database, owner)

                assert ids(await database.run(LIST, owner, completed=None, search=None, limit=10)) == [task]
                assert proxy.accepted > 4

        play(scene())

    def test_read_is_sent_again_and_write_given_up_once_nothing_has_moved_for_too_long(
        self, worker_database: str, proxy: Proxy
    ) -> None:
        async def scene() -> None:
            url = url_through(proxy.port, worker_database)
            async with opened(url, connections=1, statement_timeout_milliseconds=500) as database:
                await warm(database, 1)
                proxy.lose()
                await asyncio.sleep(0.01)  # an iteration of the loop begins, and with it the clock
                started = time.monotonic()
                read, write = echo(database, "read"), insert(database, new_owner())
                answer, failure = await asyncio.gather(read, write, return_exceptions=True)

                assert answer == "read"
                assert isinstance(failure, Unavailable)
                assert failure.reason == "no answer in time"
                assert time.monotonic() - started >= 0.9

        play(scene())

    def test_requests_find_the_living_connections_while_one_is_silent(self, worker_database: str, proxy: Proxy) -> None:
        async def scene() -> None:
            async with opened(url_through(proxy.port, worker_database), wait_seconds=1) as database:
                await echo(database, "")
                proxy.lose()
                stuck = [asyncio.create_task(insert(database, new_owner())) for _ in range(8)]
                await until(lambda: len(database._connector.connections) > 1)
                answers = [await echo(database, str(number)) for number in range(10)]

                assert answers == [str(number) for number in range(10)]
                for failure in await asyncio.gather(*stuck, return_exceptions=True):
                    assert isinstance(failure, Unavailable)

        play(scene())

    def test_read_that_is_sent_again_still_ends_within_its_wait(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url, connections=2, wait_seconds=3) as database:
                await warm(database, 2)
                read = asyncio.create_task(sleep(database, 20, "read"))
                await until(lambda: witness.running("pg_sleep") == 1)
                await asyncio.sleep(2)
                later = asyncio.create_task(sleep(database, 20, "later"))
                await until(lambda: witness.running("pg_sleep") == 2)
                ended_at = time.monotonic()
                witness.rows(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = %s ORDER BY query_start LIMIT 1",
                    witness.name,
                )
                with pytest.raises(Unavailable):
                    await read
                seconds = time.monotonic() - ended_at
                with pytest.raises(Unavailable):
                    await later

                assert seconds < 3  # not one more wait after the connection's end

        play(scene())


class TestDefaults:
    @pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux tells how long it waits")
    def test_peer_that_vanished_is_noticed_after_5_s_of_waiting_for_it_or_45_s_of_doing_nothing(
        self, worker_database: str, proxy: Proxy
    ) -> None:
        async def scene() -> None:
            async with opened(url_through(proxy.port, worker_database)) as database:
                await echo(database, "")
                with socket.socket(fileno=os.dup(database._connector.connections[0]._socket)) as connection:
                    option = partial(connection.getsockopt, socket.IPPROTO_TCP)
                    idle = option(socket.TCP_KEEPIDLE) + option(socket.TCP_KEEPINTVL) * option(socket.TCP_KEEPCNT)

                    assert option(socket.TCP_USER_TIMEOUT) == 5000
                    assert idle == 45

        play(scene())

    @pytest.mark.parametrize(("hosts", "seconds"), [("a", "15"), ("a,b", "2")])
    def test_each_of_several_hosts_gets_little_time(self, hosts: str, seconds: str) -> None:
        async def scene() -> None:
            async with opened(f"postgresql://postgres@{hosts}/x") as database:
                assert conninfo_to_dict(database._connector._conninfo)["connect_timeout"] == seconds

        play(scene())

    @pytest.mark.parametrize(("own", "name"), [({}, "todo-api"), ({"application_name": "mine"}, "mine")])
    def test_connection_carries_a_name_that_the_url_may_change(
        self, worker_database: str, own: dict[str, str], name: str
    ) -> None:
        statement = compile_statement(select(func.current_setting(literal_column("'application_name'"))))

        async def scene() -> None:
            async with opened(make_conninfo(worker_database, **own)) as database:
                assert await database.run(statement, "someone") == [(name,)]

        play(scene())


class TestClose:
    def test_every_connection_closes(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url) as database:
                await warm(database, 4)
                assert witness.connections() == 4
            await until(lambda: not witness.connections())

        play(scene())

    def test_what_is_pending_is_unavailable_at_once(self, witness: Witness) -> None:
        async def scene() -> None:
            async with opened(witness.url) as database:
                await warm(database, 4)
                pending = [asyncio.create_task(sleep(database, 2)) for _ in range(20)]
                write = asyncio.create_task(insert(database, new_owner()))
                await until(lambda: witness.running("pg_sleep") == 4)
                await database.close()
                answers = await asyncio.gather(*pending, return_exceptions=True)

                assert {getattr(answer, "reason", answer) for answer in answers} == {"shutting down"}
                with pytest.raises(Unavailable, match=r"^closed$"):
                    await write

        play(scene())

    def test_connection_that_is_being_opened_is_given_up(self, worker_database: str, proxy: Proxy) -> None:
        proxy.silence()

        async def scene() -> None:
            async with opened(url_through(proxy.port, worker_database)) as database:
                waiting = asyncio.create_task(echo(database, ""))
                await until(lambda: bool(proxy.accepted))
                await database.close()
                with pytest.raises(Unavailable, match=r"^no attempt to connect succeeded$"):
                    await waiting

        play(scene())

    def test_nothing_is_opened_afterwards(self, worker_database: str, proxy: Proxy) -> None:
        async def scene() -> None:
            async with opened(url_through(proxy.port, worker_database)) as database:
                await database.run(BACKEND, "someone")
                await database.close()
                with pytest.raises(Unavailable, match=r"^shutting down$"):
                    await database.run(
                        INSERT, new_owner(), email=None, name=None, title="x", description=None, completed=False
                    )

                assert proxy.accepted == 1

        play(scene())
