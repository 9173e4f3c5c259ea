"""A PostgreSQL that speaks TLS, and the certificates for it."""

import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from secrets import token_hex
from signal import SIGINT
from tempfile import TemporaryDirectory

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.harness import PATIENCE_SECONDS, free_port, wait_for
from tests.postgres.server import PROGRAMS, initialised
from tests.proxies import address_of
from todo_api.local.programs import environment

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
HOSTS = "hostssl all all 127.0.0.1/32 trust\n"


def write_certificates(directory: Path) -> None:
    """A CA's certificate, and one for 127.0.0.1 with its key."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"CA {token_hex(4)}")])
    ca = certificate(ca_name, ca_name, ca_key.public_key(), x509.BasicConstraints(ca=True, path_length=None)).sign(
        ca_key, hashes.SHA256()
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    leaf = certificate(name, ca_name, key.public_key(), names).sign(ca_key, hashes.SHA256())
    (directory / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (directory / "leaf.pem").write_bytes(
        leaf.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, extension: x509.ExtensionType
) -> x509.CertificateBuilder:
    """A certificate that is to be signed."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(extension, critical=False)
    )


@contextmanager
def speaking_tls(postgres: str, certificates: Path) -> Iterator[int]:
    """The port of a PostgreSQL that speaks TLS with ``leaf.pem``.

    It is one of the version under test, or where that is built without OpenSSL, as the embedded one
    is, ``postgres`` with TLS in front.
    """
    with psycopg.connect(postgres) as connection:
        library = connection.execute("SELECT setting FROM pg_settings WHERE name = 'ssl_library'").fetchone()
    with _server(certificates) if library == ("OpenSSL",) else _front(postgres, certificates) as port:
        yield port


@contextmanager
def _server(certificates: Path) -> Iterator[int]:
    with TemporaryDirectory(prefix="todo-tls-") as name:
        cluster, port = initialised(Path(name), Path(os.environ[PROGRAMS])), free_port()
        (cluster.directory / "pg_hba.conf").write_text(HOSTS)
        leaf = Path(shutil.copy(certificates / "leaf.pem", cluster.directory))
        leaf.chmod(0o600)
        os.chown(leaf, cluster.account.uid, cluster.account.gid)
        settings = {
            "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "",
            "ssl": "on", "ssl_cert_file": leaf.name, "ssl_key_file": leaf.name,
        }  # fmt: skip
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with cluster.log.open("wb") as log:
            process = subprocess.Popen(
                [cluster.programs / "postgres", "-D", cluster.directory, *options],
                cwd=cluster.directory, env=environment(), stderr=log, **cluster.account.popen_options,
            )  # fmt: skip
        try:
            wait_for(lambda: _answers(port), "PostgreSQL does not answer with TLS")
            yield port
        finally:
            process.send_signal(SIGINT)
            process.wait(PATIENCE_SECONDS)


def _answers(port: int) -> bool:
    try:
        psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=require").close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def _front(postgres: str, certificates: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "leaf.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                client, _ = listener.accept()
                with client, socket.socket(socket.AF_UNIX) as server:
                    assert client.recv(8) == SSL_REQUEST
                    client.sendall(b"S")
                    server.connect(address_of(postgres))
                    with context.wrap_socket(client, server_side=True) as secure:
                        back = threading.Thread(target=_forward, args=(server, secure))
                        back.start()
                        _forward(secure, server)
                        back.join()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
    thread.join(20)


def _forward(source: socket.socket, target: socket.socket) -> None:
    """Copy what comes until it ends."""
    with suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_RDWR)
