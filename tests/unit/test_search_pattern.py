# ruff: noqa: RUF001 - letters of many alphabets are what this is about
"""Search ignores case as Unicode does, whatever the database's locale, provider and collations."""

import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unicodedata import normalize

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.effort import effort
from todo_api.routes import search_pattern as module
from todo_api.routes.search_pattern import MAX_SPELLED_UNITS, search_pattern

FORMS = ["NFC", "NFD"]
SAME = [
    ("école", "À l'ÉCOLE"),
    ("ÉCOLE", "à l'école"),
    ("ё", "Ёлка"),
    ("ΟΔΌΣ", "η οδός"),
    ("οδός", "Η ΟΔΌΣ"),
    ("σ", "Σ"),
    ("ς", "σ"),
    ("strasse", "Hauptstraße 1"),
    ("Straße", "STRASSE"),
    ("ẞ", "ß"),
    ("office", "oﬃce"),
    ("ﬃ", "ofFIce"),
    ("istanbul", "ISTANBUL"),
    ("k", "\u212a"),  # KELVIN SIGN
    ("ΐ", "Ϊ́"),
    ("각", "각".lower()),
    ("漢字", "漢字かな"),
    ("😀", "a😀b"),
    ("ᏸ", "Ᏸ"),
    ("𐐨", "𐐀"),
    ("100%", "100% sure"),
    ("a.c", "a.c"),
    ("(?i)[[:alpha:]]*\\w$", "(?i)[[:alpha:]]*\\w$"),
    ("***=x", "a***=x"),
    ("a\nb\tc", "A\nB\tC"),
]
OTHER = [
    ("e", "é"),
    ("cafe", "café au lait"),
    ("é", "e"),
    ("ê", "ế"),
    ("가", "각"),
    ("e", "e\u0301"),
    ("a.c", "abc"),
    ("a*", "aaa"),
    ("i", "ı"),
    ("ss", "s"),
]


PROVIDERS = {
    "libc": ["C", "C.UTF-8", "en_US.UTF-8", "tr_TR.UTF-8"],  # what is installed of them
    "icu": ["en-US", "tr-TR"],  # 15 and newer, where it is built in
    "builtin": ["C", "C.UTF-8", "PG_UNICODE_FAST"],  # 17 and newer, the last 18
}
NOT_HERE = (
    psycopg.errors.SyntaxError,  # no providers, before 15
    psycopg.errors.FeatureNotSupported,  # built without ICU
    psycopg.errors.InvalidParameterValue,  # no such provider
    psycopg.errors.WrongObjectType,  # no such locale
)


@contextmanager
def new_database(postgres: str, options: str) -> Iterator[psycopg.Connection]:
    """A database of UTF8 text."""
    name = f"search_{secrets.token_hex(8)}"
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {options}")
        try:
            with psycopg.connect(postgres, dbname=name, autocommit=True) as connection:
                yield connection
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module", params=["", "LOCALE 'C'"], ids=["default locale", "locale C"])
def database(request: pytest.FixtureRequest, postgres: str) -> Iterator[psycopg.Connection]:
    """A database in the server's locale or in C."""
    with new_database(postgres, request.param) as connection:
        yield connection


@pytest.fixture(params=[(provider, locale) for provider in PROVIDERS for locale in PROVIDERS[provider]], ids=" ".join)
def everywhere(request: pytest.FixtureRequest, postgres: str) -> Iterator[psycopg.Connection]:
    """A database of each provider and locale that this server has."""
    provider, locale = request.param
    libc = "LC_COLLATE 'C' LC_CTYPE 'C'"
    options = {
        "libc": f"LC_COLLATE '{locale}' LC_CTYPE '{locale}'",
        "icu": f"LOCALE_PROVIDER icu ICU_LOCALE '{locale}' {libc}",
        "builtin": f"LOCALE_PROVIDER builtin BUILTIN_LOCALE '{locale}' {libc}",
    }[provider]
    with psycopg.connect(postgres) as server:
        named = "LOCALE_PROVIDER libc " if provider == "libc" and server.info.server_version >= 150000 else ""
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(new_database(postgres, named + options))
        except NOT_HERE as error:
            assert (provider, locale) != ("libc", "C")
            pytest.skip(str(error).partition("\n")[0])
        yield connection


