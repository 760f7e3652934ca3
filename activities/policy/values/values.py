"""Values of a call by kind, and whether a text names them. Pure: no clock, no I/O, no logging.

A value is an address, a host, a URL, an amount, or words in a row, in canonical form whatever its spelling. No text
names a value that cannot be parsed, or can be parsed in more than one way.
"""

import re
from dataclasses import dataclass
from typing import Literal, Protocol

from activities.policy.values.canonical_names import Place, Unreadable, addresses_in, host, path_under
from activities.policy.values.introducing_words import is_introduced, is_introduced_after
from activities.policy.values.text_reading import (
    TextReading,
    occurrences_of,
    readable_place,
    spaced,
    spaced_with_case,
)
from activities.policy.values.token_keys import TokenKey, token_keys_of_host, token_keys_of_name

SHORT = 4  # a value of fewer characters is in many texts by chance, so it counts only with a cue next to it

# Who wrote a text. If a person writes a bare host, it means https://. In texts of people and trusted data a short value
# counts only with a cue. With "any" every mention counts; this finds out where the model may have a value from.
Speaker = Literal["user", "trusted", "any"]


class Value(Protocol):
    """A value in its canonical form."""

    @property
    def shown(self) -> str:
        """The text that a person must type to endorse the value."""

    @property
    def token_keys(self) -> tuple[frozenset[TokenKey], ...]:
        """A set of keys for each spelling: every text that names the value in this spelling has all of these keys."""

    def is_named_in(self, reading: TextReading, speaker: Speaker) -> bool:
        """Whether the text names the value."""

    def equals(self, endorsed: str) -> bool:
        """Whether the text that a person typed is exactly this value."""


@dataclass(frozen=True)
class UnreadableValue:
    """A value that cannot be parsed, or can be parsed in more than one way; no text names it."""

    shown: str
    token_keys: tuple[frozenset[TokenKey], ...] = ()

    def is_named_in(self, reading: TextReading, speaker: Speaker) -> bool:
        """See `Value`."""
        return False

    def equals(self, endorsed: str) -> bool:
        """See `Value`."""
        return False


@dataclass(frozen=True)
class Address:
    """A mail address, whatever its case and the spelling of its domain."""

    shown: str

    @property
    def token_keys(self) -> tuple[frozenset[TokenKey], ...]:
        """See `Value`."""
        return (token_keys_of_host(self.shown),)

    def is_named_in(self, reading: TextReading, speaker: Speaker) -> bool:
        """See `Value`."""
        return _may_name(reading, self.shown) and self.shown in reading.addresses

    def equals(self, endorsed: str) -> bool:
        """See `Value`."""
        try:
            return addresses_in(endorsed) == (self.shown,)
        except Unreadable:
            return False


@dataclass(frozen=True)
class Host:
    """A host. A text names it by itself or in a URL."""

    shown: str

    @property
    def token_keys(self) -> tuple[frozenset[TokenKey], ...]:
        """See `Value`."""
        return (token_keys_of_host(self.shown),)

    def is_named_in(self, reading: TextReading, speaker: Speaker) -> bool:
        """See `Value`."""
        return _may_name(reading, self.shown) and self.shown in reading.hosts

    def equals(self, endorsed: str) -> bool:
        """See `Value`."""
        try:
            return host(endorsed.strip()) == self.shown
        except Unreadable:
            return False


@dataclass(frozen=True)
class Url:
    """A URL. A text names it by the same place, or by a place above it if neither has a query or a fragment."""

    shown: str
    place: Place

    @property
    def token_keys(self) -> tuple[frozenset[TokenKey], ...]:
        """See `Value`."""
        return (token_keys_of_host(self.place.host),)

    def is_named_in(self, reading: TextReading, speaker: Speaker) -> bool:
        """See `Value`."""
        if not _may_name(reading, self.place.host):
            return False
        if self.place in reading.places or self.place in reading.bare:
            return True
        roots = reading.places if speaker == "trusted" else reading.places | reading.bare
        return any(self._is_beneath(root) for root in roots)

    def equals(self, endorsed: str) -> bool:
        """See `Value`."""
        typed = endorsed.strip()
        return readable_place(typed if "://" in typed else f"https://{typed}") == self.place

    def _is_beneath(self, root: Place) -> bool:
        place = self.place
        same_origin = (place.scheme, place.host, place.port) == (root.scheme, root.host, root.port)
        bare = not (place.query or place.fragment or root.query or root.fragment)
        if not (same_origin and bare and place.path.startswith(root.path.rstrip("/") + "/")):
            return False
        try:
            return path_under(place.path, root.path)
        except Unreadable:  # the path may contain ".." in a form that only some servers resolve
            return False


