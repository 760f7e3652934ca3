"""Finds what a text names: addresses, hosts, URLs, numbers, words. Whole tokens only. Pure: no clock, no I/O.

A name inside a longer token is not named: "ana@acme.example" is not in "joana@acme.example". What cannot be read in one
way only is named nowhere, so in doubt a text is evidence for less, and an outgoing text holds more links.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cached_property

from activities.policy.values.canonical_names import (
    Place,
    Unreadable,
    addresses_in,
    fold_text,
    fold_text_keeping_case,
    place_of,
)

# What stands between tokens. Apostrophes do not: o'brien@acme.example is one token. Nor does a backslash.
TOKEN = re.compile(r'[^\s<>()\[\]{},;"|“”„«»]+')
_OPENING = "'\u2018\u2019*`"
_GENITIVE = re.compile("['\u2019]s$")
_CLOSING = ".!?:'\u2018\u2019*`"
_URL = re.compile(r"https?://[^\s<>\"`|^{}“”„«»]+", re.IGNORECASE)
BARE = re.compile(
    r"(?P<host>(?:\w[\w-]{0,62}\.){1,126}(?P<top>[^\W\d_]{2,24}|xn--[a-z0-9-]{1,59}|(?<=\d\.)\d{1,3}))"
    r"(?P<port>:\d{1,5})?(?P<rest>[/?#]\S*)?",
    re.IGNORECASE,
)
# Ends of file names. Those that are top-level domains too make a host where a path follows or markup makes a link of
# it, and not where a name stands alone: who says README.md does not speak of the host readme.md.
DOMAINS_TOO = frozenset("md py sh zip mov rs pl ps cc".split())
_FILES = DOMAINS_TOO | frozenset(
    "js ts jsx tsx json html htm txt csv pdf yaml yml toml xml css go exe doc"
    " docx xls xlsx ppt pptx log ini cfg conf sql java rb php png jpg jpeg gif svg tar gz bak tmp lock ipynb".split()
)
# Whole numbers with or without thousands separators, and up to two decimals. Not part of a date, a version or a word.
_NUMBER = re.compile(
    r"\d(?<![^\W_]\d)(?<!\d[.,'/:-]\d)(?<![-\u2212]\d)"
    r"(?:(?<=[1-9])\d{0,2}(?:(?P<by>[., '])\d{3})(?:(?P=by)\d{3}){0,5}|\d{0,17})(?:[.,](?P<cents>\d{1,2}))?"
    r"(?![^\W_])(?![.,'/:-]\d)(?! ?%)"
)


class TextReading:
    """A text, read as far as anyone asks."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def plain(self) -> str:
        """The text as it is compared, each white space one blank."""
        return spaced(self.text)

    @cached_property
    def exact(self) -> str:
        """The same, with upper and lower case kept."""
        return exactly(self.text)

    @cached_property
    def places(self) -> frozenset[Place]:
        """Where its URLs lead."""
        return frozenset(place for url in _urls(self.text) if (place := readable_place(url)))

    @cached_property
    def bare(self) -> frozenset[Place]:
        """Where it leads without saying https://, such as acme.example and www.acme.example/a."""
        found = (_bare(token) for token in self._tokens if "." in token and "@" not in token)
        return frozenset(place for place in found if place)

    @cached_property
    def hosts(self) -> frozenset[str]:
        """The hosts it names, alone or in a URL. The domain of a mail address is not named as a host."""
        alone = (place.host for place in self.bare if place.path == "/" and not place.query and not place.fragment)
        return frozenset(alone) | {place.host for place in self.places}

    @cached_property
    def addresses(self) -> frozenset[str]:
        """The mail addresses in it, in their canonical form."""
        return frozenset(name for token in self._tokens if "@" in token for name in canonical_addresses(token))

    @cached_property
    def numbers(self) -> dict[int, list[tuple[int, int]]]:
        """Each amount in minor units that it may mean -> where in `plain`. "1200" may mean 1,200 cents or 1,200.00."""
        found: dict[int, list[tuple[int, int]]] = {}
        for number in _NUMBER.finditer(self.plain):
            for minor in _minor_units(number):
                found.setdefault(minor, []).append(number.span())
        return found

    def amounts(self) -> set[int]:
        """The keys of `numbers`, which is large, without keeping it."""
        return {minor for number in _NUMBER.finditer(self.plain) for minor in _minor_units(number)}

    @cached_property
    def _tokens(self) -> list[str]:
        return [trimmed(token) for token in TOKEN.findall(self.text) if "." in token or "@" in token]