def found(database: psycopg.Connection, search: str, text: str) -> bool:
    """Whether PostgreSQL finds it, as the list's statement has it."""
    row = database.execute('SELECT %s::text COLLATE "C" ~ %s', [text, search_pattern(search)]).fetchone()
    assert row is not None
    return bool(row[0])


@pytest.mark.parametrize(("search", "text"), SAME)
@pytest.mark.parametrize("text_form", FORMS)
@pytest.mark.parametrize("search_form", FORMS)
def test_text_is_found_in_any_case_composed_or_decomposed(
    database: psycopg.Connection, search: str, text: str, search_form: str, text_form: str
) -> None:
    assert found(database, normalize(search_form, search), normalize(text_form, text))  # type: ignore[arg-type]


@pytest.mark.parametrize("letter", ["ế", "ΐ", "각", "ß", "a"])
def test_long_search_finds_composed_letters(database: psycopg.Connection, letter: str) -> None:
    assert found(database, letter * 200, letter * 255)
    assert not found(database, letter * 200, letter * 199)
    assert found(database, letter * MAX_SPELLED_UNITS, normalize("NFD", letter * 255))


@pytest.mark.parametrize(("search", "text"), OTHER)
@pytest.mark.parametrize("text_form", FORMS)
def test_another_letter_is_not_found(database: psycopg.Connection, search: str, text: str, text_form: str) -> None:
    assert not found(database, search, normalize(text_form, text))  # type: ignore[arg-type]


def test_the_same_is_found_whatever_the_locale_and_its_provider(everywhere: psycopg.Connection) -> None:
    forms = [(search, text) for search in FORMS for text in FORMS]
    same = [(normalize(one, search), normalize(other, text)) for search, text in SAME for one, other in forms]  # type: ignore[arg-type]
    other = [(search, normalize(form, text)) for search, text in OTHER for form in FORMS]  # type: ignore[arg-type]

    assert [pair for pair in same if not found(everywhere, *pair)] == []
    assert [pair for pair in other if found(everywhere, *pair)] == []


def test_every_ascii_character_is_ordinary(database: psycopg.Connection) -> None:
    characters = [chr(code) for code in range(1, 128)]

    assert [text for text in characters if not found(database, text, f"-{text}+")] == []
    assert [text for text in characters if found(database, text, "é")] == []


def test_every_character_with_another_form_is_known() -> None:
    known = set().union(*module._forms().values())
    hangul = range(0xAC00, 0xD7A4)
    surrogates = range(0xD800, 0xE000)
    every = [chr(code) for code in range(sys.maxunicode + 1) if code not in surrogates and code not in hangul]

    assert {character for character in every if module._folded(character) != character} == known


letters = st.text(
    st.characters(categories=["L", "N", "P", "Zs", "So"], exclude_characters="ﬅﬆ")
    | st.sampled_from("aàÀáÁeéÉêếoøåÅяёЁйЙΣσςώΏßüÜ"),
    min_size=1,
    max_size=12,
)


@effort(150)
@given(before=letters, text=letters, after=letters, form=st.sampled_from(FORMS), other=st.sampled_from(FORMS))
def test_what_was_written_is_found_however_it_is_spelled(
    database: psycopg.Connection, *, before: str, text: str, after: str, form: str, other: str
) -> None:
    """As Unicode's caseless matching says of the whole; what stands around it does not matter."""
    whole = normalize(form, f"{before} {text} {after}")  # type: ignore[arg-type]
    for search in (text, text.casefold(), text.swapcase()):
        if module._folded(search) == module._folded(text):
            assert found(database, normalize(other, search), whole)  # type: ignore[arg-type]
