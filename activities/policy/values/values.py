"""What a value is, by kind, and how it stands in a text. Pure: no clock, no I/O, no logging.

Each kind is read in one way, whatever its spelling: an address, a host, a URL, an amount, or words in a row. What can
be read in more than one way, or in none, stands nowhere.
"""

import re
from dataclasses import dataclass
from typing import Literal, Protocol

from activities.policy.values.canonical_names import Place, Unreadable, addresses_in, host, path_under
from activities.policy.values.introducing_words import is_introduced, is_introduced_after
from activities.policy.values.text_reading import TextReading, exactly, occurrences_of, readable_place, spaced
from activities.policy.values.token_keys import Mark, token_keys_of_host, token_keys_of_name

SHORT = 4  # a value of fewer characters stands in every text by chance: it needs a word before it that says what it is

# Who speaks. What a person calls by a bare host is meant as https://; a short value counts from people and trusted data
# by its cue only. "any": to find out where the model has it from, every mention counts.
Speaker = Literal["user", "trusted", "any"]


class Value(Protocol):
    """A value in its canonical form."""

    @property
    def shown(self) -> str:
        """What a person would have to type to endorse it."""

    @property
    def marks(self) -> tuple[frozenset[Mark], ...]:
        """One for each spelling: every text that names it in this spelling has all of these marks."""

    def stands_in(self, reading: TextReading, speaker: Speaker) -> bool:
        """Whether a text names it."""

    def equals(self, endorsed: str) -> bool:
        """Whether a person typed this very value."""


@dataclass(frozen=True)
class UnreadableValue:
    """A value that can be read in more than one way, or in none. Nobody can have meant it."""

    shown: str
    marks: tuple[frozenset[Mark], ...] = ()

    def stands_in(self, reading: TextReading, speaker: Speaker) -> bool:
        """See `Value`."""
        return False

    def equals(self, endorsed: str) -> bool:
        """See `Value`."""
        return False


@dataclass(frozen=True)
class Address:
    """A mail address: the same one, whatever the case and spelling of its domain."""

    shown: str

    @property
    def marks(self) -> tuple[frozenset[Mark], ...]:
        """See `Value`."""
        return (token_keys_of_host(self.shown),)

    def stands_in(self, reading: TextReading, speaker: Speaker) -> bool:
        """See `Value`."""
        return _may_hold(reading, self.shown) and self.shown in reading.addresses

    def equals(self, endorsed: str) -> bool:
        """See `Value`."""
        try:
            return addresses_in(endorsed) == (self.shown,)
        except Unreadable:
            return False


@dataclass(frozen=True)
class Host:
    """A host: named by itself, or in a URL or an address."""

    shown: str

    @property
    def marks(self) -> tuple[frozenset[Mark], ...]:
        """See `Value`."""
        return (token_keys_of_host(self.shown),)

    def stands_in(self, reading: TextReading, speaker: Speaker) -> bool:
        """See `Value`."""
        return _may_hold(reading, self.shown) and self.shown in reading.hosts

    def equals(self, endorsed: str) -> bool:
        """See `Value`."""
        try:
            return host(endorsed.strip()) == self.shown
        except Unreadable:
            return False


@dataclass(frozen=True)
class Url:
    """A URL: the same place, or one beneath a place that was named, without a query or fragment to carry anything."""

    shown: str
    place: Place

    @property
    def marks(self) -> tuple[frozenset[Mark], ...]:
        """See `Value`."""
        return (token_keys_of_host(self.place.host),)

    def stands_in(self, reading: TextReading, speaker: Speaker) -> bool:
        """See `Value`."""
        if not _may_hold(reading, self.place.host):
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
        except Unreadable:  # a step up that only some servers see
            return False


@dataclass(frozen=True)
class Amount:
    """Minor units: 120000 is in "120000", "1,200", "1 200.00" and "1.200,00"."""

    minor: int
    cues: frozenset[str]

    @property
    def shown(self) -> str:
        """See `Value`."""
        return str(self.minor)

    @property
    def marks(self) -> tuple[frozenset[Mark], ...]:
        """See `Value`."""
        return (frozenset((self.minor,)),)

    def stands_in(self, reading: TextReading, speaker: Speaker) -> bool:
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
        """See `Value`. In minor units, as it is shown: 1200 restates no 1,200.00."""
        return endorsed.strip() == self.shown

    def _is_plain_in(self, number: str) -> bool:
        """Whether a number means this by itself. "4711" may be an invoice: only a word or a sign makes it 4,711.00."""
        digits = re.sub(r"\D", "", number)
        return len(digits) >= SHORT and (bool(_CENTS.search(number)) or int(digits) == self.minor)


@dataclass(frozen=True)
class Words:
    """An account, a name, a statement: the same words in a row. A path: also not a part of a longer one.

    `exact`: it stands where its upper and lower case do too, since what is performed may tell them apart."""

    shown: str
    spellings: tuple[str, ...]  # plain, or not folded if exact
    cues: frozenset[str]
    is_path: bool = False
    exact: bool = False

    @property
    def marks(self) -> tuple[frozenset[Mark], ...]:
        """See `Value`."""
        return tuple(token_keys_of_name(spaced(name)) for name in self.spellings)

    def stands_in(self, reading: TextReading, speaker: Speaker) -> bool:
        """See `Value`."""
        text = reading.exact if self.exact else reading.plain
        return any(
            (speaker == "any" or self._says_what(text, at, at + len(name), speaker))
            and not (self.is_path and _goes_on(text, at, at + len(name)))
            for name in self.spellings
            for at in occurrences_of(text, name)
        )

    def equals(self, endorsed: str) -> bool:
        """See `Value`."""
        return (exactly(endorsed) if self.exact else spaced(endorsed)) in self.spellings

    def _says_what(self, text: str, start: int, end: int, speaker: Speaker) -> bool:
        """Whether it is more than a word that stands there by chance: "for general use" names no channel."""
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
_TAG = re.compile(r"#[^\W\d_]")  # a channel or a topic, which stands nowhere by chance


def _goes_on(text: str, start: int, end: int) -> bool:
    """Whether the path between is a part of a longer one."""
    before, after = text[start - 1 : start], text[end : end + 2]
    return before in set("-._@/+%&~\\:") or (after[:1] == "/" and after[1:] not in _PATH_ENDS)


_PATH_ENDS = frozenset(" ,;:\"'`)]}>") | {""}
_CURRENCY = re.compile(r"(?:[€$£¥]|(?<![^\W_])(?:eur|usd|gbp|chf|jpy))\s?$")
_CURRENCY_AFTER = re.compile(
    r"\s?(?:[€$£¥]|(?:eur|usd|gbp|chf|jpy|euros?|dollars?|pounds?|francs?|cents?|yen)(?![^\W_]))"
)


def _may_hold(reading: TextReading, name: str) -> bool:
    """Whether it is worth reading the names in a text. One that has another spelling may hide from `plain`."""
    return name in reading.plain or "xn--" in name or "[" in name
