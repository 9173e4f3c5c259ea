"""``todo-api doctor`` says in plain words what is wrong, and shows neither token nor secret."""

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import psycopg
import pytest

from tests.forked import Forked
from tests.harness import COMMAND, SECRET, claims, environment, free_port, token
from tests.identity_server import IdentityServer, SigningKey
from tests.unit.test_jwks_https import Authority
from todo_api.cli import main

Doctor = Callable[..., tuple[int, list[str]]]

BOTH = "its signature does not fit: it was signed with another secret or key, or changed on the way"


@pytest.fixture
def doctor(
    worker_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Doctor:
    """Runs the command in this process, for speed; its exit status and its lines."""

    def run(given: str | None = None, **settings: str) -> tuple[int, list[str]]:
        variables = environment(**{"DATABASE_URL": worker_database, "BETTER_AUTH_SECRET": SECRET, **settings})
        with TemporaryFile("w+") as stdin, monkeypatch.context() as patched:
            stdin.write(given or "")
            stdin.seek(0)
            for name in os.environ.keys() - variables.keys():
                patched.delenv(name)
            for name, value in variables.items():
                patched.setenv(name, value)
            patched.chdir(tmp_path)
            patched.setattr(sys, "stdin", stdin)
            try:
                status = main(["doctor"])
            finally:
                logging.disable(logging.NOTSET)
        printed = capsys.readouterr()
        assert printed.err == ""
        assert SECRET not in printed.out
        assert not given or given.strip() not in printed.out
        return status, printed.out.splitlines()

    return run


@pytest.fixture
def identity() -> Iterator[IdentityServer]:
    with IdentityServer(SigningKey("Ed25519", "first"), SigningKey("RSA", "second")).listening() as server:
        yield server


def test_good_configuration_is_all_ok(doctor: Doctor) -> None:
    status, lines = doctor()

    assert status == 0
    assert all(line.startswith("ok     ") for line in lines)
    assert "ok     The database answers; its schema is at this version, and protected." in lines
    assert "ok     BETTER_AUTH_SECRET is set: HS256 tokens are accepted." in lines


class TestEmbeddedDatabase:
    def test_it_is_examined_as_well(self, doctor: Doctor, tmp_path: Path) -> None:
        embedded = {"DATABASE_URL": "", "BETTER_AUTH_SECRET": "", "DATA_DIR": str(tmp_path / "data")}
        printed = tmp_path / "printed"
        for words in (["migrate"], ["token", "ada"]):
            with printed.open("wb") as file:
                command: Sequence[str | Path] = [COMMAND, *words]
                process = Forked(command, cwd=tmp_path, env=environment(**embedded), stdout=file, stderr=file)
            assert process.wait() == 0
        status, lines = doctor(printed.read_text(), **embedded)

        assert status == 0, lines
        assert "ok     The database answers; its schema is at this version, and protected." in lines
        assert not (tmp_path / "data/postgres/postmaster.pid").exists()

    @pytest.mark.parametrize("below", ["", "/data"])
    def test_place_where_none_can_be_made_is_named(self, doctor: Doctor, tmp_path: Path, below: str) -> None:
        (tmp_path / "file").touch()
        status, lines = doctor(DATABASE_URL="", BETTER_AUTH_SECRET="", DATA_DIR=f"{tmp_path}/file{below}")

        assert status == 1
        reason = f"{tmp_path}/file is no folder to write into."
        assert f"WRONG  DATA_DIR '{tmp_path}/file{below}' cannot be used: {reason}" in lines

    def test_nothing_is_made_where_there_is_none(self, doctor: Doctor, tmp_path: Path) -> None:
        status, lines = doctor(DATABASE_URL="", BETTER_AUTH_SECRET="", DATA_DIR=str(tmp_path / "data"))

        assert status == 0, lines
        assert f"ok     There is no database under {tmp_path}/data/ yet: `todo-api serve` makes one." in lines
        assert list(tmp_path.iterdir()) == []


class TestNames:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [("CORS_ORIGIN", "CORS_ORIGINS"), ("BETTERAUTH_URL", "BETTER_AUTH_URL"), ("DATABASE_URI", "DATABASE_URL")],
    )
    def test_name_that_is_almost_ours_is_found(self, doctor: Doctor, name: str, meant: str) -> None:
        status, lines = doctor(**{name: "x"})

        assert status == 1
        assert f"WRONG  {name} is set, and nothing reads it: is {meant} meant?" in lines

    def test_that_of_the_env_file_counts_as_well(self, doctor: Doctor, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("CORS_ORIGIN=http://localhost:3000\nPGHOST=x\ndatabase_connections=2\n")
        _, lines = doctor()

        assert [line for line in lines if "nothing reads it" in line] == [
            "WRONG  CORS_ORIGIN is set, and nothing reads it: is CORS_ORIGINS meant?"
        ]

    def test_quotes_around_a_secret_are_found(self, doctor: Doctor) -> None:
        status, lines = doctor(BETTER_AUTH_SECRET=f'"{SECRET}"')

        assert status == 1
        assert "WRONG  BETTER_AUTH_SECRET begins and ends with quotes, which are part of it: are they meant?" in lines


class TestDatabase:
    def test_unreachable_one_is_named_with_the_reason(self, doctor: Doctor) -> None:
        status, lines = doctor(DATABASE_URL=f"postgresql://u:very-private@127.0.0.1:{free_port()}/x")

        assert status == 1
        (wrong,) = [line for line in lines if line.startswith("WRONG")]
        assert wrong.startswith("WRONG  The database cannot be reached: connection")
        assert "very-private" not in wrong

    def test_unmigrated_one_is_told_what_to_run(self, doctor: Doctor, postgres: str) -> None:
        assert doctor(DATABASE_URL=postgres) == (1, [
            "ok     DATABASE_URL is taken for a direct host; behind PgBouncer set DATABASE_POOLER=true.",
            "ok     Browsers may call from nowhere: CORS_ORIGINS is not set.",
            "WRONG  The database is not migrated: run `todo-api migrate`.",
            "ok     BETTER_AUTH_SECRET is set: HS256 tokens are accepted.",
            "ok     BETTER_AUTH_URL is not set: tokens signed with a key of a JWKS are rejected.",
        ])  # fmt: skip

    @pytest.mark.parametrize(
        ("damage", "wrong"),
        [
            (
                "ALTER TABLE tasks DISABLE ROW LEVEL SECURITY",
                "Row-level security is not in force: run `todo-api migrate`, and let nothing else own the tables.",
            ),
            (
                "UPDATE todo_api_version SET version_num = '0001'",
                "The database's schema is of another version: run `todo-api migrate`.",
            ),
        ],
        ids=["protection", "version"],
    )
    def test_damaged_schema_is_named(self, doctor: Doctor, database: str, damage: str, wrong: str) -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(damage)
        status, lines = doctor(DATABASE_URL=database)

        assert status == 1
        assert [line for line in lines if line.startswith("WRONG")] == [f"WRONG  {wrong}"]

    def test_pooler_without_a_direct_host_is_warned_of(self, doctor: Doctor, worker_database: str) -> None:
        assert doctor(DATABASE_POOLER="true")[0] == 1
        status, lines = doctor(DATABASE_POOLER="true", MIGRATION_DATABASE_URL=worker_database)

        assert status == 0
        assert lines[0] == "ok     DATABASE_URL is taken for a pooler: nothing is prepared on the server."


class TestJwks:
    def test_its_keys_are_listed(self, doctor: Doctor, identity: IdentityServer) -> None:
        status, lines = doctor(BETTER_AUTH_URL=identity.origin)

        assert status == 0
        assert lines[-1] == (
            f"ok     The JWKS at {identity.origin}/api/auth/jwks holds first: EdDSA; "
            "second: PS256, PS384, PS512, RS256, RS384, RS512."
        )

    def test_unknown_authority_comes_with_the_variable_that_helps(self, doctor: Doctor, tmp_path: Path) -> None:
        server = IdentityServer(SigningKey("Ed25519", "first"))
        server.tls = Authority(tmp_path).server("127.0.0.1")
        with server.listening():
            status, lines = doctor(BETTER_AUTH_URL=server.origin)

        assert status == 1
        assert lines[-1].endswith("; SSL_CERT_FILE may name a file of authorities to trust.")

    def test_empty_one_is_named(self, doctor: Doctor, identity: IdentityServer) -> None:
        identity.keys = []
        status, lines = doctor(BETTER_AUTH_URL=identity.origin)

        assert status == 1
        assert lines[-1] == f"WRONG  The JWKS at {identity.origin}/api/auth/jwks holds no key that can be used."

    def test_unreachable_one_is_named_with_the_reason(self, doctor: Doctor) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        status, lines = doctor(BETTER_AUTH_URL=url)

        assert status == 1
        assert lines[-1] == f"WRONG  The JWKS at {url}/api/auth/jwks cannot be fetched: All connection attempts failed."


SEND = "a front end sends what `authClient.token()` answers"
SESSION_TOKEN = f"this is Better Auth's session token, not a JWT; {SEND}"


class TestToken:
    @pytest.mark.parametrize("form", ["{}", "{}\n", "Bearer {}\n"])
    def test_good_one_is_accepted_and_its_user_named(self, doctor: Doctor, form: str) -> None:
        status, lines = doctor(form.format(token("ada", exp=int(time.time()) + 900)))

        assert status == 0
        assert re.fullmatch(r"ok     The token is accepted, as user 'ada', for [1-9][0-9]* more minutes\.", lines[-1])

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            (lambda: token("ada", exp=int(time.time()) - 610), "it expired 10 minutes ago; front ends fetch a new one"),
            (lambda: token("ada", secret="x" * 40), BOTH),
            (lambda: "nonsense", f"it is no JWT; {SEND}"),
            (lambda: "a.b.c.d", f"it is no JWT; {SEND}"),
            (lambda: token("ada").rpartition(".")[0], f"it is no JWT of three parts; {SEND}"),
            (lambda: "vSmAcFdrAgRsQ5Vk1t3bYJ7pX0zLwNeh", SESSION_TOKEN),  # pragma: allowlist secret
            (lambda: f"vSmAcFdrAgRsQ5Vk1t3bYJ7pX0zLwNeh.{'x' * 42}%2F%3D", SESSION_TOKEN),
            (lambda: f"vSmAcFdrAgRsQ5Vk1t3bYJ7pX0zLwNeh.{'x' * 42}/=", SESSION_TOKEN),
            (lambda: f"{token('ada')}=", "it holds '=', which no JWT does: was it copied or encoded once too often?"),
            (
                lambda: token("ada", sub=None, email="a@example.com"),
                "it names no user: an e-mail link's token, for example, is no login",
            ),
            (lambda: token("ada", exp=None), "exp missing"),
            (
                lambda: SigningKey("Ed25519", "k").sign(claims("ada"), "EdDSA"),
                "its alg is 'EdDSA', and BETTER_AUTH_URL is not set, or that algorithm is never accepted",
            ),
        ],
        ids=[
            "expired",
            "other secret",
            "no JWT",
            "four parts",
            "two parts",
            "session token",
            "cookie",
            "decoded cookie",
            "padded",
            "no user",
            "no exp",
            "other family",
        ],
    )
    def test_rejected_one_is_told_why(self, doctor: Doctor, given: Callable[[], str], why: str) -> None:
        status, lines = doctor(given())

        assert status == 1
        assert lines[-1] == f"WRONG  The token is rejected: {why}."

    @pytest.mark.parametrize(
        ("more", "why"),
        [
            ({"iss": "https://other.example"}, "its iss is 'https://other.example', expected is {origin}"),
            ({"aud": ["a", "b"]}, "its aud is ['a', 'b'], expected is {origin}"),
            ({"iss": None}, "its iss is None, expected is {origin}"),
            ({"aud": None}, "its aud is None, expected is {origin}"),
        ],
    )
    def test_other_names_are_told_apart(
        self, doctor: Doctor, identity: IdentityServer, more: dict[str, Any], why: str
    ) -> None:
        given = identity.keys[0].sign(identity.claims("ada", **more), "EdDSA")
        status, lines = doctor(given, BETTER_AUTH_URL=identity.origin)

        assert status == 1
        assert lines[-1] == f"WRONG  The token is rejected: {why.format(origin=identity.origin)}."

    def test_cookie_cache_that_the_jwks_signed_is_told_apart(self, doctor: Doctor, identity: IdentityServer) -> None:
        typ = "better-auth.session-cache+jwt"
        given = identity.keys[0].sign(identity.claims("ada", aud="better-auth:session-cache"), "EdDSA", typ=typ)
        _, lines = doctor(given, BETTER_AUTH_URL=identity.origin)

        expected = f"this is Better Auth's cookie cache, which is not meant for other servers; {SEND}."
        assert lines[-1] == f"WRONG  The token is rejected: {expected}"

    def test_unknown_key_is_named(self, doctor: Doctor, identity: IdentityServer) -> None:
        given = SigningKey("Ed25519", "stranger").sign(identity.claims("ada"), "EdDSA")
        _, lines = doctor(given, BETTER_AUTH_URL=identity.origin)

        assert lines[-1].endswith("is BETTER_AUTH_URL the server that issued it? (kid 'stranger').")


def test_database_that_answers_with_a_failure_is_named_by_its_sqlstate(doctor: Doctor, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("DROP TABLE todo_api_version")
        connection.execute("CREATE VIEW todo_api_version AS SELECT (1 / (random() * 0)::int)::text AS version_num")
        connection.execute("GRANT SELECT ON todo_api_version TO todo_api")
    status, lines = doctor(DATABASE_URL=database)

    assert status == 1
    assert "WRONG  The database answers, but not as it should: SQLSTATE 22012." in lines
