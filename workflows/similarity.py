"""Similarity of two calls' arguments: a 64-bit SimHash of their text. Pure, the same on every machine.

`model.plan` sketches the arguments where it stores them; the workflow compares sketches and never sees an argument.
What a call is *about* (ids, numbers, mail addresses, paths, single words but for their endings) must be equal for two
calls to be alike; how it is *worded* may differ: case, order, endings, small words, a word more or less.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

ALIKE = 16  # bits of 64; tests/unit/test_similarity.py has the pairs it is tuned on, and the margin
SMALL = 1_000  # whole numbers below this in a read are pages, offsets or attempts, not what it looks for
NAME_WORDS = 4  # "Bo Miller", "Acme Tools Berlin": a few capitalised words are a name
HEAD = 1_000  # characters whose wording is compared; what follows must be equal
BITS = 64

_EDGES = ".,;:!?'\"()[]{}<>…"
_ENDINGS = ("ations", "ation", "ings", "ing", "ies", "ed", "es", "s", "e", "y")
_SMALL_WORDS = frozenset(
    "a an and any are as at be by can could do does for from has have how i if in into is it its me my of on or our "
    "please so some that the their then there this to us was we what when where which who why will with you your "
    "again once more".split()
)
_IDENTIFIER = re.compile(r"[0-9@/\\_=#]")
# Arguments that tell one attempt from another and nothing else. Not `request_id`, `trace_id`, `attempt`: in some tools
# they name what is asked about.
_OF_ATTEMPTS = frozenset(
    "idempotencykey idempotencytoken idempotencyid nonce clienttoken clientrequestid dedupkey dedupekey "
    "deduplicationid deduplicationkey retrytoken requesttoken cachebuster".split()
)


class Sketch(NamedTuple):
    """`bits`: 16 hex digits, near for alike arguments. `shape`: 4 hex digits, equal if only ids and numbers differ."""

    bits: str
    shape: str


def significant_arguments(arguments: Any) -> Any:
    """The arguments without those that only identify the attempt. If nothing else is left, all arguments."""
    if not isinstance(arguments, dict):
        return arguments
    rest = {key: value for key, value in arguments.items() if _plain(key) not in _OF_ATTEMPTS}
    return rest or arguments


def _plain(name: object) -> str:
    return re.sub("[^a-z]", "", str(name).casefold())


def sketch_of(arguments: Any, *, reads: bool) -> Sketch:
    """The sketch of a call's arguments (JSON data). For a call that only reads, small numbers do not count."""
    words: Counter[str] = Counter()
    about: list[str] = []
    shape: list[str] = []
    room = HEAD
    for path, scalar in _scalars(significant_arguments(arguments), ""):
        shape.append(path)
        if reads and _is_small(scalar):
            continue
        head, rest = _split(scalar, room)
        room -= len(head) if isinstance(head, str) else 1
        if rest:
            about.append(f"{path}…{_hash(rest)}")
        for token in _tokens(head):
            if token.names:
                about.append(f"{path}={token.text}")
                shape.append("#")
            else:
                words.update({f"{path}={feature}": weight for feature, weight in _features(token.text)})
                shape.append(token.text)
    bits = _simhash(words) ^ (_hash(" ".join(sorted(about))) if about else 0)
    return Sketch(f"{bits:016x}", f"{_hash(' '.join(shape)) & 0xFFFF:04x}")


def distance(one: int, other: int) -> int:
    """How many of the 64 bits differ: 0 for the same words, about 32 for arguments that share nothing."""
    return (one ^ other).bit_count()


class _Token(NamedTuple):
    text: str
    names: bool  # a name, not a description


def _scalars(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from _scalars(value[key], f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _scalars(item, path)
    else:
        yield path, value


def _split(scalar: Any, room: int) -> tuple[Any, str]:
    """The part that is compared word by word, and the rest."""
    if room <= 0:
        return "", str(scalar)
    return (scalar[:room], scalar[room:]) if isinstance(scalar, str) else (scalar, "")


def _is_small(scalar: Any) -> bool:
    if isinstance(scalar, str):
        return scalar.isascii() and scalar.isdecimal() and int(scalar[:9]) < SMALL
    return isinstance(scalar, int) and not isinstance(scalar, bool) and abs(scalar) < SMALL


def _tokens(scalar: Any) -> Iterator[_Token]:
    """A value of one word is a name. In a text, only what looks like an identifier is."""
    if not isinstance(scalar, str):
        yield _Token(str(scalar), True)
        return
    raw = [word for part in unicodedata.normalize("NFKC", scalar).split() if (word := part.strip(_EDGES))]
    named = len(raw) <= NAME_WORDS and all(word[0].isupper() for word in raw)
    for word in (part.casefold().removesuffix("'s") for part in raw):
        if len(raw) == 1 and word.isalpha():
            yield _Token(_stem(word), True)
        elif named or len(raw) == 1 or _IDENTIFIER.search(word):
            yield _Token(word, True)
        elif word not in _SMALL_WORDS:
            yield _Token(_stem(word), False)


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word[: -len(ending)]
            return stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] else stem
    return word


def _features(stem: str) -> Iterator[tuple[str, int]]:
    """The stem, and its trigrams with less weight: a typing error changes only some of them."""
    yield stem, 3
    padded = f"^{stem}$"
    for start in range(len(padded) - 2):
        yield padded[start : start + 3], 1


def _simhash(features: Counter[str]) -> int:
    sums = [0] * BITS
    for feature, weight in features.items():
        hashed = _hash(feature)
        for bit in range(BITS):
            sums[bit] += weight if hashed >> bit & 1 else -weight
    return sum(1 << bit for bit in range(BITS) if sums[bit] > 0)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())
