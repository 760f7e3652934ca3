"""Marks: what a text must have in it to name a value, so that most texts need no look. Pure.

They are the runs of letters and digits, each two of them that a sign other than a blank joins, and the amounts in minor
units. A name that stands in a text as whole tokens brings all its marks with it.
"""

import re
from collections.abc import Iterable
from itertools import pairwise

from activities.policy.values.text_reading import TextReading

Mark = str | int | tuple[str, str]
_RUN = re.compile(r"[^\W_]+")


def token_keys_of_text(reading: TextReading) -> set[Mark]:
    """All marks of a text: for 4 KB of prose some 500."""
    return _marks(reading.plain.split(" ")) | reading.amounts()


def token_keys_of_name(name: str) -> frozenset[Mark]:
    """The marks of every text in which `name`, which is plain, stands as whole tokens."""
    return frozenset(_marks(name.split(" ")))


def token_keys_of_host(name: str) -> frozenset[Mark]:
    """The marks of every text that names a host or an address, given in its canonical form, in whatever spelling."""
    if "[" in name:
        return frozenset()  # IPv6 has many spellings
    if "xn--" not in name:
        return token_keys_of_name(name)
    local, _, domain = name.rpartition("@")
    return frozenset(_marks([local, *(label for label in domain.split(".") if not label.startswith("xn--"))]))


def _marks(words: Iterable[str]) -> set[Mark]:
    found: set[Mark] = set()
    for word in words:
        if word.isalnum():
            found.add(word)
        else:
            runs = _RUN.findall(word)
            found.update(runs)
            found.update(pairwise(runs))
    return found
