"""What a shared secret must be, and that of the zero-configuration mode.

Made once, for its owner alone to read.
"""

import os
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path

MIN_SECRET_BYTES = 32
WELL_KNOWN_SECRETS = (
    "better-auth-secret",  # Better Auth's own default begins with it
    "change-me",
    "changeme",
    "change_me",
    "your-secret",
    "your_secret",
    "your-super-secret",
    "replace-me",
    "replace-with",
    "super-secret-key",
    "supersecret",
    "secret-key",
    "my-secret",
    "dev-secret",
    "test-secret",
    "01234567890123456789",
    "abcdefghijklmnopqrstuvwxyz",
)
MIN_DISTINCT_CHARACTERS = 8


def check_secret(value: str) -> None:
    """See that ``value`` may be a shared secret.

    Raises:
        ValueError: it is too short, well known, easily guessed, or no UTF-8 text; the value is not
            shown.
    """
    if not value.isascii() and value.encode(errors="ignore").decode() != value:
        raise ValueError("must be UTF-8 text")
    if len(value.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"must be at least {MIN_SECRET_BYTES} bytes; `openssl rand -base64 32` makes one")
    if value.lower().startswith(WELL_KNOWN_SECRETS) or len(set(value)) < MIN_DISTINCT_CHARACTERS:
        raise ValueError("is a well-known or guessable value; `openssl rand -base64 32` makes a good one")


def sample_secret(path: Path) -> str:
    """Read the secret at ``path``.

    The first caller, of any number of processes, makes it (mode 0600).

    Raises:
        SystemExit: the file cannot be used, holds something else, or others may have written or
            read it.
    """
    try:
        if not path.exists():
            _make(path)
        # Without O_NONBLOCK, a named pipe that somebody put there would hold up the start for ever.
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(file, "rb") as opened:
            status = os.fstat(file)
            text = opened.read(4096).decode(errors="replace").strip()
        folder = path.parent.stat()
    except OSError as error:
        sys.exit(f"DATA_DIR {str(path.parent)!r} cannot be used: {error.strerror}.")
    if status.st_uid not in {os.geteuid(), folder.st_uid if os.geteuid() == 0 else os.geteuid()}:
        sys.exit(f"{path} belongs to another user, who may know it; remove it, and a new one is made.")
    if stat.S_IMODE(status.st_mode) & 0o077:
        sys.exit(f"{path} may be read by others; remove it, and a new one is made, or run `chmod 600` on it.")
    if len(text.encode()) < MIN_SECRET_BYTES:
        sys.exit(f"{path} does not hold a secret; remove it, and a new one is made.")
    return text


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600, exist_ok=False)
    try:
        draft.write_text(secrets.token_urlsafe(48))
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
