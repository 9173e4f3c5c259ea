"""``todo-api doctor``: what keeps this configuration from working, in plain words.

Settings and, if there is one, a token come in; findings go out, each with what to do when it is
wrong. Neither the token nor a secret is ever part of one.
"""

import argparse
import asyncio
import logging
import os
import re
import select
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import psycopg
from dotenv import dotenv_values

from todo_api import migrations
from todo_api.app import make_verifier, pool_options
from todo_api.db import DatabaseError, Pool
from todo_api.local import postgres
from todo_api.migrations import state
from todo_api.migrations.protection import other_members
from todo_api.settings import ENV_FILE, Settings, load_settings
from todo_api.tokens import MAX_TOKEN_BYTES, InvalidToken, JwksClient, JwksUnavailable, Verifier, peek

QUOTED = re.compile(r"""(["']).*\1""", re.DOTALL)
SIMILARITY = 0.87
CONNECT_SECONDS = 15
CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"
SIGNATURE = "its signature does not fit: it was signed with another secret or key, or changed on the way"
SEND = "a front end sends what `authClient.token()` answers"
ADVICE = {
    "InvalidSignatureError": SIGNATURE,
    "unknown key": "the JWKS holds no key of that kid: is BETTER_AUTH_URL the server that issued it?",
    "DecodeError": f"it is no JWT of three parts; {SEND}",
    "header": f"it is no JWT; {SEND}",
    "session token": f"this is Better Auth's session token, not a JWT; {SEND}",
    "no subject": "it names no user: an e-mail link's token, for example, is no login",
    "padded": "it holds '=', which no JWT does: was it copied or encoded once too often?",
    "too long": f"it is longer than {MAX_TOKEN_BYTES // 1024} KiB",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    ok: bool
    what: str


def run(_: argparse.Namespace) -> int:
    """Print the findings; whether one of them is wrong."""
    logging.disable()  # the findings say it
    try:
        findings = examine(load_settings(), _piped_token())
    finally:
        logging.disable(logging.NOTSET)
    for finding in findings:
        print(f"{'ok   ' if finding.ok else 'WRONG'}  {finding.what}")
    return int(not all(finding.ok for finding in findings))


def _piped_token() -> bytes | None:
    """The token on standard input, with or without its scheme, if something is piped there."""
    if sys.stdin is None or sys.stdin.isatty() or not select.select([sys.stdin], [], [], 0.5)[0]:
        return None
    return sys.stdin.read().strip().removeprefix("Bearer ").strip().encode() or None


def examine(settings: Settings, token: bytes | None) -> list[Finding]:
    """Look at the database, the JWKS and, if given, the token."""
    with _database_url(settings) as (url, problem):
        database = [problem] if problem else asyncio.run(_examine_database(settings, url))
    return [*_examine_settings(settings), *database, *asyncio.run(_examine_tokens(settings, token))]


def _examine_settings(settings: Settings) -> Iterator[Finding]:
    if settings.zero_configuration:
        yield Finding(
            ok=True, what=f"DATABASE_URL is not set: an embedded PostgreSQL serves from {settings.data_dir}/."
        )
    elif settings.pooled and settings.migration_database_url is None:
        yield Finding(
            ok=False,
            what="DATABASE_URL is taken for a pooler: set MIGRATION_DATABASE_URL to the direct host for migrations.",
        )
    elif settings.pooled:
        yield Finding(ok=True, what="DATABASE_URL is taken for a pooler: nothing is prepared on the server.")
    else:
        yield Finding(
            ok=True, what="DATABASE_URL is taken for a direct host; behind PgBouncer set DATABASE_POOLER=true."
        )
    yield from _examine_names()
    if settings.better_auth_secret and QUOTED.fullmatch(settings.better_auth_secret.get_secret_value()):
        yield Finding(
            ok=False, what="BETTER_AUTH_SECRET begins and ends with quotes, which are part of it: are they meant?"
        )
    origins = ", ".join(settings.allowed_origins)
    yield Finding(ok=True, what=f"Browsers may call from {origins or 'nowhere: CORS_ORIGINS is not set'}.")


def _examine_names() -> Iterator[Finding]:
    """Names of variables that are almost ours; nothing reads them."""
    ours = [name.upper() for name in Settings.model_fields]
    for name in sorted({*os.environ, *_names_in(Path(ENV_FILE))}):
        meant = get_close_matches(name.upper(), ours, n=1, cutoff=SIMILARITY)
        if meant and name.upper() not in ours:
            yield Finding(ok=False, what=f"{name} is set, and nothing reads it: is {meant[0]} meant?")


def _names_in(path: Path) -> list[str]:
    return list(dotenv_values(path, encoding="utf-8-sig")) if path.is_file() else []


def _examine_place(directory: Path) -> Finding:
    """Whether a first start could make its database; nothing is made to find it out."""
    place = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        what = f"There is no database under {directory}/ yet: `todo-api serve` makes one."
        return Finding(ok=True, what=what)
    return Finding(ok=False, what=f"DATA_DIR {str(directory)!r} cannot be used: {place} is no folder to write into.")


@contextmanager
def _database_url(settings: Settings) -> Iterator[tuple[str, Finding | None]]:
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value(), None
        return
    if not (settings.data_dir / "postgres").exists():
        yield "", _examine_place(settings.data_dir)
        return
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(postgres.running(settings.data_dir, migrate=migrations.upgrade))
        except postgres.LocalPostgresFailed as error:
            yield "", Finding(ok=False, what=str(error))
        else:
            yield cluster.url, None


async def _examine_database(settings: Settings, url: str) -> list[Finding]:
    try:
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=CONNECT_SECONDS) as connection:
            others = await other_members(connection)
    except psycopg.Error as error:
        return [Finding(ok=False, what=f"The database cannot be reached: {str(error).partition(chr(10))[0]}.")]
    database = Pool(url, **pool_options(settings), application_name="todo-api doctor")
    try:
        read_only = await state.check(database, migrations.head(), distributed=settings.database_citus)
    except state.DatabaseUnusable as error:
        return [Finding(ok=False, what=str(error))]
    except DatabaseError as error:
        return [Finding(ok=False, what=f"The database answers, but not as it should: {error.reason}.")]
    finally:
        await database.close()
    writes = "; it is a standby, so writes answer 503" if read_only else ""
    found = [Finding(ok=True, what=f"The database answers; its schema is at this version, and protected{writes}.")]
    if others:
        found.append(Finding(ok=False, what=others))
    return found


