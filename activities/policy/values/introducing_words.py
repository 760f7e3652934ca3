"""Cues: words next to a short value that say what it is, such as "ticket 7". Pure: no clock, no I/O, no logging."""

import re
from functools import lru_cache

CUE_REACH = 24  # a cue must be within this many characters before the value: "tickets 1, 2 and 7"
_GENERIC = frozenset("id ids no nr num number name value key ref reference code new old to by of the a an item".split())
_FILLER = _GENERIC | frozenset("and or und oder et ou y o is are ist est es was named called numbers nos".split())
_ABBREVIATED = frozenset("no nos nr num ref".split())  # a dot after one of these does not end a sentence
_BY_KIND = {
    "recipient": "channel group team room person people user mail write send post tell notify message invite ask",
    "principal": "user person group role",
    "amount": "price total pay transfer sum refund fee cost budget value charge order spend betrag montant importe",
}
_WORD = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_ENDS = re.compile(r"[!?;}\]]|\.(?!\S)")


@lru_cache(maxsize=1_024)
def introducing_words(names: tuple[str, ...]) -> frozenset[str]:
    """The cues for a value of these names (arguments, kinds): singular, plural, and with endings such as -id or -no."""
    words = {word for name in names for word in _WORD.findall(_CAMEL.sub(" ", name).lower())}
    words |= {word for name in names for word in _BY_KIND.get(name, "").split()}
    stems = (words - _GENERIC) or words
    stems |= {word.removesuffix("s") for word in stems if len(word) > 3}
    endings = ("", "s", "es", "id", "ids", "no", "nr", "number")
    return frozenset(word + ending for word in stems for ending in endings)


def is_introduced_after(text: str, end: int, cues: frozenset[str]) -> bool:
    """Whether the word right after a value is a cue: `the general channel`."""
    found = _NEXT.match(text, end)
    return found is not None and found[1] in cues


_NEXT = re.compile(r"[\"'\u2019\u201d]? ([^\W\d_]{1,30})(?![^\W_])")


def is_introduced(text: str, at: int, cues: frozenset[str]) -> bool:
    """Whether only numbers and fillers are between a cue and a value: `"ticket": 7`, `tickets 1 and 7`."""
    start = max(0, at - CUE_REACH)
    near = text[start:at]
    if start and text[start - 1].isalpha():
        near = _WORD.sub("", near, count=1) if near[:1].isalpha() else near
    end = len(near)
    for word in reversed(list(_WORD.finditer(near))):
        gap = near[word.end() : end].removeprefix("." if word[0] in _ABBREVIATED else "")
        if _ENDS.search(gap):
            return False
        if word[0] in cues:
            return True
        if word[0] not in _FILLER:
            return False
        end = word.start()
    return False
