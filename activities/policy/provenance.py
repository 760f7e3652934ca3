"""Where the values of a call came from. Pure: no clock, no I/O, no logging.

A value has the best origin among the passages that name it, as a whole token: a person's words, a trusted result, an
untrusted one; named in none, it is the model's invention. A trusted result is no witness for what the model itself
brought into it: an argument of the very call it answers, or a value that the model had written somewhere before.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

from activities.policy.labels import Label, labels_in
from activities.policy.names import Place, Unreadable, addresses_in, host, path_under, place_of
from activities.policy.tokens import Reading, cues_of, is_cued, links_in, readable_place, spaced, stands_at

Origin = Literal["user", "trusted", "untrusted", "model"]
ORDER: tuple[Origin, ...] = ("user", "trusted", "untrusted", "model")  # best to worst
SHORT = 4  # a value of fewer characters stands in every text by chance: it needs a word before it that says what it is
NAME_LENGTH = 80  # a longer string is prose, and anchors nothing


@dataclass(frozen=True)
class Passage:
    """One thing the model has read: a person's words or a tool's result. `arguments`: canonical JSON of what the call
    it answers was given. `suspect`: why its data may be wrong."""

    seq: int
    origin: Origin
    text: str
    arguments: str = ""
    suspect: str | None = None

    @cached_property
    def reading(self) -> Reading:
        """The text, read once for all calls of a run."""
        return Reading(self.text, escaped=self.origin != "user")

    @cached_property
    def echo(self) -> Reading:
        """What the model gave the call that this answers."""
        return Reading(self.arguments, escaped=True)

    @cached_property
    def labels(self) -> frozenset[Label]:
        """The secrets in it."""
        return labels_in(self.text)


@dataclass(frozen=True)
class Said:
    """Arguments (canonical JSON) that the model gave a call which was not a read: what it may read back later."""

    seq: int
    text: str

    @cached_property
    def reading(self) -> Reading:
        """The text, read once for all calls of a run."""
        return Reading(self.text, escaped=True)


@dataclass(frozen=True)
class Evidence:
    """What a run had read and written when a call was planned. `endorsed`: values that a person typed for this run.
    `tainted_by`: untrusted data from before its first step. `private`: it has read what must not leave the house."""

    passages: tuple[Passage, ...]
    said: tuple[Said, ...] = ()
    endorsed: tuple[str, ...] = ()
    tainted_by: str | None = None
    private: bool = False

    @property
    def tainted(self) -> bool:
        """Whether it has read anything untrusted."""
        return self.tainted_by is not None or bool(self.of["untrusted"])

    @property
    def suspect(self) -> str | None:
        """The first reason to doubt something it has read."""
        return next((passage.suspect for passage in self.passages if passage.suspect), None)

    @property
    def sensitive(self) -> bool:
        """Whether it has read private data, or a labelled secret that no person gave it."""
        return self.private or any(passage.labels for passage in self.passages if passage.origin != "user")

    @cached_property
    def of(self) -> Mapping[Origin, Sequence[Passage]]:
        """The passages of each origin, newest first."""
        found: dict[Origin, list[Passage]] = {origin: [] for origin in ORDER}
        for passage in reversed(self.passages):
            found[passage.origin].append(passage)
        return found


@dataclass(frozen=True)
class Traced:
    """A value of a call and where it came from. `kind`: as its argument was declared, or "link" for one in a text."""

    argument: str
    kind: str
    value: str
    origin: Origin


def trace(arguments: Mapping[str, Any], kinds: Mapping[str, str], evidence: Evidence) -> tuple[Traced, ...]:
    """The origin of every value of a sensitive argument, and of every link in any other."""
    found: dict[tuple[str, str, Value], None] = {}
    for argument, given in arguments.items():
        kind = kinds.get(argument, "link")
        for name, leaf in _leaves(given, argument, keys=True):
            values = _values(kind, leaf, (argument, name)) if argument in kinds else _links(leaf)
            found.update(dict.fromkeys((argument, kind, value) for value in values))
    return tuple(Traced(argument, kind, v.shown, _origin(v, evidence)) for argument, kind, v in found)


def anchored(arguments: Mapping[str, Any], evidence: Evidence) -> bool:
    """Whether the user or trusted data named at least one thing that the call is about.

    What counts is a whole number, or a string that names something: a digit, an "@", a slash, a dot or a hyphen within
    it, or several words with a capital among them or at least three. "high", "Open", "in progress" and true are
    choices from a list: they stand in many texts and name nothing.
    """
    leaves = (
        (argument, name, leaf)
        for argument, given in arguments.items()
        for name, leaf in _leaves(given, argument, keys=False)
    )
    things = (_thing(leaf, (argument, name)) for argument, name, leaf in leaves)
    return any(thing is not None and _origin(thing, evidence) in ("user", "trusted") for thing in things)


def worst(traced: Sequence[Traced]) -> Origin:
    """The worst origin of all; "user" if nothing was traced."""
    return max((item.origin for item in traced), key=ORDER.index, default="user")


def by_argument(traced: Sequence[Traced]) -> dict[str, Origin]:
    """Argument -> the worst origin of what it holds."""
    names = dict.fromkeys(item.argument for item in traced)
    return {name: worst([item for item in traced if item.argument == name]) for name in names}


def _origin(value: "Value", evidence: Evidence) -> Origin:
    """User passages first: they are few, and most values of honest calls are in them."""
    if any(value.equals(endorsed) for endorsed in evidence.endorsed):
        return "user"
    if any(value.stands_in(passage.reading, "user") for passage in evidence.of["user"]):
        return "user"
    if _is_trusted(value, evidence):
        return "trusted"
    if any(value.stands_in(passage.reading, "any") for passage in evidence.of["untrusted"]):
        return "untrusted"
    return "model"


def _is_trusted(value: "Value", evidence: Evidence) -> bool:
    naming = (passage for passage in evidence.of["trusted"] if value.stands_in(passage.reading, "trusted"))
    first_said: int | None = None
    for passage in naming:
        if value.stands_in(passage.echo, "any"):
            continue
        if first_said is None:
            seqs = (said.seq for said in evidence.said if value.stands_in(said.reading, "any"))
            first_said = min(seqs, default=passage.seq)
        if passage.seq <= first_said:
            return True
    return False


# ── values: how each kind is recognised in a text ───────────────────────────────────────────────────────────────────

# Who speaks. What a person calls by a bare host is meant as https://; a short value counts from people and trusted data
# by its cue only. "any": to find out where the model has it from, every mention counts.
Speaker = Literal["user", "trusted", "any"]


class Value(Protocol):
    """A value in its canonical form."""

    @property
    def shown(self) -> str:
        """What a person would have to type to endorse it."""

    def stands_in(self, reading: Reading, speaker: Speaker) -> bool:
        """Whether a text names it."""

    def equals(self, endorsed: str) -> bool:
        """Whether a person typed this very value."""


@dataclass(frozen=True)
class _Invented:
    """A value that can be read in more than one way, or in none. Nobody can have meant it."""

    shown: str

    def stands_in(self, reading: Reading, speaker: Speaker) -> bool:
        return False

    def equals(self, endorsed: str) -> bool:
        return False


@dataclass(frozen=True)
class _Address:
    shown: str

    def stands_in(self, reading: Reading, speaker: Speaker) -> bool:
        return _may_hold(reading, self.shown) and self.shown in reading.addresses

    def equals(self, endorsed: str) -> bool:
        try:
            return addresses_in(endorsed) == (self.shown,)
        except Unreadable:
            return False


@dataclass(frozen=True)
class _Host:
    shown: str

    def stands_in(self, reading: Reading, speaker: Speaker) -> bool:
        return _may_hold(reading, self.shown) and self.shown in reading.hosts

    def equals(self, endorsed: str) -> bool:
        try:
            return host(endorsed.strip()) == self.shown
        except Unreadable:
            return False


@dataclass(frozen=True)
class _Site:
    """A URL: the same place, or one beneath a place that was named, without a query or fragment to carry anything."""

    shown: str
    place: Place

    def stands_in(self, reading: Reading, speaker: Speaker) -> bool:
        if not _may_hold(reading, self.place.host):
            return False
        if self.place in reading.places or self.place in reading.bare:
            return True
        roots = reading.places if speaker == "trusted" else reading.places | reading.bare
        return any(self._is_beneath(root) for root in roots)

    def equals(self, endorsed: str) -> bool:
        typed = endorsed.strip()
        return readable_place(typed if "://" in typed else f"https://{typed}") == self.place

    def _is_beneath(self, root: Place) -> bool:
        place = self.place
        same_origin = (place.scheme, place.host, place.port) == (root.scheme, root.host, root.port)
        bare = not (place.query or place.fragment or root.query or root.fragment)
        return same_origin and bare and place.path.startswith(root.path.rstrip("/") + "/")


@dataclass(frozen=True)
class _Amount:
    """Minor units: 120000 is in "120000", "1,200", "1 200.00" and "1.200,00"."""

    minor: int
    cues: frozenset[str]

    @property
    def shown(self) -> str:
        return str(self.minor)

    def stands_in(self, reading: Reading, speaker: Speaker) -> bool:
        return any(
            speaker == "any"
            or sum(map(str.isdigit, reading.plain[start:end])) >= SHORT
            or _CURRENCY.search(reading.plain[max(0, start - 5) : start])
            or _CURRENCY_AFTER.match(reading.plain[end : end + 8])
            or is_cued(reading.plain, start, self.cues)
            for start, end in reading.numbers.get(self.minor, ())
        )

    def equals(self, endorsed: str) -> bool:
        typed = Reading(endorsed)
        return (0, len(typed.plain)) in typed.numbers.get(self.minor, ())


@dataclass(frozen=True)
class _Words:
    """An account, a name, a statement: the same words in a row. A path: also not a part of a longer one."""

    shown: str
    spellings: tuple[str, ...]  # plain
    cues: frozenset[str]
    is_path: bool = False

    def stands_in(self, reading: Reading, speaker: Speaker) -> bool:
        return any(
            (speaker == "any" or len(name) >= SHORT or is_cued(reading.plain, at, self.cues))
            and not (self.is_path and _goes_on(reading.plain, at, at + len(name)))
            for name in self.spellings
            for at in stands_at(reading.plain, name)
        )

    def equals(self, endorsed: str) -> bool:
        return spaced(endorsed) in self.spellings


def _goes_on(text: str, start: int, end: int) -> bool:
    """Whether the path between is a part of a longer one."""
    before, after = text[start - 1 : start], text[end : end + 2]
    return before in set("-._@/+%&~\\:") or (after[:1] == "/" and after[1:] not in _PATH_ENDS)


_PATH_ENDS = frozenset(" ,;:\"'`)]}>") | {""}
_CURRENCY = re.compile(r"(?:[€$£¥]|(?<![^\W_])(?:eur|usd|gbp|chf|jpy))\s?$")
_CURRENCY_AFTER = re.compile(
    r"\s?(?:[€$£¥]|(?:eur|usd|gbp|chf|jpy|euros?|dollars?|pounds?|francs?|cents?|yen)(?![^\W_]))"
)


def _may_hold(reading: Reading, name: str) -> bool:
    """Whether it is worth reading the names in a text. One that has another spelling may hide from `plain`."""
    return name in reading.plain or "xn--" in name or "[" in name


# ── from arguments to values ────────────────────────────────────────────────────────────────────────────────────────


def _leaves(given: Any, name: str, *, keys: bool) -> Iterator[tuple[str, Any]]:
    """Every scalar in an argument, with the name it stands under, and the keys themselves if asked for."""
    if isinstance(given, Mapping):
        for key, item in given.items():
            if keys:
                yield name, key
            yield from _leaves(item, str(key), keys=keys)
    elif isinstance(given, list | tuple | set | frozenset):
        for item in given:
            yield from _leaves(item, name, keys=keys)
    elif given is not None:
        yield name, given


def _values(kind: str, leaf: Any, names: tuple[str, ...]) -> tuple[Value, ...]:
    if kind == "recipient" and leaf == "":
        return ()  # nobody gets anything
    try:
        return _readable(kind, leaf, names)
    except Unreadable:
        return (_Invented(str(leaf)),)


def _readable(kind: str, leaf: Any, names: tuple[str, ...]) -> tuple[Value, ...]:
    """Raises Unreadable."""
    if isinstance(leaf, bool) or not isinstance(leaf, str | int):
        raise Unreadable("neither text nor a whole number")
    cues = cues_of((*names, kind))
    if kind == "amount":
        return (_amount(leaf, cues),)
    text = str(leaf)
    match kind:
        case "recipient":
            return tuple(map(_Address, addresses_in(text)))
        case "host":
            return (_Host(host(text)),)
        case "url":
            return (_Site(text, place_of(text)),)
        case "path":
            path_under(text, "/")  # raises for what only looks like a path
            return (_Words(text, (spaced(_normal(text)),), cues, is_path=True),)
        case _:
            return (_words(text, cues),)


def _words(text: str, cues: frozenset[str] = frozenset()) -> Value:
    plain = spaced(text)
    iban = re.sub(r"[ -]", "", plain)
    if _IBAN.fullmatch(iban):  # people write it in groups of four
        return _Words(text, (iban, " ".join(re.findall(".{1,4}", iban))), cues)
    return _Words(text, (plain,), cues) if plain else _Invented(text)


_IBAN = re.compile(r"[a-z]{2}[0-9]{2}[a-z0-9]{11,30}")


def _amount(leaf: str | int, cues: frozenset[str]) -> Value:
    if isinstance(leaf, str) and not (leaf.isascii() and leaf.isdigit() and len(leaf) < 20):
        raise Unreadable("not a whole number of minor units")
    if int(leaf) < 0:
        raise Unreadable("a negative amount")
    return _Amount(int(leaf), cues)


def _normal(path: str) -> str:
    """A path without needless steps. A step up from where a relative path starts is kept."""
    steps: list[str] = []
    for step in path.split("/"):
        if step == ".." and steps and steps[-1] != "..":
            steps.pop()
        elif step not in ("", ".") and not (step == ".." and path.startswith("/")):
            steps.append(step)
    return "/" * path.startswith("/") + "/".join(steps)


def _links(leaf: Any) -> Iterator[Value]:
    for link in links_in(leaf) if isinstance(leaf, str) else ():
        yield _link(link)


def _link(link: str) -> Value:
    if place := readable_place(link if "://" in link else f"https://{link}"):
        return _Site(link, place)
    try:
        return _Address(addresses_in(link)[0])
    except Unreadable:
        return _words(link)


def _thing(leaf: Any, names: tuple[str, ...]) -> Value | None:
    """A scalar as something that can be named; None if it is a mere choice, or prose."""
    if isinstance(leaf, bool) or not isinstance(leaf, str | int):
        return None
    text = str(leaf).strip()
    if isinstance(leaf, str) and (len(text) > NAME_LENGTH or not _names_something(text)):
        return None
    return _link(text) if "://" in text or "@" in text else _words(text, cues_of(names))


_JOINED = re.compile(r"[^\W_][@/._-][^\W_]|^[/@]")
# Choices of several words, as forms and boards offer them.
_CHOICES = frozenset(
    "in progress|on hold|not started|to do|wont fix|won't fix|high priority|low priority|medium priority|very high"
    "|very low|n/a|and/or|yes/no|read only|read write|opt in|opt out|up to date|not applicable|as soon as possible"
    "|follow up|sign in|log in|out of office|work in progress|needs review|in review|not set".split("|")
)


def _names_something(text: str) -> bool:
    if re.sub(r"[_-]", " ", spaced(text)) in _CHOICES:
        return False
    words = text.split()
    several = len(words) >= 3 or (len(words) == 2 and any(word[:1].isupper() for word in words))
    return several or any(c.isdigit() for c in text) or bool(_JOINED.search(text))