async def _examine_tokens(settings: Settings, token: bytes | None) -> list[Finding]:
    secret = settings.better_auth_secret
    shared = "is set: HS256 tokens are accepted" if secret else "is not set: HS256 tokens are rejected"
    if settings.zero_configuration and secret is None:
        shared = "is not set: the service makes a secret of its own, and accepts HS256 tokens under it"
        if (settings.data_dir / "secret").exists():
            secret = settings.signing_secret()
    keys = None if settings.jwks_url is None else JwksClient(settings.jwks_url)
    findings = [Finding(ok=True, what=f"BETTER_AUTH_SECRET {shared}.")]
    if keys is None:
        findings.append(
            Finding(ok=True, what="BETTER_AUTH_URL is not set: tokens signed with a key of a JWKS are rejected.")
        )
    else:
        findings.append(await _examine_jwks(keys))
    verifier = make_verifier(settings, keys, secret)
    if token is not None:
        findings.append(_examine_token(settings, verifier, token))
    if keys is not None:
        await keys.close()
    return findings


async def _examine_jwks(keys: JwksClient) -> Finding:
    try:
        await keys.refresh()
    except JwksUnavailable as error:
        advice = "; SSL_CERT_FILE may name a file of authorities to trust" if CERTIFICATE in error.reason else ""
        return Finding(ok=False, what=f"The JWKS at {keys.url} cannot be fetched: {error.reason}{advice}.")
    if not keys.keys:
        return Finding(ok=False, what=f"The JWKS at {keys.url} holds no key that can be used.")
    named = "; ".join(f"{key.id}: {', '.join(sorted(key.algorithms))}" for key in keys.keys)
    return Finding(ok=True, what=f"The JWKS at {keys.url} holds {named}.")


def _examine_token(settings: Settings, verifier: Verifier, token: bytes) -> Finding:
    header, payload = peek(token)
    try:
        claims = verifier.verify(token)
    except InvalidToken as error:
        return Finding(ok=False, what=f"The token is rejected: {_why(settings, error, header, payload)}.")
    minutes = round((claims.expires_at - time.time()) / 60)
    return Finding(ok=True, what=f"The token is accepted, as user {claims.subject!r}, for {minutes} more minutes.")


def _why(settings: Settings, error: InvalidToken, header: dict[str, Any], payload: dict[str, Any]) -> str:
    """What is wrong with a token, with what it says of itself where that helps."""
    expires_at = payload.get("exp")
    if error.expired and isinstance(expires_at, int | float):
        return f"it expired {round((time.time() - expires_at) / 60)} minutes ago; front ends fetch a new one"
    if header.get("typ") == "better-auth.session-cache+jwt":
        return f"this is Better Auth's cookie cache, which is not meant for other servers; {SEND}"
    if error.reason in {"iss", "iss missing"}:
        return f"its iss is {payload.get('iss')!r}, expected is {' or '.join(settings.issuers)}"
    if error.reason in {"aud", "aud missing"}:
        return f"its aud is {payload.get('aud')!r}, expected is {' or '.join(settings.audiences)}"
    if error.reason == "algorithm":
        setting = "BETTER_AUTH_SECRET" if header.get("alg") == "HS256" else "BETTER_AUTH_URL"
        return f"its alg is {header.get('alg')!r}, and {setting} is not set, or that algorithm is never accepted"
    advice = ADVICE.get(error.reason, error.reason)
    return f"{advice} (kid {header.get('kid')!r})" if error.reason == "unknown key" else advice
