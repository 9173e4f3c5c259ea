"""The sample user, whom the zero-configuration mode signs in without Better Auth."""

import time
from typing import Final

from pydantic import SecretStr

from todo_api.tokens.hs256 import sign

SAMPLE_USER: Final = "demo-user"
SAMPLE_TOKEN_SECONDS: Final = 7 * 24 * 3600


def sample_token(secret: SecretStr) -> str:
    """A token for the sample user, good for a week."""
    now = int(time.time())
    return sign({"sub": SAMPLE_USER, "iat": now, "exp": now + SAMPLE_TOKEN_SECONDS}, secret.get_secret_value())
