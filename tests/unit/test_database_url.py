"""One reading of a PostgreSQL URL: libpq's; and no byte of a password where it cannot be read."""

import re
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from tests.postgres.tls import speaking_tls, write_certificates
from todo_api import migrations
from todo_api.migrations import MigrationFailed
from todo_api.settings import database_url
from todo_api.settings.database_url import MISREAD, NOT_A_URL, is_pooled, normalise


def fault(text: str) -> str:
    """What is said of a URL that cannot be used."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        normalise(text)
    return str(caught.value)


class TestReading:
    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://u:p@db.example.com/todo?sslmode=require&channel_binding=require",
            "postgres://u:p%40ss@a,b:5433/todo?target_session_attrs=read-write",  # pragma: allowlist secret
            "postgresql://u@/todo?host=/run/postgresql",
            "postgresql://u:p#[]?&=;ü\uff5c@[::1]:5432/todo",
            "host=db.example.com user=u password='p@ss word' dbname=todo",  # pragma: allowlist secret
        ],
    )
    def test_what_libpq_reads_is_left_as_it_is(self, url: str) -> None:
        assert normalise(f" \t{url}\n") == url

    @pytest.mark.parametrize(
        "text", ["localhost", "", "mysql://u:p@h/d", "postgresql+asyncpg://u:p@h/d", "host=h password=a b", "host"]
    )
    def test_what_is_no_url_is_told_what_one_is(self, text: str) -> None:
        assert fault(text) == NOT_A_URL

    @pytest.mark.parametrize("password", ["a@b", "a/b", "a@b/c", "a%zz", "a/1@b", "@", "/", "%", "1/2"])
    def test_password_that_libpq_would_misread_is_told_what_to_encode(self, password: str) -> None:
        assert fault(f"postgresql://u:{password}@localhost/todo") == MISREAD

    def test_port_that_is_no_number_may_be_a_password(self) -> None:
        assert fault("postgresql://todo:hunter2") == MISREAD

    def test_percent_encoded_bytes_that_are_no_text_are_told_of_without_them(self) -> None:
        assert fault("postgresql://u:p%ff@localhost/todo") == MISREAD  # pragma: allowlist secret

    @pytest.mark.parametrize(
        "text",
        [
            "postgresql://u:p\udce9@h/d",  # pragma: allowlist secret
            "postgresql://u:p\x00@h/d",  # pragma: allowlist secret
            "postgresql://u:a\nb@h/d",  # pragma: allowlist secret
        ],
    )
    def test_what_cannot_be_printed_is_to_be_encoded(self, text: str) -> None:
        assert fault(text) == "holds a character that cannot be printed: percent-encode it"

    @pytest.mark.parametrize(
        ("query", "name", "advice"),
        [
            ("schema=public", "schema", "take it out"),
            ("sslmode=require&pgbouncer=true", "pgbouncer", "set DATABASE_POOLER=true instead"),
            ("sslmod=require", "sslmod", "take it out"),
        ],
    )
    def test_unknown_parameter_is_named(self, query: str, name: str, advice: str) -> None:
        said = fault(f"postgresql://u:hunter2?schema=x@localhost/todo?{query}")

        assert said == f"has the parameter {name}, which PostgreSQL's client library does not know: {advice}"

    @pytest.mark.parametrize("query", ["password=a&b=c", "schema", "a%b=c"])
    def test_what_may_be_a_part_of_a_password_is_not_named(self, query: str) -> None:
        assert fault(f"postgresql://u@localhost/todo?{query}").startswith(
            ("cannot be read", "has the parameter schema")
        )
        assert "b=" not in fault(f"postgresql://u@localhost/todo?{query}")

    @pytest.mark.parametrize(
        ("url", "pooled"),
        [
            ("postgresql://u@ep-x-pooler.neon.tech/d", True),
            ("postgresql://u@/d?host=ep-x-pooler.neon.tech", True),
            ("host=ep-x-pooler.neon.tech", True),
            ("postgresql://u:-pooler@ep-x.neon.tech/d", False),  # pragma: allowlist secret
            ("postgresql://u@/d", False),
        ],
    )
    def test_pooler_is_known_by_its_host(self, url: str, pooled: bool) -> None:
        assert is_pooled(url) is pooled


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=24))
def test_password_is_read_as_it_is_or_the_url_is_told_of_in_words_that_are_the_same_for_all(password: str) -> None:
    url = f"postgresql://someone:{password}@127.0.0.1:1/todo"
    said = "nothing"
    try:
        read = conninfo_to_dict(normalise(url))
    except ValueError as error:
        said = str(error)
    if said != "nothing":
        assert said in {MISREAD, "holds a character that cannot be printed: percent-encode it"}
        return
    assert read.pop("password") in {password, conninfo_to_dict(f"postgresql://x:{password}@y").get("password")}
    assert read == {"user": "someone", "host": "127.0.0.1", "port": "1", "dbname": "todo"}


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=24))
def test_encoded_password_is_always_read(password: str) -> None:
    url = normalise(f"postgresql://u:{quote(password, safe='')}@localhost/todo")

    assert conninfo_to_dict(url)["password"] == password


class TestCertificates:
    @pytest.fixture(autouse=True)
    def _without_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)

    @pytest.fixture
    def stored(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A certificate and key for 127.0.0.1, by a CA that this system's store holds."""
        write_certificates(tmp_path)
        monkeypatch.setattr(database_url, "CERTIFICATE_STORES", ("/nowhere.pem", str(tmp_path / "ca.pem")))
        return tmp_path

    def test_server_with_a_certificate_of_this_systems_store_is_trusted(self, stored: Path, postgres: str) -> None:
        with speaking_tls(postgres, stored) as port:
            url = f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=verify-full&sslrootcert=system"
            with psycopg.connect(normalise(url)) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
                assert connection.pgconn.ssl_in_use

    def test_server_with_a_certificate_of_somebody_else_is_not(
        self, stored: Path, postgres: str, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        other = tmp_path_factory.mktemp("other")
        write_certificates(other)
        with speaking_tls(postgres, other) as port:
            url = normalise(f"postgresql://postgres@127.0.0.1:{port}/postgres?sslrootcert=system")
            with pytest.raises(MigrationFailed, match="SSL error: certificate verify failed") as caught:
                migrations.upgrade(url)

        assert "\n" not in str(caught.value)

    def test_variables_of_openssl_are_left_to_it(self, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", "/etc/ssl/own.pem")
        url = "postgresql://u@h/d?sslmode=verify-full&sslrootcert=system"

        assert normalise(url) == url

    def test_weaker_mode_is_rejected_by_name(self, stored: Path) -> None:
        assert fault("postgresql://u@h/d?sslmode=require&sslrootcert=system").endswith("sslmode must be verify-full")

    def test_system_without_certificates_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database_url, "CERTIFICATE_STORES", ())

        assert re.search("no certificates: name a file", fault("postgresql://u@h/d?sslrootcert=system"))