def spaced(text: str) -> str:
    """`text` as it is compared, each white space one blank."""
    return " ".join((text.lower() if text.isascii() else fold_text(text)).split())


def exactly(text: str) -> str:
    """`text` as it is compared where case counts, each white space one blank."""
    return " ".join((text if text.isascii() else fold_text_keeping_case(text)).split())


def trimmed(token: str) -> str:
    """A token without the punctuation and emphasis around it."""
    bare = _GENITIVE.sub("", token.lstrip(_OPENING).rstrip(_CLOSING))
    if bare[:1] == bare[-1:] == "_":
        bare = bare.strip("_").rstrip(_CLOSING)
    return bare


def readable_place(url: str) -> Place | None:
    """Where a URL leads; None if that can be read in more than one way."""
    try:
        return place_of(url)
    except Unreadable:
        return None


def occurrences_of(text: str, name: str) -> Iterator[int]:
    """Where `name` is a token, or a sequence of tokens, of `text`. Both are plain."""
    at = text.find(name) if name else -1
    while at >= 0:
        if not _joined(text, at - 1, -1) and not _joined(text, at + len(name), 1):
            yield at
        at = text.find(name, at + 1)


# What makes one token of two words, when a letter or a digit follows on its other side.
_CONNECTORS = frozenset("-._@/+%&~'\\\u2010\u2011\u2012\u2019")


def _joined(text: str, at: int, step: int) -> bool:
    """Whether the token goes on at this place, in this direction."""
    for far in range(8):
        char = text[at] if 0 <= at < len(text) else " "
        if char.isalnum() or unicodedata.combining(char):
            return not (step > 0 and far == 1 and text[at - 1] in "'\u2019" and text[at : at + 2].rstrip(" .,") == "s")
        if char in ",:=" and far == 0:  # joins digits only: 4,711 and 10:30 but ticket:7
            return text[at - 1 : at].isdigit() and text[at + 1 : at + 2].isdigit()
        if char not in _CONNECTORS:
            return False
        at += step
    return True


def _urls(text: str) -> Iterator[str]:
    for found in _URL.finditer(text):
        if not text[found.start() - 1 : found.start()].isalnum():
            yield whole_url(found[0])


def whole_url(url: str) -> str:
    """A URL without what belongs to the sentence or the markup around it."""
    url = url.partition("](")[0]
    surplus = {")": url.count(")") - url.count("("), "]": url.count("]") - url.count("[")}
    end = len(url)
    while end and (url[end - 1] in ".,;:!?'*" or surplus.get(url[end - 1], 0) > 0):
        end -= 1
        if url[end] in surplus:
            surplus[url[end]] -= 1
    return url[:end]


def _bare(token: str) -> Place | None:
    found = BARE.fullmatch(token)
    if not found or not is_host_name(found):
        return None
    return readable_place("https://" + token)


def is_host_name(found: re.Match[str]) -> bool:
    """Whether it is a host's name and not a file's."""
    return found["top"].lower() not in _FILES or found["host"].lower().startswith("www.")


def canonical_addresses(token: str) -> tuple[str, ...]:
    name, at, domain = token.partition("@")
    try:
        return addresses_in(name.rpartition(":")[2] + at + domain)  # mailto:, to: and the like are no part of it
    except Unreadable:
        return ()


def _minor_units(number: re.Match[str]) -> tuple[int, ...]:
    cents = number["cents"]
    whole = int(re.sub(r"\D", "", number[0].removesuffix(cents) if cents else number[0]))
    return (whole * 100 + int(cents.ljust(2, "0")),) if cents else (whole, whole * 100)
