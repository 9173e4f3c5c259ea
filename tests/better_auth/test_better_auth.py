"""The service beside a real Better Auth server.

What people get when they sign in is what is accepted.
"""

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import httpx
import jwt
import pytest

from tests.clients.node import QUICK_PASSWORDS
from tests.harness import PATIENCE_SECONDS, SECRET, Server, User, free_port, serving, wait_for
from tests.identity_server import SigningKey

HERE = Path(__file__).parent
NODE = shutil.which("node")
ALGORITHMS = ["EdDSA", "ES256", "ES512", "RS256", "PS256"]

pytestmark = [
    pytest.mark.skipif(NODE is None, reason="Node is missing: nothing is tested against a real Better Auth server"),
    pytest.mark.skipif(
        not (HERE / "node_modules").exists(), reason="Better Auth is not installed: `make .venv/sign-in` does it"
    ),
]


@dataclass
class Person:
    """Somebody who has signed up, with the cookies of a browser."""

    id: str
    http: httpx.Client

    def token(self) -> str:
        """A fresh token of the JWT plugin."""
        answer: str = self.http.get("/api/auth/token").json()["token"]
        return answer

    def cookie_cache(self) -> str:
        """The JWT in the cookie that caches the session."""
        self.http.get("/api/auth/get-session")
        return unquote(self.http.cookies["better-auth.session_data"])


@dataclass
class SignIn:
    """A running Better Auth server."""

    origin: str
    public: str
    process: subprocess.Popen[bytes]
    stack: ExitStack

    def sign_up(self) -> Person:
        """A new person, with a browser of their own."""
        client = self.stack.enter_context(
            httpx.Client(base_url=self.origin, headers={"Origin": self.public}, timeout=20)
        )
        answer = client.post(
            "/api/auth/sign-up/email",
            json={"name": "Ada", "email": f"{secrets.token_hex(8)}@example.com", "password": secrets.token_hex(8)},
        )
        assert answer.status_code == 200, answer.text
        client.headers["Authorization"] = f"Bearer {answer.headers['set-auth-token']}"
        return Person(answer.json()["user"]["id"], client)

    def rotate(self, algorithm: str = "EdDSA") -> None:
        """Let the signing key be an old one; the next is of this algorithm."""
        assert httpx.post(f"{self.origin}/test/rotate/{algorithm}").status_code == 204