@dataclass(frozen=True)
class Amount:
    """An amount in minor units: "120000", "1,200", "1 200.00" and "1.200,00" all name 120000."""

    minor: int
    cues: frozenset[str]

    @property
    def shown(self) -> str:
        """See `Value`."""
        return str(self.minor)

    @property
    def token_keys(self) -> tuple[frozenset[TokenKey], ...]:
        """See `Value`."""
        return (frozenset((self.minor,)),)

    def is_named_in(self, reading: TextReading, speaker: Speaker) -> bool:
        """See `Value`."""
        return any(
            speaker == "any"
            or self._is_plain_in(reading.plain[start:end])
            or _CURRENCY.search(reading.plain[max(0, start - 5) : start])
            or _CURRENCY_AFTER.match(reading.plain[end : end + 8])
            or is_introduced(reading.plain, start, self.cues)
            for start, end in reading.numbers.get(self.minor, ())
        )

    def equals(self, endorsed: str) -> bool:
        """See `Value`. Only minor units count, as in `shown`: "1200" does not endorse 1,200.00."""
        return endorsed.strip() == self.shown

    def _is_plain_in(self, number: str) -> bool:
        """Whether a number means this amount without a cue or a currency.

        "4711" does not mean 4,711.00 by itself, because it may be the number of an invoice.
        """
        digits = re.sub(r"\D", "", number)
        return len(digits) >= SHORT and (bool(_CENTS.search(number)) or int(digits) == self.minor)


@dataclass(frozen=True)
class Words:
    """Words in a row, such as an account, a name or a statement.

    `is_path`: a text names a path only if the path is not part of a longer one. `exact`: upper and lower case count,
    because the tool may distinguish them.
    """

    shown: str
    spellings: tuple[str, ...]  # in comparison form; with upper and lower case if exact
    cues: frozenset[str]
    is_path: bool = False
    exact: bool = False

    @property
    def token_keys(self) -> tuple[frozenset[TokenKey], ...]:
        """See `Value`."""
        return tuple(token_keys_of_name(spaced(name)) for name in self.spellings)

    def is_named_in(self, reading: TextReading, speaker: Speaker) -> bool:
        """See `Value`."""
        text = reading.exact if self.exact else reading.plain
        return any(
            (speaker == "any" or self._is_meant_as_name(text, at, at + len(name), speaker))
            and not (self.is_path and _is_part_of_path(text, at, at + len(name)))
            for name in self.spellings
            for at in occurrences_of(text, name)
        )

    def equals(self, endorsed: str) -> bool:
        """See `Value`."""
        return (spaced_with_case(endorsed) if self.exact else spaced(endorsed)) in self.spellings

    def _is_meant_as_name(self, text: str, start: int, end: int, speaker: Speaker) -> bool:
        """Whether the words are there as a name and not by chance: "for general use" does not name a channel."""
        name, lowered = text[start:end], text.lower() if self.exact else text
        if len(name) >= SHORT and not (speaker == "user" and name.isalpha()):
            return True
        quoted = speaker == "user" and text[start - 1 : start] in _QUOTES and text[end : end + 1] in _QUOTES
        if _TAG.match(name) or text[start - 1 : start] in ("#", "@") or (quoted and len(name) >= SHORT):
            return True
        return is_introduced(lowered, start, self.cues) or (
            len(name) >= SHORT and is_introduced_after(lowered, end, self.cues)
        )


_QUOTES = frozenset("\"'`\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb")
_CENTS = re.compile(r"[.,]\d{1,2}$")
_TAG = re.compile(r"#[^\W\d_]")  # a channel or a topic


def _is_part_of_path(text: str, start: int, end: int) -> bool:
    """Whether the path at this span is part of a longer path."""
    before, after = text[start - 1 : start], text[end : end + 2]
    return before in set("-._@/+%&~\\:") or (after[:1] == "/" and after[1:] not in _PATH_ENDS)


_PATH_ENDS = frozenset(" ,;:\"'`)]}>") | {""}
_CURRENCY = re.compile(r"(?:[€$£¥]|(?<![^\W_])(?:eur|usd|gbp|chf|jpy))\s?$")
_CURRENCY_AFTER = re.compile(
    r"\s?(?:[€$£¥]|(?:eur|usd|gbp|chf|jpy|euros?|dollars?|pounds?|francs?|cents?|yen)(?![^\W_]))"
)


def _may_name(reading: TextReading, name: str) -> bool:
    """Whether the text may name it: a fast check before its names are parsed.

    IDNA names and IPv6 addresses have other spellings, which `plain` does not show.
    """
    return name in reading.plain or "xn--" in name or "[" in name
