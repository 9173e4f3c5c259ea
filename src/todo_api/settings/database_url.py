"""A PostgreSQL URL, read as libpq reads it and by nothing else.

What is wrong with one is said without a byte of its value, because any part of a URL that was not
written as it should be may be a part of the password.
"""

import os
import re
from pathlib import Path

from psycopg import ProgrammingError, pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

SCHEMES = ("postgresql://", "postgres://")
CERTIFICATE_STORES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)
MISREAD = (
    "cannot be read: in its user name and password write @ as %40, / as %2F, : as %3A, ? as %3F, # as %23, [ as %5B, "
    "% as %25 and a space as %20"
)
NOT_A_URL = "must be a URL that begins with postgresql://, or key=value pairs with values in quotes"
INSTEAD = {"pgbouncer": "set DATABASE_POOLER=true instead"}


def normalise(text: str) -> str:
    """The same URL (or conninfo), without white space around it, and with certificates found.

    Raises:
        ValueError: libpq cannot read it, or reads it otherwise than it was meant.
    """
    text = text.strip()
    if not text.startswith(SCHEMES) and ("://" in text or "=" not in text):
        raise ValueError(NOT_A_URL)
    if not text.isprintable():
        raise ValueError("holds a character that cannot be printed: percent-encode it")
    if text.startswith(SCHEMES):
        _check_credentials(text)
    try:
        parameters = conninfo_to_dict(text)
    except (ProgrammingError, UnicodeError):
        raise ValueError(_explain(text)) from None
    if not re.fullmatch(r"[0-9,]*", str(parameters.get("port") or "")):
        raise ValueError(MISREAD)
    return _with_certificates(text, parameters)


def is_pooled(url: str) -> bool:
    """Whether a host of a URL that can be read is one of Neon's poolers, by its name."""
    return "-pooler" in str(conninfo_to_dict(url).get("host") or "")


def login(url: str) -> str | None:
    """The user that a URL that can be read names, if it names one."""
    return str(conninfo_to_dict(url).get("user") or "") or None


def _check_credentials(url: str) -> None:
    """See that libpq finds the end of the password where it is: it takes the first @ or /."""
    before, at, after = url.partition("://")[2].partition("@")
    if at and ("/" in before or "@" in after):
        raise ValueError(MISREAD)


def _explain(text: str) -> str:
    """Why libpq cannot read it; names a parameter only where it cannot be a part of a password."""
    if not text.startswith(SCHEMES):
        return NOT_A_URL
    query = text.rpartition("@")[2].partition("?")[2]
    names = [pair.partition("=")[0] for pair in query.split("&")]
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()} | {"ssl"}
    unknown = [name for name in names if name not in known and re.fullmatch(r"[A-Za-z_]+", name)]
    if not unknown or "password" in names:
        return MISREAD
    advice = INSTEAD.get(unknown[0], "take it out")
    return f"has the parameter {unknown[0]}, which PostgreSQL's client library does not know: {advice}"


def _with_certificates(url: str, parameters: dict[str, str | int | None]) -> str:
    """Name this system's certificates, where ``sslrootcert=system`` means them.

    psycopg's binary wheel carries an OpenSSL of its own, whose built-in directory does not exist;
    SSL_CERT_FILE and SSL_CERT_DIR it does honour.
    """
    if parameters.get("sslrootcert") != "system" or {"SSL_CERT_FILE", "SSL_CERT_DIR"} & os.environ.keys():
        return url
    if parameters.get("sslmode", "verify-full") != "verify-full":
        raise ValueError("has sslrootcert=system, so sslmode must be verify-full")
    store = next((path for path in CERTIFICATE_STORES if Path(path).is_file()), None)
    if store is None:
        raise ValueError("has sslrootcert=system, and this system has no certificates: name a file in sslrootcert")
    return make_conninfo(url, sslrootcert=store, sslmode="verify-full")
