"""The secret of the zero-configuration mode: generated once, kept in a file that its owner alone reads."""

import os
import secrets
import sys
from pathlib import Path

MINIMUM_SECRET_BYTES = 32


def kept_secret(path: Path) -> str:
    """Read the secret at ``path``; the first caller, of any number of processes, makes it (mode 0600).

    Raises:
        SystemExit: the file holds something else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    if not path.exists():
        draft.touch(mode=0o600, exist_ok=False)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    secret = path.read_text().strip()
    if len(secret) < MINIMUM_SECRET_BYTES:
        sys.exit(f"{path} does not hold a secret; remove it, and a new one is made.")
    return secret
