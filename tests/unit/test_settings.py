"""The environment in, one frozen object out.

What is accepted, what is rejected, what is never shown.
"""

import os
import secrets
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from todo_api.settings import Settings, explain, load_settings

STRONG = "Zk3v9QmT7xLr2WbN8yHd5cJf1sGp4aEu"  # pragma: allowlist secret
PASSWORD = "npg_8fKq2LmWx"  # pragma: allowlist secret
HOST = "ep-cool-name-123456.eu-central-1.aws.neon.tech"
POOLER = "ep-cool-name-123456-pooler.eu-central-1.aws.neon.tech"
NEON = f"postgresql://owner:{PASSWORD}@{HOST}/neondb?sslmode=require&channel_binding=require"
NEON_POOLER = NEON.replace(HOST, POOLER)
PUBLISHED_DEFAULT = "better-auth-secret-12345678901234567890"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to run in, without any setting in the environment."""
    names = {name.upper() for name in Settings.model_fields}
    for name in [name for name in os.environ if name.upper() in names]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


def rejected(**values: Any) -> ValidationError:
    """The error that these values cause."""
    with pytest.raises(ValidationError) as caught:
        settings(**values)
    return caught.value


def secret_of(**given: Any) -> SecretStr:
    """The secret that tokens are signed with."""
    secret = settings(**given).signing_secret()
    assert secret is not None
    return secret


class TestSecret:
    @pytest.mark.parametrize(
        "secret", [STRONG, STRONG * 20, "pässwörter sind länger als " + "zwölf", "0123456789abcdef" * 2]
    )
    def test_long_and_varied_secret_is_accepted(self, secret: str) -> None:
        assert secret_of(better_auth_secret=secret).get_secret_value() == secret

    @pytest.mark.parametrize("secret", ["x", STRONG[:31], "ü" * 15 + "a"])
    def test_secret_shorter_than_32_bytes_is_rejected(self, secret: str) -> None:
        sentences = explain(rejected(better_auth_secret=secret))

        assert sentences == [
            "BETTER_AUTH_SECRET must be at least 32 bytes; `openssl rand -base64 32` makes one.",
        ]

    def test_length_is_measured_in_utf8_bytes(self) -> None:
        secret = "äöüßéèçñ" * 2

        assert secret_of(better_auth_secret=secret).get_secret_value() == secret

    @pytest.mark.parametrize(
        "secret",
        [
            PUBLISHED_DEFAULT,
            PUBLISHED_DEFAULT.upper(),
            "change-me-change-me-change-me-change-me",
            "changeme_please_1234567890_abcdefgh",
            "your-secret-key-goes-here-0123456789",
            "your_secret_key_goes_here_0123456789",
            "Your-Super-Secret-Key-That-Is-Long-Enough",
            "supersecretsupersecretsupersecretsuper",
            "my-secret-my-secret-my-secret-my-secret",
            "replace-with-a-random-value-of-32-bytes",
            "0123456789012345678901234567890123456789",
            "abcdefghijklmnopqrstuvwxyz0123456789",
        ],
    )
    def test_well_known_secret_is_rejected(self, secret: str) -> None:
        (sentence,) = explain(rejected(better_auth_secret=secret))

        assert sentence.startswith("BETTER_AUTH_SECRET is a well-known or guessable value")

    @pytest.mark.parametrize("secret", ["a" * 64, "ab" * 32, "abcdefg" * 8])
    def test_secret_of_few_distinct_characters_is_rejected(self, secret: str) -> None:
        (sentence,) = explain(rejected(better_auth_secret=secret))

        assert sentence.startswith("BETTER_AUTH_SECRET is a well-known or guessable value")

    def test_database_url_without_secret_names_both_variables_in_one_sentence(self) -> None:
        assert explain(rejected(database_url=NEON)) == [
            "DATABASE_URL is set, so BETTER_AUTH_URL (or BETTER_AUTH_JWKS_URL) or BETTER_AUTH_SECRET must be set too.",
        ]

    def test_secret_that_is_no_text_is_rejected_without_showing_a_character(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(os.environ, "BETTER_AUTH_SECRET", STRONG + "\udcff")
        with pytest.raises(ValidationError) as caught:
            Settings(_env_file=None)

        assert "udcff" not in "".join(explain(caught.value))


class TestKeptSecret:
    def test_it_is_made_once_and_stored(self, directory: Path) -> None:
        first, second = secret_of(), secret_of()

        assert first.get_secret_value() == second.get_secret_value()
        assert (directory / ".data" / "secret").read_text() == first.get_secret_value()

    def test_only_its_owner_may_read_it(self, directory: Path) -> None:
        before = os.umask(0)
        try:
            secret_of()
        finally:
            os.umask(before)

        assert stat.S_IMODE((directory / ".data" / "secret").stat().st_mode) == 0o600

    def test_it_satisfies_the_rules_for_a_secret(self) -> None:
        kept = secret_of()

        assert settings(better_auth_secret=kept).better_auth_secret == kept

    def test_two_directories_have_two_secrets(self, directory: Path) -> None:
        one, other = (secret_of(data_dir=directory / name) for name in ("one", "other"))

        assert one.get_secret_value() != other.get_secret_value()

    def test_secret_in_the_environment_takes_precedence_and_nothing_is_stored(self, directory: Path) -> None:
        assert secret_of(better_auth_secret=STRONG) == SecretStr(STRONG)
        assert list(directory.iterdir()) == []

    def test_8_threads_agree_on_one(self, directory: Path) -> None:
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _: secret_of().get_secret_value(), range(64)))

        assert len(set(made)) == 1
        assert [path.name for path in (directory / ".data").iterdir()] == ["secret"]

    def test_4_processes_agree_on_one(self, directory: Path) -> None:
        code = "from todo_api.settings import Settings; print(Settings().signing_secret().get_secret_value())"
        started = [
            subprocess.Popen([sys.executable, "-c", code], cwd=directory, stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        made = [process.communicate(timeout=60)[0].strip() for process in started]

        assert set(made) == {(directory / ".data" / "secret").read_text()}
        assert [path.name for path in (directory / ".data").iterdir()] == ["secret"]


class TestDatabaseUrl:
    @pytest.mark.parametrize("url", [NEON, NEON_POOLER, NEON.replace("postgresql://", "postgres://")])
    def test_url_as_neon_prints_it_is_accepted_unchanged(self, url: str) -> None:
        accepted = settings(database_url=url, better_auth_secret=STRONG)

        assert accepted.database_url == SecretStr(url)
        assert not accepted.zero_configuration

    @pytest.mark.parametrize("variable", ["database_url", "migration_database_url"])
    @pytest.mark.parametrize(
        "url",
        [
            "localhost",
            "mysql://root@localhost/todo",
            "sqlite:///todo.db",
            "postgresql+asyncpg://u:p@localhost/todo",
            "https://example.com",
        ],
    )
    def test_url_of_something_else_is_rejected(self, variable: str, url: str) -> None:
        (sentence,) = explain(rejected(better_auth_secret=STRONG, **{variable: url}))

        assert sentence.startswith(f"{variable.upper()} must be a URL that begins with postgresql://")

    @pytest.mark.parametrize(
        "url",
        [
            f"postgresql://u:{PASSWORD}@[::1/todo",
            f"postgresql://u:{PASSWORD}@localhost/todo?no_such_option=1",
            f"postgresql://u:{PASSWORD}%zz@localhost/todo",  # pragma: allowlist secret
        ],
    )
    def test_url_that_libpq_cannot_read_is_rejected(self, url: str) -> None:
        (sentence,) = explain(rejected(better_auth_secret=STRONG, database_url=url))

        assert sentence.startswith(("DATABASE_URL cannot be read: ", "DATABASE_URL has the parameter no_such_option,"))
        assert PASSWORD not in sentence

    @pytest.mark.parametrize(("url", "pooled"), [(NEON, False), (NEON_POOLER, True)])
    def test_pooler_is_recognised_by_its_host_name(self, url: str, pooled: bool) -> None:
        assert settings(database_url=url, better_auth_secret=STRONG).pooled is pooled

    def test_pooler_is_not_recognised_by_a_password_or_database(self) -> None:
        url = "postgresql://u:x-pooler@localhost/y-pooler?application_name=z-pooler"  # pragma: allowlist secret

        assert not settings(database_url=url, better_auth_secret=STRONG).pooled

    @pytest.mark.parametrize("url", [NEON, NEON_POOLER])
    @pytest.mark.parametrize("pooled", [True, False])
    def test_database_pooler_overrides_the_host_name(self, url: str, pooled: bool) -> None:
        given = settings(database_url=url, better_auth_secret=STRONG, database_pooler=str(pooled).lower())

        assert given.pooled is pooled

    def test_embedded_database_has_no_pooler(self) -> None:
        assert not settings().pooled
        assert settings().zero_configuration


class TestOrigins:
    def test_exact_origins_are_split_at_commas(self) -> None:
        given = settings(cors_origins=" https://app.example.com, http://localhost:3000 ,")

        assert given.allowed_origins == ("https://app.example.com", "http://localhost:3000")

    @pytest.mark.parametrize(
        ("origin", "sent"),
        [
            ("HTTPS://App.Example.COM", "https://app.example.com"),
            ("https://app.example.com:443", "https://app.example.com"),
            ("http://localhost:80", "http://localhost"),
            ("http://localhost:443", "http://localhost:443"),
            ("https://app.example.com:0443", "https://app.example.com"),
            ("https://[::1]:3000", "https://[::1]:3000"),
        ],
    )
    def test_origin_is_understood_as_browsers_send_it(self, origin: str, sent: str) -> None:
        assert settings(cors_origins=origin).allowed_origins == (sent,)

    @pytest.mark.parametrize(
        "origin",
        [
            "*",
            "https://app.example.com,*",
            "https://*.example.com",
            "app.example.com",
            "localhost:3000",
            "null",
            "ftp://example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://app.example.com?x=1",
            "https://app.example.com#x",
            "https://user@app.example.com",
            "http://[::1",
        ],
    )
    def test_what_is_no_exact_origin_is_rejected(self, origin: str) -> None:
        (sentence,) = explain(rejected(cors_origins=origin))

        assert sentence.startswith("CORS_ORIGINS ")

    def test_none_is_allowed_by_default_with_a_database_of_ones_own(self) -> None:
        assert settings(database_url=NEON, better_auth_secret=STRONG).allowed_origins == ()

    def test_local_front_end_is_allowed_in_the_zero_configuration_mode(self) -> None:
        assert settings().allowed_origins == ("http://localhost:3000",)

    def test_named_origins_replace_the_local_front_end(self) -> None:
        assert settings(cors_origins="https://a.example").allowed_origins == ("https://a.example",)


class TestNumbersAndWords:
    @pytest.mark.parametrize("level", ["debug", "Info", "WARNING", "error"])
    def test_log_level_is_taken_in_any_case(self, level: str) -> None:
        assert settings(log_level=level).log_level == level.upper()

    @pytest.mark.parametrize("level", ["verbose", "TRACE", "20", " INFO"])
    def test_unknown_log_level_is_rejected(self, level: str) -> None:
        assert explain(rejected(log_level=level)) == ["LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR."]

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("PORT", "-1"),
            ("PORT", "65536"),
            ("PORT", "http"),
            ("WEB_CONCURRENCY", "0"),
            ("WEB_CONCURRENCY", "two"),
            ("DATABASE_CONNECTIONS", "0"),
            ("DATABASE_POOLER", "perhaps"),
            ("DATABASE_CONNECT_TIMEOUT_SECONDS", "0"),
            ("DATABASE_WAIT_SECONDS", "0"),
            ("DATABASE_WAIT_SECONDS", "nan"),
            ("DATABASE_WAIT_SECONDS", "inf"),
            ("STATEMENT_TIMEOUT_MILLISECONDS", "0"),
            ("SHUTDOWN_GRACE_SECONDS", "0"),
        ],
    )
    def test_unusable_value_is_rejected_in_one_sentence_that_names_the_variable(
        self, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable, value)
        with pytest.raises(ValidationError) as caught:
            Settings(_env_file=None)
        (sentence,) = explain(caught.value)

        assert sentence.startswith(f"{variable} ")
        assert sentence.endswith(".")

    def test_lists_are_split_at_commas(self) -> None:
        given = settings(better_auth_issuer="https://a.example, https://b.example", better_auth_audience="api")

        assert given.better_auth_issuer == ("https://a.example", "https://b.example")
        assert given.better_auth_audience == ("api",)

    def test_several_errors_are_several_sentences(self) -> None:
        sentences = explain(rejected(better_auth_secret="x", log_level="x", port=-1))

        assert [sentence.split()[0] for sentence in sentences] == ["BETTER_AUTH_SECRET", "LOG_LEVEL", "PORT"]


class TestEnvironment:
    def test_every_setting_has_an_environment_variable_of_its_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", NEON)
        monkeypatch.setenv("BETTER_AUTH_SECRET", STRONG)
        monkeypatch.setenv("PORT", "9000")
        monkeypatch.setenv("CORS_ORIGINS", "https://a.example,https://b.example")
        given = load_settings()

        assert given.database_url == SecretStr(NEON)
        assert given.better_auth_secret == SecretStr(STRONG)
        assert given.port == 9000
        assert given.allowed_origins == ("https://a.example", "https://b.example")

    @pytest.mark.parametrize("name", Settings.model_fields)
    def test_empty_value_counts_as_unset(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(name.upper(), "")

        assert load_settings() == settings()

    def test_env_file_is_read_and_the_environment_wins(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (directory / ".env").write_text(f"BETTER_AUTH_SECRET={STRONG}\nPORT=9001\nHOST=0.0.0.0\nUNKNOWN=1\n")
        monkeypatch.setenv("PORT", "9002")
        given = load_settings()

        assert (given.better_auth_secret, given.port, given.host) == (SecretStr(STRONG), 9002, "0.0.0.0")

    def test_settings_cannot_be_changed(self) -> None:
        given = settings()
        with pytest.raises(ValidationError):
            given.port = 1  # type: ignore[misc]

        assert given.port == 8000

    def test_process_ends_with_one_sentence_for_each_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PORT", "no number")
        monkeypatch.setenv("DATABASE_URL", "localhost")
        with pytest.raises(SystemExit) as caught:
            load_settings()

        assert [line.split()[0] for line in str(caught.value).splitlines()] == ["DATABASE_URL", "PORT"]


class TestSecrecy:
    def test_accepted_settings_show_neither_secret_nor_password(self) -> None:
        given = settings(database_url=NEON, migration_database_url=NEON, better_auth_secret=STRONG)
        shown = [
            repr(given),
            str(given),
            f"{given}",
            given.model_dump_json(),
            str(given.model_dump()),
            f"{vars(given)}",
        ]

        assert [text for text in shown if STRONG in text or PASSWORD in text] == []

    @pytest.mark.parametrize(
        "values",
        [
            {"database_url": NEON},
            {"database_url": NEON, "better_auth_secret": STRONG[:31]},
            {"database_url": NEON, "better_auth_secret": f"change-me-{STRONG}"},
            {"database_url": NEON, "better_auth_secret": STRONG, "log_level": "x"},
            {"database_url": NEON.replace("postgresql", "mysql"), "better_auth_secret": STRONG},
            {"database_url": f"{NEON}&no_such_option=1", "better_auth_secret": STRONG},
            {"database_url": f"postgresql://u:{PASSWORD}@[::1/todo", "better_auth_secret": STRONG},
            {"migration_database_url": f"u:{PASSWORD}@localhost", "better_auth_secret": STRONG},
        ],
    )
    def test_rejected_settings_show_neither_secret_nor_password(self, values: dict[str, str]) -> None:
        error = rejected(**values)
        shown = [str(error), repr(error), *explain(error)]

        assert [text for text in shown if STRONG[:31] in text or PASSWORD in text] == []

    def test_process_that_ends_shows_neither_secret_nor_password(self, directory: Path) -> None:
        ended = subprocess.run(
            [sys.executable, "-c", "from todo_api.settings import load_settings; load_settings()"],
            cwd=directory,
            env={**os.environ, "DATABASE_URL": f"{NEON}&no_such_option=1", "BETTER_AUTH_SECRET": STRONG[:31]},
            capture_output=True,
            text=True,
            check=False,
        )

        assert ended.returncode == 1
        assert ended.stderr.splitlines() == [
            "DATABASE_URL has the parameter no_such_option, which PostgreSQL's client library does not know: take it out.",
            "BETTER_AUTH_SECRET must be at least 32 bytes; `openssl rand -base64 32` makes one.",
        ]


URL = "postgresql://localhost/todo"


class TestJwks:
    @pytest.mark.parametrize(
        ("url", "jwks", "origin"),
        [
            ("https://app.example.com", "https://app.example.com/api/auth/jwks", "https://app.example.com"),
            ("https://app.example.com/", "https://app.example.com/api/auth/jwks", "https://app.example.com"),
            ("https://App.Example.com:443", "https://App.Example.com:443/api/auth/jwks", "https://app.example.com"),
            ("http://localhost:3000", "http://localhost:3000/api/auth/jwks", "http://localhost:3000"),
            ("http://localhost:80", "http://localhost:80/api/auth/jwks", "http://localhost"),
            ("http://[::1]:3000", "http://[::1]:3000/api/auth/jwks", "http://[::1]:3000"),
            ("https://a.example/api/auth", "https://a.example/api/auth/jwks", "https://a.example"),
            ("https://a.example/auth/", "https://a.example/auth/jwks", "https://a.example"),
        ],
    )
    def test_url_of_better_auth_says_all_that_is_needed(self, url: str, jwks: str, origin: str) -> None:
        chosen = settings(database_url=URL, better_auth_url=url)

        assert (chosen.jwks_url, chosen.issuers, chosen.audiences) == (jwks, (origin,), (origin,))
        assert chosen.signing_secret() is None

    def test_each_part_can_be_set_by_itself(self) -> None:
        chosen = settings(
            better_auth_url="https://a.example",
            better_auth_jwks_url="http://auth:3000/keys",
            better_auth_issuer="https://b.example, https://c.example",
            better_auth_audience="api",
        )

        assert chosen.jwks_url == "http://auth:3000/keys"
        assert chosen.issuers == ("https://b.example", "https://c.example")
        assert chosen.audiences == ("api",)

    def test_jwks_alone_needs_the_names_that_tokens_must_bear(self) -> None:
        assert explain(rejected(better_auth_jwks_url="https://a.example/jwks")) == [
            (
                "BETTER_AUTH_JWKS_URL is set, so BETTER_AUTH_URL, or BETTER_AUTH_ISSUER and BETTER_AUTH_AUDIENCE, "
                "must be set too."
            )
        ]

    @pytest.mark.parametrize(
        "url",
        [
            "http://localhost:3000",
            "http://127.0.0.1",
            "http://[::1]",
            "http://10.0.0.7",
            "http://[::ffff:10.0.0.7]",
            "http://auth",
            "http://3scale",
            "http://AUTH_1",
            "http://a.internal",
            "http://a.b.local",
        ],
    )
    def test_plain_http_is_allowed_where_nobody_else_listens(self, url: str) -> None:
        assert settings(better_auth_url=url).jwks_url == f"{url}/api/auth/jwks"

    @pytest.mark.parametrize(
        "url",
        [
            "http://app.example.com",
            "http://8.8.8.8",
            "http://localhost.example.com",
            "http://134744072",
            "http://2130706433",
            "http://0x08080808",
            "http://0X8080808",
            "http://0x",
            "http://01002004010",
            "http://0x7f.1",
            "http://127.1",
            "http://010.8.8.8",
            "http://8。8。8。8",
            "http://\uff11\uff13\uff14\uff17\uff14\uff14\uff10\uff17\uff12",
            "http://%31%33%34744072",
            "http://[::ffff:8.8.8.8]",
        ],
    )
    def test_plain_http_elsewhere_must_be_allowed(self, url: str) -> None:
        assert explain(rejected(better_auth_url=url)) == [
            "The JWKS's address must begin with https://; BETTER_AUTH_ALLOW_HTTP=true allows plain http."
        ]
        assert settings(better_auth_url=url, better_auth_allow_http=True).jwks_url == f"{url}/api/auth/jwks"

    @pytest.mark.parametrize(
        "url", ["app.example.com", "ftp://a.example", "https://", "https://u:p@a.example", "/jwks"]
    )
    def test_what_is_no_address_is_rejected(self, url: str) -> None:
        for name in ("better_auth_url", "better_auth_jwks_url"):
            sentences = explain(rejected(**{name: url}))

            assert sentences == [f"{name.upper()} must be an address such as https://app.example.com."]


def test_secret_that_another_process_was_faster_to_make_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(_: int) -> str:
        (tmp_path / "secret").touch(mode=0o600)
        (tmp_path / "secret").write_text("of the other process, " * 3)
        return "of this process, which is too late"

    monkeypatch.setattr(secrets, "token_urlsafe", meanwhile)
    kept = Settings(_env_file=None, data_dir=tmp_path).signing_secret()

    assert kept is not None
    assert kept.get_secret_value().startswith("of the other process")
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def planted(directory: Path, *, text: str = STRONG, mode: int = 0o600, uid: int = -1) -> str:
    """What is said of a secret that is there already."""
    path = directory / "secret"
    path.write_text(f"{text}\n")
    path.chmod(mode)
    os.chown(path, uid, -1)
    with pytest.raises(SystemExit) as ended:
        Settings(_env_file=None, data_dir=directory).signing_secret()
    words = str(ended.value.code)
    assert text not in words
    return words


class TestSampleSecretIsRejected:
    def test_that_is_none(self, tmp_path: Path) -> None:
        assert planted(tmp_path, text="cut short").startswith(f"{tmp_path}/secret does not hold a secret")

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
    def test_that_others_may_read_or_write(self, tmp_path: Path, mode: int) -> None:
        assert planted(tmp_path, mode=mode).startswith(f"{tmp_path}/secret may be read by others")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_that_somebody_else_has_put_there(self, tmp_path: Path) -> None:
        assert planted(tmp_path, uid=54321).startswith(f"{tmp_path}/secret belongs to another user")

    def test_that_is_a_link_to_somewhere_else(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").write_text(STRONG)
        (tmp_path / "secret").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(SystemExit, match="cannot be used"):
            Settings(_env_file=None, data_dir=tmp_path).signing_secret()

    def test_that_is_a_named_pipe_which_nobody_writes_to(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "secret", 0o600)
        with pytest.raises(SystemExit, match="does not hold a secret"):
            Settings(_env_file=None, data_dir=tmp_path).signing_secret()


class TestEnvFile:
    @pytest.mark.parametrize("host", ["é.example", "e.example"])
    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
    def test_in_another_encoding_is_one_sentence(self, directory: Path, encoding: str, host: str) -> None:
        (directory / ".env").write_bytes(f"PORT=8001\nCORS_ORIGINS=http://{host}\n".encode(encoding))
        with pytest.raises(SystemExit, match=r"^\.env is not UTF-8 text; save it with that encoding\.$"):
            load_settings()

    def test_in_latin_1_is_one_sentence(self, directory: Path) -> None:
        (directory / ".env").write_bytes("CORS_ORIGINS=http://é.example\n".encode("latin-1"))
        with pytest.raises(SystemExit, match=r"^\.env is not UTF-8 text; save it with that encoding\.$"):
            load_settings()

    def test_with_a_byte_order_mark_is_read(self, directory: Path) -> None:
        (directory / ".env").write_bytes("PORT=8001\n".encode("utf-8-sig"))

        assert load_settings().port == 8001

    def test_that_cannot_be_read_is_one_sentence(self, directory: Path) -> None:
        (directory / ".env").mkdir()
        with pytest.raises(SystemExit, match=r"^\.env cannot be read: Is a directory\.$"):
            load_settings()


def test_data_directory_may_lie_in_the_users_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")

    assert Settings(_env_file=None, data_dir="~/todo").data_dir == Path("/home/ada/todo")
    assert Settings(_env_file=None, data_dir="~no-such-user/todo").data_dir == Path("~no-such-user/todo")


@pytest.mark.parametrize("url", ["http://localhost:abc", "http://localhost:99999", "http://[::1", "http://localhost:0"])
def test_address_that_is_none_is_named_without_a_traceback(url: str) -> None:
    (sentence,) = explain(rejected(better_auth_url=url))

    assert sentence == "BETTER_AUTH_URL must be an address such as https://app.example.com."
