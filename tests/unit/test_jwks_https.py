"""The JWKS over https: whose certificates are trusted, and that no proxy stands between."""

import asyncio
import ipaddress
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.harness import free_port
from tests.identity_server import IdentityServer, SigningKey
from todo_api.tokens import JwksClient, JwksUnavailable

KEY = SigningKey("Ed25519", "one")


SIGNS_CERTIFICATES = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)
"""RFC 5280 §4.2.1.3: an authority says so, and from 3.13 on Python insists."""


class Authority:
    """A certificate authority of one's own. ``certificate`` is its PEM file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of a test")])
        self.certificate = directory / "authority.pem"
        is_authority = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate.write_bytes(self._signed(self._name, self._key, is_authority, SIGNS_CERTIFICATES))

    def _signed(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *critical: x509.ExtensionType) -> bytes:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        for extension in critical:
            builder = builder.add_extension(extension, critical=True)
        builder = builder.add_extension(identifier, critical=False).add_extension(issuer, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(Encoding.PEM)

    def server(self, address: str) -> ssl.SSLContext:
        """TLS for a server whose certificate is for this address."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        pem = self._directory / "server.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        pem.write_bytes(private + self._signed(x509.Name([]), key, names))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def identity(authority: Authority) -> Iterator[IdentityServer]:
    """An identity server with a certificate of the authority."""
    server = IdentityServer(KEY)
    server.tls = authority.server("127.0.0.1")
    with server.listening():
        yield server


def fetch(identity: IdentityServer) -> list[str | None]:
    """The ids of the keys that a client obtains."""

    async def run() -> list[str | None]:
        client = JwksClient(f"{identity.origin}/api/auth/jwks")
        try:
            await client.refresh()
        finally:
            await client.close()
        return [key.id for key in client.keys]

    return asyncio.run(run())


def test_certificate_of_an_unknown_authority_is_rejected(identity: IdentityServer) -> None:
    with pytest.raises(JwksUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(identity)
    assert identity.fetches == 0


def test_authority_of_ssl_cert_file_is_trusted(
    identity: IdentityServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))

    assert fetch(identity) == ["one"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_authorities_of_ssl_cert_dir_are_trusted(
    identity: IdentityServer, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["openssl", "x509", "-in", str(authority.certificate), "-noout", "-subject_hash"]
    named = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    directory = tmp_path / "trusted"
    directory.mkdir()
    (directory / f"{named}.0").write_bytes(authority.certificate.read_bytes())
    monkeypatch.setenv("SSL_CERT_DIR", str(directory))

    assert fetch(identity) == ["one"]


def test_certificate_for_another_host_is_rejected(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    identity = IdentityServer(KEY)
    identity.tls = authority.server("127.0.0.2")

    with identity.listening(), pytest.raises(JwksUnavailable, match="IP address mismatch"):
        fetch(identity)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_file_that_cannot_be_used_is_named(
    identity: IdentityServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    path = tmp_path / "missing.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))

    with pytest.raises(JwksUnavailable, match="SSL_CERT_FILE or SSL_CERT_DIR cannot be used"):
        fetch(identity)


def test_proxies_of_the_environment_are_ignored(
    identity: IdentityServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")

    assert fetch(identity) == ["one"]
