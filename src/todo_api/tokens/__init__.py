"""Bearer tokens of Better Auth: HS256 with the shared secret, or signed with a key of its JWKS.

Read ``verifier`` first (which type of token, what is cached), then ``decoder`` and ``claims`` (what
a token must say), then ``jwks`` and ``jwks_client`` (public keys, and when they are fetched).
Nothing here answers HTTP.
"""

from todo_api.tokens.claims import LEEWAY_SECONDS, MAX_SUBJECT_LENGTH, Claims, InvalidToken
from todo_api.tokens.hs256 import sign
from todo_api.tokens.jwks_client import JwksClient, JwksUnavailable
from todo_api.tokens.sample import SAMPLE_USER, sample_token
from todo_api.tokens.verifier import MAX_TOKEN_BYTES, UnknownKey, Verifier, peek

__all__ = [
    "LEEWAY_SECONDS",
    "MAX_SUBJECT_LENGTH",
    "MAX_TOKEN_BYTES",
    "SAMPLE_USER",
    "Claims",
    "InvalidToken",
    "JwksClient",
    "JwksUnavailable",
    "UnknownKey",
    "Verifier",
    "peek",
    "sample_token",
    "sign",
]
