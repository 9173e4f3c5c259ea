"""What people search for, as a regular expression for PostgreSQL that ignores case as Unicode does.

PostgreSQL folds case by the locale and the provider of a database, so that one search finds
different tasks on different machines. Here the pattern names each form of each letter itself: ``é``
becomes ``(?:[Ee]\u0301|[Éé])``. PostgreSQL needs to know nothing of letters for it. It needs no
column and no extension, and takes a text in one pass, because a pattern without back references
runs as an automaton.
"""

from functools import cache, lru_cache
from itertools import chain
from unicodedata import combining, normalize

MAX_CACHED_PATTERNS = 256
MAX_SPELLED_UNITS = 40
"""Of so many accented letters each spelling is found, of those behind them the composed one: a long
pattern with many alternatives would cost PostgreSQL a millisecond for each task that nearly
matches."""

# Where a character has another form in Unicode up to 17, Hangul aside, which is composed by rule.
# A test looks at all the others. Walking them takes 20 ms, walking all of Unicode 600 ms.
_BLOCKS = (
    (0x0041, 0x1400),
    (0x1B00, 0x2500),
    (0x2AD0, 0x3100),
    (0xA640, 0xABC0),
    (0xF900, 0x10600),
    (0x10C80, 0x11A00),
    (0x16100, 0x16140),
    (0x16D40, 0x16D80),
    (0x16E40, 0x16EE0),
    (0x1D150, 0x1D1D0),
    (0x1E900, 0x1E930),
    (0x2F800, 0x2FA20),
)
_HANGUL_VOWELS_AND_FINALS = frozenset(map(chr, chain(range(0x1161, 0x1176), range(0x11A8, 0x11C3))))
_MAX_EXPANSION = 4  # characters that one character is when it is folded and decomposed


@lru_cache(MAX_CACHED_PATTERNS)
def search_pattern(text: str) -> str:
    """The pattern that matches where ``text`` stands, in any case, composed or decomposed.

    Texts are compared as Unicode's canonical caseless matching does (The Unicode Standard, section
    3.13, D145), so that ``ß`` also matches ``SS``. A letter is no match for the same letter with an
    accent, though a decomposed text holds it.
    """
    folded = _folded(text)
    parts, start, spelled = [], 0, 0
    while start < len(folded):
        end = _end_of_unit(folded, start)
        unit = folded[start:end]
        spelled += len(unit) > 1
        parts.append(_spellings(unit) if spelled <= MAX_SPELLED_UNITS else _one_of(_single_forms(unit)))
        start = end
    accents = "".join(sorted(_accents(folded)))
    return "".join(parts) + (f"(?:[^{accents}]|$)" if accents else "")


def _folded(text: str) -> str:
    return normalize("NFD", normalize("NFD", text).casefold())


@cache
def _forms() -> dict[str, set[str]]:
    """The single characters which folding makes of each text that it makes."""
    forms: dict[str, set[str]] = {}
    for character in map(chr, chain.from_iterable(range(*block) for block in _BLOCKS)):
        folded = _folded(character)
        if folded != character:
            forms.setdefault(folded, set()).add(character)
    return forms


def _single_forms(folded: str) -> set[str]:
    """Every single character that is equal to this folded text."""
    forms, composed = _forms().get(folded, set()), normalize("NFC", folded)
    return forms | {composed} if len(composed) == 1 else forms


def _end_of_unit(folded: str, start: int) -> int:
    """Where the longest text ends that begins here and has a single character as another form."""
    for end in range(min(start + _MAX_EXPANSION, len(folded)), start + 1, -1):
        if _single_forms(folded[start:end]):
            return end
    return start + 1


def _spellings(unit: str) -> str:
    """The alternatives for one unit: its single forms, and each beginning with each rest."""
    alternatives = []
    for length in range(1, len(unit) + 1):
        forms = _single_forms(unit[:length])
        if forms:
            alternatives.append(_one_of(forms) + _spellings(unit[length:]))
    return alternatives[0] if len(alternatives) == 1 else f"(?:{'|'.join(alternatives)})" if unit else ""


def _one_of(forms: set[str]) -> str:
    """A bracket expression, or the character itself, escaped where it might mean something."""
    if len(forms) > 1:  # only letters and marks have several forms
        return f"[{''.join(sorted(forms))}]"
    (form,) = forms
    return f"\\{form}" if form.isascii() and not form.isalnum() else form


def _accents(folded: str) -> set[str]:
    """The characters that would make another letter of the last one."""
    last = normalize("NFC", folded)[-1:]
    return {mark for mark in _composing() if len(normalize("NFC", last + mark)) == 1}


@cache
def _composing() -> frozenset[str]:
    """The last characters of all decompositions of two characters, Hangul's included."""
    marks = {folded[-1] for folded in _forms() if len(normalize("NFC", folded)) == 1 < len(folded)}
    return frozenset(mark for mark in marks if combining(mark)).union(_HANGUL_VOWELS_AND_FINALS)
