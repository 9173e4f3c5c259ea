"""``todo-api token``: a token that the service accepts, for development."""

import argparse
import re
import sys
import time

from pydantic import SecretStr

from todo_api.settings import Settings, load_settings
from todo_api.tokens import MAX_SUBJECT_LENGTH, sign

MAX_EXPIRY_SECONDS = 3650 * 24 * 3600
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def user_id(text: str) -> str:
    """The value of ``USER``, for argparse."""
    if not 1 <= len(text) <= MAX_SUBJECT_LENGTH:
        raise argparse.ArgumentTypeError(f"must have 1 to {MAX_SUBJECT_LENGTH} characters")
    return text


def seconds(text: str) -> int:
    """The value of ``--expires``, for argparse: a number and a unit."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text)
    if match is None:
        raise argparse.ArgumentTypeError("must be a number and a unit, such as 15m")
    number = int(match[1]) * UNITS[match[2]]
    if number > MAX_EXPIRY_SECONDS:
        raise argparse.ArgumentTypeError("must be at most 3650d")
    return number


def run(options: argparse.Namespace) -> int:
    """Print the token."""
    secret = signing_secret(load_settings())
    now = int(time.time())
    claims = {"sub": options.user, "iat": now, "exp": now + options.expires}
    claims |= {name: getattr(options, name) for name in ("email", "name") if getattr(options, name) is not None}
    print(sign(claims, secret.get_secret_value()))
    return 0


def signing_secret(settings: Settings) -> SecretStr:
    """The secret that the service verifies HS256 tokens with.

    Without one, the process ends with a sentence.
    """
    secret = settings.signing_secret()
    if secret is None:
        sys.exit("BETTER_AUTH_SECRET is not set, and only Better Auth can sign with a key of its JWKS.")
    return secret
