"""An identity server that answers what a test tells it to, and keys of every kind."""

import json
import ssl
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.api_jws import PyJWS
from typing_extensions import override

from tests.harness import claims
from todo_api.tokens import UnknownKey, Verifier

KINDS: dict[str, Any] = {
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "weak RSA": lambda: rsa.generate_private_key(65537, 1024),
}
_jws = PyJWS()
WRITERS: dict[str, Any] = {"Ed25519": OKPAlgorithm, "RSA": RSAAlgorithm, "weak RSA": RSAAlgorithm}


class SigningKey:
    """A key pair. ``jwk`` is its public half as it is published."""

    def __init__(self, kind: str, key_id: str | None = None, **more: Any) -> None:
        self.private = KINDS[kind]()
        self.id = key_id
        public = WRITERS.get(kind, ECAlgorithm).to_jwk(self.private.public_key(), as_dict=True)
        self.jwk = {**public, **({} if key_id is None else {"kid": key_id}), **more}

    def sign(self, payload: dict[str, Any], algorithm: str, **header: Any) -> str:
        """A token signed by PyJWT, whatever it says.

        Its header is Better Auth's unless told otherwise.
        """
        names = {"kid": self.id, "typ": None, **header}
        present = {name: value for name, value in names.items() if value is not None}
        return _jws.encode(json.dumps(payload).encode(), self.private, algorithm, headers=present)


class IdentityServer:
    """Publishes a JWKS, well or badly.

    ``fetches`` counts how often it was asked, ``asked`` holds the headers of each. The first
    ``moves`` answers redirect to another path. While ``answering`` is clear, a finished answer is
    held back, and ``held_back`` is set.
    """

    def __init__(self, *keys: SigningKey) -> None:
        self.keys = list(keys)
        self.body: bytes | None = None
        self.status = 200
        self.location: str | None = None
        self.encoding: str | None = None
        self.moves = 0
        self.asked: list[dict[str, str]] = []
        self.delay_seconds = 0.0
        self.answering = threading.Event()
        self.answering.set()
        self.held_back = threading.Event()
        self.fetches = 0
        self.port = 0
        self.tls: ssl.SSLContext | None = None

    @property
    def origin(self) -> str:
        """What ``iss`` and ``aud`` are."""
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def content(self) -> bytes:
        """What it answers now."""
        return self.body if self.body is not None else json.dumps({"keys": [key.jwk for key in self.keys]}).encode()

    def claims(self, user_id: str, **more: Any) -> dict[str, Any]:
        """Claims as Better Auth's JWT plugin writes them."""
        return claims(user_id, **{"iss": self.origin, "aud": self.origin, **more})

    @contextmanager
    def listening(self) -> Iterator["IdentityServer"]:
        """Answer on a port of loopback: a free one at first, the same one later."""
        identity = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                identity.fetches += 1
                content = identity.content()
                time.sleep(identity.delay_seconds)
                if not identity.answering.is_set():
                    identity.held_back.set()
                    identity.answering.wait()
                identity.asked.append({name.lower(): value for name, value in self.headers.items()})
                moved = identity.fetches <= identity.moves
                self.send_response(307 if moved else identity.status)
                if moved:
                    self.send_header("Location", f"/moved/{identity.fetches}")
                if identity.location is not None:
                    self.send_header("Location", identity.location)
                if identity.encoding is not None:
                    self.send_header("Content-Encoding", identity.encoding)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                try:
                    self.wfile.write(content)
                except OSError:
                    return  # it had enough

            @override
            def log_message(self, *arguments: Any) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        server.daemon_threads = True
        if self.tls is not None:
            server.socket = self.tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def encoded(part: Any) -> str:
    """A part of a token: JSON unless it is bytes."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


async def verify_with_fresh_keys(verifier: Verifier, token: bytes) -> str:
    """The token's subject, verified as the middleware does it.

    Once more with fresh keys where its key is unknown.
    """
    try:
        return verifier.verify(token).subject
    except UnknownKey as unknown:
        await verifier.refresh(unknown)
        return verifier.verify(token).subject
