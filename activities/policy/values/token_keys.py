"""Token keys: index keys of texts and values; a text names a value only if it has all its keys. Pure.

The keys of a text are its runs of letters and digits, each pair of runs that are joined by a character other than a
blank, and its amounts in minor units. A text is searched for a value only if it has all keys of the value.
"""

import re
from collections.abc import Iterable
from itertools import pairwise

from activities.policy.values.text_reading import TextReading

TokenKey = str | int | tuple[str, str]
_RUN = re.compile(r"[^\W_]+")


def token_keys_of_text(reading: TextReading) -> set[TokenKey]:
    """All keys of a text; 4 KB of prose have about 500."""
    return _keys_of_words(reading.plain.split(" ")) | reading.amounts()


def token_keys_of_name(name: str) -> frozenset[TokenKey]:
    """The keys of a name in comparison form: every text that names it as whole tokens has all of them."""
    return frozenset(_keys_of_words(name.split(" ")))


def token_keys_of_host(name: str) -> frozenset[TokenKey]:
    """The keys of a host or address in canonical form: every text that names it, in any spelling, has all of them."""
    if "[" in name:
        return frozenset()  # IPv6 has many spellings
    if "xn--" not in name:
        return token_keys_of_name(name)
    local, _, domain = name.rpartition("@")
    return frozenset(_keys_of_words([local, *(label for label in domain.split(".") if not label.startswith("xn--"))]))


def _keys_of_words(words: Iterable[str]) -> set[TokenKey]:
    found: set[TokenKey] = set()
    for word in words:
        if word.isalnum():
            found.add(word)
        else:
            runs = _RUN.findall(word)
            found.update(runs)
            found.update(pairwise(runs))
    return found