@contextmanager
def signing_in(port: int, origin: str | None = None, **more: str) -> Iterator[SignIn]:
    """Run Better Auth until the block ends."""
    assert NODE is not None
    settings = {"SIGN_IN_PORT": str(port), "SIGN_IN_SECRET": SECRET, **more}
    if origin is not None:
        settings["SIGN_IN_ORIGIN"] = origin
    process = subprocess.Popen(
        [NODE, HERE / "server.mjs"], env={**os.environ, **QUICK_PASSWORDS, **settings}, stdout=subprocess.DEVNULL
    )
    try:

        def alive() -> bool:
            assert process.poll() is None
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"http://127.0.0.1:{port}/api/auth/ok", verify=False).status_code == 200
            return False

        wait_for(alive, "Better Auth does not answer")
        with ExitStack() as stack:
            address = f"http://127.0.0.1:{port}"
            yield SignIn(address, origin or address, process, stack)
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def sign_in() -> Iterator[SignIn]:
    """Better Auth as it comes, but with a shared secret that the service has too."""
    with signing_in(free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def service(sign_in: SignIn, worker_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service, told of Better Auth's address and of the secret."""
    directory = tmp_path_factory.mktemp("both")
    with serving(directory, DATABASE_URL=worker_database, BETTER_AUTH_URL=sign_in.origin) as running:
        yield running


def status(service: Server, person: Person, token: str) -> int:
    """What the list of somebody's tasks answers to a token."""
    url = f"{service.url}/api/{person.id}/tasks"
    return httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=20, verify=False).status_code


class TestTokens:
    def test_signed_up_person_creates_and_reads_tasks_and_is_written_down(
        self, sign_in: SignIn, service: Server
    ) -> None:
        person = sign_in.sign_up()
        user = User(person.id, service.client(headers={"Authorization": f"Bearer {person.token()}"}))
        task = user.create("From a real token")

        assert user.http.get(user.base).json() == [task]
        assert task["user_id"] == person.id

    def test_token_in_the_header_of_the_session_is_accepted(self, sign_in: SignIn, service: Server) -> None:
        person = sign_in.sign_up()
        token = person.http.get("/api/auth/get-session").headers["set-auth-jwt"]

        assert status(service, person, token) == 200

    def test_cookie_cache_token_is_accepted_under_the_shared_secret(self, sign_in: SignIn, service: Server) -> None:
        person = sign_in.sign_up()
        token = person.cookie_cache()
        assert "sub" not in jwt.decode(token, options={"verify_signature": False})

        assert status(service, person, token) == 200

    def test_token_of_a_verification_link_is_rejected(self, sign_in: SignIn, service: Server) -> None:
        person = sign_in.sign_up()
        link = httpx.get(f"{sign_in.origin}/test/link").text
        assert jwt.decode(link, SECRET, algorithms=["HS256"])["email"]

        assert status(service, person, link) == 401

    def test_session_token_is_rejected_in_each_form_and_named_in_the_log(
        self, sign_in: SignIn, service: Server
    ) -> None:
        person = sign_in.sign_up()
        cookie = person.http.cookies["better-auth.session_token"]
        bearer = person.http.headers["Authorization"].removeprefix("Bearer ")
        plain = person.http.get("/api/auth/get-session").json()["session"]["token"]

        assert [status(service, person, form) for form in (cookie, unquote(cookie), bearer, plain)] == [401] * 4
        assert len(service.log(event="auth.refused", reason="session token")) == 4

    def test_token_opens_nobody_elses_tasks(self, sign_in: SignIn, service: Server) -> None:
        ada, eve = sign_in.sign_up(), sign_in.sign_up()

        assert status(service, ada, eve.token()) == 403

    def test_header_is_as_better_auth_writes_it(self, sign_in: SignIn) -> None:
        token = sign_in.sign_up().token()

        assert set(jwt.get_unverified_header(token)) == {"alg", "kid"}


def test_cookie_cache_that_the_jwks_signed_is_rejected_for_its_audience(worker_database: str, tmp_path: Path) -> None:
    with (
        signing_in(free_port(), SIGN_IN_JWKS_COOKIE="1") as sign_in,
        serving(tmp_path, DATABASE_URL=worker_database, BETTER_AUTH_URL=sign_in.origin) as service,
    ):
        person = sign_in.sign_up()
        token, cookie = person.token(), person.cookie_cache()
        header, payload = jwt.get_unverified_header(cookie), jwt.decode(cookie, options={"verify_signature": False})
        assert header["kid"] == jwt.get_unverified_header(token)["kid"]
        assert (header["typ"], payload["sub"]) == ("better-auth.session-cache+jwt", person.id)

        assert [status(service, person, sent) for sent in (token, cookie)] == [200, 401]
        assert service.log(event="auth.refused", reason="aud")


class TestRotation:
    def test_every_algorithm_of_the_plugin_is_accepted_without_further_configuration(
        self, sign_in: SignIn, service: Server
    ) -> None:
        person = sign_in.sign_up()
        tokens = []
        for algorithm in ALGORITHMS:
            sign_in.rotate(algorithm)
            tokens.append(person.token())
        sign_in.rotate()

        assert [jwt.get_unverified_header(token)["alg"] for token in tokens] == ALGORITHMS
        assert [status(service, person, token) for token in tokens] == [200] * len(ALGORITHMS)

    def test_new_key_works_on_its_first_token_and_the_old_ones_stay_good(
        self, sign_in: SignIn, service: Server
    ) -> None:
        person = sign_in.sign_up()
        tokens = [person.token()]
        for _ in range(5):
            sign_in.rotate()
            tokens.append(person.token())
            assert status(service, person, tokens[-1]) == 200
        names = {jwt.get_unverified_header(token)["kid"] for token in tokens}

        assert len(names) == 6
        assert [status(service, person, token) for token in tokens] == [200] * 6

    def test_new_key_works_on_its_first_token_after_eight_invented_ones(self, sign_in: SignIn, service: Server) -> None:
        person = sign_in.sign_up()
        assert status(service, person, person.token()) == 200
        claims = jwt.decode(person.token(), options={"verify_signature": False})
        for number in range(8):
            forged = SigningKey("Ed25519", f"invented {number}").sign(claims, "EdDSA")
            assert status(service, person, forged) == 401
        sign_in.rotate()

        assert status(service, person, person.token()) == 200

    def test_rotation_under_traffic_rejects_nobody(self, sign_in: SignIn, worker_database: str, tmp_path: Path) -> None:
        people = [sign_in.sign_up() for _ in range(6)]

        with (
            serving(tmp_path, DATABASE_URL=worker_database, BETTER_AUTH_URL=sign_in.origin) as service,
            ThreadPoolExecutor(len(people)) as pool,
        ):

            def work(person: Person) -> set[int]:
                return {status(service, person, person.token()) for _ in range(15)}

            answers = [pool.submit(work, person) for person in people]
            sign_in.rotate()

            assert [answer.result(30) for answer in answers] == [{200}] * len(people)


class TestOutage:
    def test_service_starts_without_better_auth_and_accepts_both_types_of_token_as_they_come(
        self, worker_database: str, tmp_path: Path
    ) -> None:
        port = free_port()
        origin = f"http://127.0.0.1:{port}"
        with serving(tmp_path, DATABASE_URL=worker_database, BETTER_AUTH_URL=origin) as service:
            shared = service.user(iss=origin, aud=origin)
            assert shared.http.get(shared.base).status_code == 200
            with signing_in(port) as sign_in:
                person = sign_in.sign_up()
                first, second = person.token(), person.token()
            stranger = Person("someone", person.http)

            early = httpx.get(
                f"{service.url}/api/{person.id}/tasks", headers={"Authorization": f"Bearer {first}"}, timeout=20
            )
            assert early.status_code == 503
            assert re.fullmatch(r"[1-9]\d?", early.headers["retry-after"])
            assert early.json()["code"] == "unavailable"
            assert service.log(event="auth.unavailable")
            with signing_in(port) as sign_in:
                known = sign_in.sign_up()
                token = known.token()
                assert status(service, known, token) == 200
                assert status(service, stranger, first) == 401  # of the server's former life
            assert status(service, known, token) == 200
            assert status(service, known, second) == 401

    def test_frozen_server_delays_nobody_who_needs_no_new_key(self, worker_database: str, tmp_path: Path) -> None:
        with (
            signing_in(free_port()) as sign_in,
            serving(tmp_path, DATABASE_URL=worker_database, BETTER_AUTH_URL=sign_in.origin) as service,
        ):
            person = sign_in.sign_up()
            first, second = person.token(), person.token()
            assert status(service, person, first) == 200
            sign_in.process.send_signal(signal.SIGSTOP)
            try:
                started = time.monotonic()
                assert [status(service, person, token) for token in (first, second)] == [200, 200]
                assert time.monotonic() - started < 2
            finally:
                sign_in.process.send_signal(signal.SIGCONT)


def test_internal_and_public_address_may_differ(worker_database: str, tmp_path: Path) -> None:
    port = free_port()
    public = "https://app.example.com"
    with (
        signing_in(port, origin=public) as sign_in,
        serving(
            tmp_path,
            DATABASE_URL=worker_database,
            BETTER_AUTH_SECRET="",
            BETTER_AUTH_URL=public,
            BETTER_AUTH_JWKS_URL=f"http://127.0.0.1:{port}/api/auth/jwks",
        ) as service,
    ):
        person = sign_in.sign_up()
        token = person.token()

        assert jwt.decode(token, options={"verify_signature": False})["iss"] == public
        assert status(service, person, token) == 200
