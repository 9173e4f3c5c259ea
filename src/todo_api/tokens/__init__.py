"""Bearer tokens of Better Auth: HS256 with the shared secret, or signed with a key of its key set.

Read ``verifier`` first (which family, what is remembered), then ``claims`` (what a token must say), then
``key_set`` and ``key_source`` (public keys, and when they are fetched). Nothing here answers HTTP.
"""

from todo_api.tokens.claims import LEEWAY_SECONDS, LONGEST_SUBJECT, Claims, InvalidToken
from todo_api.tokens.hs256 import sign
from todo_api.tokens.jwks_client import KeySource, KeysUnavailable
from todo_api.tokens.verifier import CACHED_TOKENS, LONGEST_TOKEN_BYTES, UnknownKey, Verifier, peek

__all__ = [
    "CACHED_TOKENS",
    "LEEWAY_SECONDS",
    "LONGEST_SUBJECT",
    "LONGEST_TOKEN_BYTES",
    "Claims",
    "InvalidToken",
    "KeySource",
    "KeysUnavailable",
    "UnknownKey",
    "Verifier",
    "peek",
    "sign",
]
