"""The embedded PostgreSQL in any folder, in any environment, for any user of the machine."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.harness import environment
from tests.local.conftest import STRANGER, as_user, ask, copy, needs_root
from todo_api.local import programs
from todo_api.local.postgres import LocalPostgresFailed, running
from todo_api.local.programs import Account, find_programs, own_account

ODD = 'it\'s 100% (mine) & $HOME `id` "q" ; a%41b \\back*? é ü'
LIBPQ = {
    "PGHOST": "db.example.com",
    "PGHOSTADDR": "192.0.2.1",
    "PGPORT": "6543",
    "PGSERVICE": "nowhere",
    "PGOPTIONS": "--no-such-option",
    "PGCHANNELBINDING": "require",
    "PGREQUIREAUTH": "scram-sha-256",
    "PGTARGETSESSIONATTRS": "standby",
    "PGSSLNEGOTIATION": "direct",
    "PGSSLMODE": "verify-full",
    "PGDATA": "/nowhere",
    "PGUSER": "nobody",
    "PGDATABASE": "nothing",
}


def answers(directory: Path) -> bool:
    """Whether a server starts under ``directory`` and can be asked."""
    with running(directory) as cluster, psycopg.connect(cluster.url) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


class TestFolder:
    def test_any_character_may_be_part_of_its_name(self, tmp_path: Path) -> None:
        assert answers(tmp_path / ODD)

    def test_its_path_may_be_longer_than_a_socket_address(self, made: Path, tmp_path: Path) -> None:
        deep = tmp_path.joinpath(*["a" * 60] * 4)
        deep.mkdir(parents=True)

        assert answers(copy(made, deep / "data"))

    def test_temporary_directory_may_be_odd_as_well(
        self, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        odd = tmp_path / ODD
        odd.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(odd))

        assert answers(copy(made, odd / "data"))

    def test_programs_may_lie_in_an_odd_one(
        self, public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install(public / ODD, monkeypatch)

        assert answers(tmp_path / "data")

    def test_it_is_made_for_its_owner_alone(self, data: Path, tmp_path: Path) -> None:
        with running(tmp_path / "new" / "data") as cluster:
            sockets = [path for path in cluster.directory.iterdir() if path.is_socket()]
            modes = [
                stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new" / "data", cluster.directory, *sockets)
            ]

        assert modes == [0o700, 0o700, 0o700]


class TestEnvironment:
    def test_no_variable_of_libpq_matters(self, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in LIBPQ.items():
            monkeypatch.setenv(name, value)

        assert answers(data)
        assert {name: os.environ[name] for name in LIBPQ} == LIBPQ

    def test_locale_need_not_be_installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("LANG", "LC_ALL", "LC_MESSAGES", "LANGUAGE"):
            monkeypatch.setenv(name, "xx_YY.UTF-8")

        assert answers(tmp_path / "data")

    def test_case_is_that_of_unicode_whatever_the_locale(self, data: Path) -> None:
        with running(data) as cluster, psycopg.connect(cluster.url) as connection:
            assert connection.execute("SELECT lower('ÉCOLE'), upper('ß'), version() ~ '18'").fetchone() == (
                "école",
                "ß",
                True,
            )

    @needs_root
    def test_shared_memory_may_be_tiny(self, tmp_path: Path) -> None:
        start = f"from pathlib import Path; from tests.local.test_anywhere import *; assert answers(Path({str(tmp_path)!r}))"
        script = 'mount -t tmpfs -o size=4k tmpfs /dev/shm && exec "$0" -c "$1"'
        unshared = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True)
        if unshared.returncode:
            pytest.skip("this machine gives out no mount namespaces")
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, sys.executable, start],
            cwd=Path(__file__).parents[2],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

        assert (done.returncode, done.stderr) == (0, "")

    def test_secrets_of_ours_are_not_in_that_of_the_server(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BETTER_AUTH_SECRET", "3f9a1c5e7b2d4860f1e2d3c4b5a69788")  # pragma: allowlist secret
        with running(data) as cluster:
            names = Path(f"/proc/{cluster.listener()}/environ").read_bytes()

        assert b"BETTER_AUTH" not in names
        assert b"LC_ALL=C\0" in names


class TestRoot:
    pytestmark = needs_root

    def test_no_mode_of_another_folder_changes(self, tmp_path: Path) -> None:
        home = tmp_path / "root"
        home.mkdir(mode=0o700)
        before = modes(tmp_path)
        with running(home / "project" / ".data") as cluster:
            server = Path(f"/proc/{cluster.listener()}").stat().st_uid

            assert ask(cluster.url, "SELECT 1") == (1,)

        assert server == cluster.directory.stat().st_uid != 0
        assert modes(tmp_path) == before

    def test_programs_that_others_may_not_read_are_copied(
        self, tmp_path: Path, public: Path, data: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        installation = install(tmp_path / "venv", monkeypatch)
        installation.chmod(0o700)
        monkeypatch.setattr(programs, "COPIES", public / "copies")
        before = modes(tmp_path)

        assert answers(data)
        assert answers(data)
        assert modes(tmp_path) == before
        assert len(list((public / "copies").iterdir())) == 1

    def test_two_users_of_the_machine_have_one_each(self, data: Path, made: Path, public: Path) -> None:
        theirs = public / "theirs"
        copy(made, theirs)
        for path in [theirs, *theirs.rglob("*")]:
            os.chown(path, STRANGER, STRANGER)
        with running(data):
            assert as_user(STRANGER, lambda: answers(theirs))

    def test_another_user_cannot_connect(self, made: Path, public: Path) -> None:
        ours = copy(made, public / "data")
        ours.chmod(0o755)  # as a folder from before may be
        with running(ours) as cluster:
            reason = as_user(STRANGER, lambda: failure(cluster.url))

        assert "Permission denied" in reason

    def test_user_id_without_a_name_is_told_why_nothing_can_be_made(self, public: Path) -> None:
        theirs = public / "theirs"
        theirs.mkdir()
        os.chown(theirs, STRANGER, STRANGER)
        sentence = as_user(STRANGER, lambda: rejection(theirs / "data"))

        assert sentence.endswith(f"could not look up effective user ID {STRANGER}: user does not exist.")

    def test_data_of_a_user_stay_theirs(self, made: Path, public: Path) -> None:
        theirs = copy(made, public / "data")
        for path in [theirs, *theirs.rglob("*")]:
            os.chown(path, STRANGER, STRANGER)
        with running(theirs) as cluster:
            server = Path(f"/proc/{cluster.listener()}").stat().st_uid

        assert server == STRANGER

    def test_data_that_somebody_else_put_there_are_rejected(self, data: Path) -> None:
        os.chown(data / "postgres", STRANGER, STRANGER)

        assert f"belongs to the user with the id {STRANGER}" in rejection(data)

    def test_data_of_root_are_rejected(self, data: Path) -> None:
        os.chown(data / "postgres", 0, 0)

        assert "belongs to root, as whom PostgreSQL does not run" in rejection(data)

    def test_account_is_made_when_it_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(programs, "ACCOUNT", "todo-test-account")
        try:
            account = own_account()
            again = own_account()
        finally:
            subprocess.run(["userdel", "todo-test-account"], check=True, capture_output=True)

        assert account == again
        assert account.uid != 0

    def test_account_that_cannot_be_made_is_one_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(programs, "ACCOUNT", "not a name")
        with pytest.raises(LocalPostgresFailed, match=r"^PostgreSQL does not run as root, and [^\n]*not a name[^\n]*$"):
            own_account()


class TestPrograms:
    def test_ordinary_user_runs_them_as_oneself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.geteuid", lambda: STRANGER)

        assert own_account().uid == STRANGER
        assert own_account().popen_options == {}

    def test_those_that_may_not_be_run_are_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        installation = install(tmp_path / "venv", monkeypatch)
        (installation / "bin" / "postgres").chmod(0o644)
        with pytest.raises(LocalPostgresFailed, match="may not be run: permission denied"):
            find_programs(Account(os.geteuid(), os.getegid()))

    def test_those_that_do_not_run_say_why(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        installation = install(tmp_path / "venv", monkeypatch)
        (installation / "bin" / "postgres").unlink()
        (installation / "bin" / "postgres").write_text("#!/bin/sh\necho 'libfoo is missing' >&2\nexit 127\n")
        (installation / "bin" / "postgres").chmod(0o755)
        with pytest.raises(LocalPostgresFailed, match=r"does not run on this machine: libfoo is missing\.$"):
            find_programs(Account(os.geteuid(), os.getegid()))


def install(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install PostgreSQL's programs below another folder, and let them be found there first."""
    real = find_programs(Account(os.geteuid(), os.getegid())).parent
    installation = programs._copy(real, site)
    (site / programs.PACKAGE / "__init__.py").touch()
    monkeypatch.syspath_prepend(site)
    return installation


def modes(directory: Path) -> list[tuple[Path, int]]:
    """The mode of a directory, its parents, and the folders in it but for ``.data``."""
    inside = [path for path in directory.glob("*") if path.is_dir()]
    return [(path, stat.S_IMODE(path.stat().st_mode)) for path in [directory, *directory.parents, *inside]]


def failure(url: str) -> str:
    """Why one cannot connect."""
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(url)
    return str(caught.value)


def rejection(directory: Path) -> str:
    """The sentence with which a start ends."""
    with pytest.raises(LocalPostgresFailed) as caught, running(directory):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)
