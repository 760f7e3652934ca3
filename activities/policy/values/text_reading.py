"""Finds the addresses, hosts, URLs, numbers and words that a text names, as whole tokens. Pure, no I/O.

A part of a longer token does not count: "ana@acme.example" is not in "joana@acme.example". A token that can be read in
more than one way counts as naming nothing, so in doubt a text is evidence for fewer values.
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

# Matches a token. Apostrophes and backslashes are part of it: o'brien@acme.example is one token.
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
# Extensions of file names. Some of them are top-level domains too. A name with one of those is a host only if a path
# follows or if it is the target of a link; "README.md" alone is a file.
DOMAINS_TOO = frozenset("md py sh zip mov rs pl ps cc".split())
_FILES = DOMAINS_TOO | frozenset(
    "js ts jsx tsx json html htm txt csv pdf yaml yml toml xml css go exe doc"
    " docx xls xlsx ppt pptx log ini cfg conf sql java rb php png jpg jpeg gif svg tar gz bak tmp lock ipynb".split()
)
# A whole number, with or without thousands separators, and up to two decimals; not a part of a date, version or word.
_NUMBER = re.compile(
    r"\d(?<![^\W_]\d)(?<!\d[.,'/:-]\d)(?<![-\u2212]\d)"
    r"(?:(?<=[1-9])\d{0,2}(?:(?P<by>[., '])\d{3})(?:(?P=by)\d{3}){0,5}|\d{0,17})(?:[.,](?P<cents>\d{1,2}))?"
    r"(?![^\W_])(?![.,'/:-]\d)(?! ?%)"
)


class TextReading:
    """A text and what it names; each property is computed on first use."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def plain(self) -> str:
        """The text in the form used for comparison: case folded, each white space one blank."""
        return spaced(self.text)

    @cached_property
    def exact(self) -> str:
        """The same form with upper and lower case kept."""
        return spaced_with_case(self.text)

    @cached_property
    def places(self) -> frozenset[Place]:
        """The places that its URLs lead to."""
        return frozenset(place for url in _urls(self.text) if (place := readable_place(url)))

    @cached_property
    def bare(self) -> frozenset[Place]:
        """The places that it names without a scheme, such as acme.example and www.acme.example/a."""
        places = (_place_without_scheme(token) for token in self._tokens if "." in token and "@" not in token)
        return frozenset(place for place in places if place)

    @cached_property
    def hosts(self) -> frozenset[str]:
        """The hosts that it names, alone or in a URL. The domain of a mail address does not count."""
        alone = (place.host for place in self.bare if place.path == "/" and not place.query and not place.fragment)
        return frozenset(alone) | {place.host for place in self.places}

    @cached_property
    def addresses(self) -> frozenset[str]:
        """The mail addresses in it, in their canonical form."""
        return frozenset(name for token in self._tokens if "@" in token for name in canonical_addresses(token))

    @cached_property
    def numbers(self) -> dict[int, list[tuple[int, int]]]:
        """Amount in minor units -> the spans in `plain` that may mean it. "1200" may mean 1,200 cents or 1,200.00."""
        spans: dict[int, list[tuple[int, int]]] = {}
        for number in _NUMBER.finditer(self.plain):
            for minor in _minor_units(number):
                spans.setdefault(minor, []).append(number.span())
        return spans

    def amounts(self) -> set[int]:
        """The keys of `numbers`, computed without caching `numbers`, which is large."""
        return {minor for number in _NUMBER.finditer(self.plain) for minor in _minor_units(number)}

    @cached_property
    def _tokens(self) -> list[str]:
        return [trimmed(token) for token in TOKEN.findall(self.text) if "." in token or "@" in token]


def spaced(text: str) -> str:
    """`text` in the form used for comparison: case folded, each white space one blank."""
    return " ".join((text.lower() if text.isascii() else fold_text(text)).split())


def spaced_with_case(text: str) -> str:
    """`text` in the form used for comparison if case counts, each white space one blank."""
    return " ".join((text if text.isascii() else fold_text_keeping_case(text)).split())


def trimmed(token: str) -> str:
    """A token without the punctuation and emphasis around it."""
    bare = _GENITIVE.sub("", token.lstrip(_OPENING).rstrip(_CLOSING))
    if bare[:1] == bare[-1:] == "_":
        bare = bare.strip("_").rstrip(_CLOSING)
    return bare


def readable_place(url: str) -> Place | None:
    """The place that a URL leads to; None if the URL can be read in more than one way."""
    try:
        return place_of(url)
    except Unreadable:
        return None


def occurrences_of(text: str, name: str) -> Iterator[int]:
    """The positions where `name` is a token, or a sequence of tokens, of `text`. Both are in comparison form."""
    at = text.find(name) if name else -1
    while at >= 0:
        if not _token_continues(text, at - 1, -1) and not _token_continues(text, at + len(name), 1):
            yield at
        at = text.find(name, at + 1)


# Characters that join two words to one token if a letter or a digit follows on the other side.
_CONNECTORS = frozenset("-._@/+%&~'\\\u2010\u2011\u2012\u2019")


def _token_continues(text: str, at: int, step: int) -> bool:
    """Whether the token beside this position continues here, in the direction `step`."""
    for distance in range(8):
        char = text[at] if 0 <= at < len(text) else " "
        if char.isalnum() or unicodedata.combining(char):
            return not (
                step > 0 and distance == 1 and text[at - 1] in "'\u2019" and text[at : at + 2].rstrip(" .,") == "s"
            )
        if char in ",:=" and distance == 0:  # joins only digits: 4,711 and 10:30, but not ticket:7
            return text[at - 1 : at].isdigit() and text[at + 1 : at + 2].isdigit()
        if char not in _CONNECTORS:
            return False
        at += step
    return True


def _urls(text: str) -> Iterator[str]:
    for match in _URL.finditer(text):
        if not text[match.start() - 1 : match.start()].isalnum():
            yield whole_url(match[0])


def whole_url(url: str) -> str:
    """A URL without the punctuation and markup of the text around it."""
    url = url.partition("](")[0]
    surplus = {")": url.count(")") - url.count("("), "]": url.count("]") - url.count("[")}
    end = len(url)
    while end and (url[end - 1] in ".,;:!?'*" or surplus.get(url[end - 1], 0) > 0):
        end -= 1
        if url[end] in surplus:
            surplus[url[end]] -= 1
    return url[:end]


def _place_without_scheme(token: str) -> Place | None:
    match = BARE.fullmatch(token)
    if not match or not is_host_name(match):
        return None
    return readable_place("https://" + token)


def is_host_name(match: re.Match[str]) -> bool:
    """Whether a match of BARE is the name of a host and not of a file."""
    return match["top"].lower() not in _FILES or match["host"].lower().startswith("www.")


def canonical_addresses(token: str) -> tuple[str, ...]:
    """The mail addresses in a token, in canonical form; none if the token cannot be parsed."""
    name, at, domain = token.partition("@")
    try:
        return addresses_in(name.rpartition(":")[2] + at + domain)  # without a prefix such as "mailto:" or "to:"
    except Unreadable:
        return ()


def _minor_units(number: re.Match[str]) -> tuple[int, ...]:
    cents = number["cents"]
    whole = int(re.sub(r"\D", "", number[0].removesuffix(cents) if cents else number[0]))
    return (whole * 100 + int(cents.ljust(2, "0")),) if cents else (whole, whole * 100)
