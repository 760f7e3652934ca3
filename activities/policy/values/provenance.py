"""Where the values of a call came from. Pure: no clock, no I/O, no logging.

A value has the best origin among the passages that name it, as a whole token: a person's words, a trusted result, an
untrusted one; named in none, it is the model's invention. A trusted result is no witness for what the model itself
brought into it: an argument of the very call it answers, or a value that the model had written somewhere before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from activities.policy.data_checks.secret_labels import secret_labels_in
from activities.policy.values.argument_values import links_of, nameable_value, scalars_in, values_of
from activities.policy.values.json_escapes import as_shown, in_all_readings
from activities.policy.values.text_index import TextIndex, TextIndexView
from activities.policy.values.text_reading import TextReading
from activities.policy.values.values import Value
from activities.storage.canonical import canonical_json

Origin = Literal["user", "trusted", "untrusted", "model"]
ORDER: tuple[Origin, ...] = ("user", "trusted", "untrusted", "model")  # best to worst


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
    def reading(self) -> TextReading:
        """The text, read once for all calls of a run: for what it may be a witness of, in one way only."""
        if self.origin == "untrusted":
            return TextReading(in_all_readings(self.text))
        return TextReading(as_shown(self.text) if self.origin == "trusted" else self.text)

    @cached_property
    def echo(self) -> TextReading:
        """What the model gave the call that this answers, in all ways in which the answer may be read."""
        return TextReading(in_all_readings(self.arguments))

    @property
    def traits(self) -> tuple[str, ...]:
        """Its origin; "suspect"."""
        return (self.origin, *(("suspect",) if self.suspect else ()))

    @property
    def labelled(self) -> bool:
        """Whether there is a secret in it that no person gave."""
        return self.origin != "user" and bool(secret_labels_in(self.text))


@dataclass(frozen=True)
class ModelArguments:
    """Arguments (canonical JSON) that the model gave a call which was not a read: what it may read back later."""

    seq: int
    text: str
    traits: tuple[str, ...] = ()
    labelled: bool = False

    @cached_property
    def reading(self) -> TextReading:
        """The text, read once for all calls of a run, in all ways in which it may be read back."""
        return TextReading(in_all_readings(self.text))


@dataclass(frozen=True)
class RecordedArgument:
    """An argument that no model wrote: our own record of an earlier call has this very value."""

    value: Any
    origin: Origin


@dataclass(frozen=True)
class Evidence:
    """What a run had read and written when a call was planned. `endorsed`: values that a person typed for this run.
    `tainted_by`: untrusted data from before its first step. `private`: it has read what must not leave the house.
    `on_record`: arguments of this very call that stand in our own record.

    Of a view of a shelf, texts that were read for an earlier call of the run are not read again."""

    passages: Sequence[Passage]
    said: Sequence[ModelArguments] = ()
    endorsed: tuple[str, ...] = ()
    tainted_by: str | None = None
    private: bool = False
    on_record: Mapping[str, RecordedArgument] = field(default_factory=dict)

    @property
    def tainted(self) -> bool:
        """Whether it has read anything untrusted."""
        return self.tainted_by is not None or self.read.first("untrusted") is not None

    @property
    def suspect(self) -> str | None:
        """The first reason to doubt something it has read."""
        doubtful = self.read.first("suspect")
        return doubtful.suspect if doubtful else None

    @property
    def sensitive(self) -> bool:
        """Whether it has read private data, or a labelled secret that no person gave it."""
        return self.private or self.read.labelled

    @cached_property
    def read(self) -> TextIndexView[Passage]:
        """The passages, on their shelf."""
        return self.passages if isinstance(self.passages, TextIndexView) else TextIndex(self.passages).all

    @cached_property
    def written(self) -> TextIndexView[ModelArguments]:
        """What the model said, on its shelf."""
        return self.said if isinstance(self.said, TextIndexView) else TextIndex(self.said).all


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
        for name, leaf in scalars_in(given, argument, keys=True):
            values = values_of(kind, leaf, (argument, name)) if argument in kinds else links_of(leaf)
            found.update(dict.fromkeys((argument, kind, value) for value in values))
    return tuple(
        Traced(argument, kind, v.shown, _on_record(argument, arguments[argument], evidence) or _origin(v, evidence))
        for argument, kind, v in found
    )


def has_anchor(arguments: Mapping[str, Any], evidence: Evidence) -> bool:
    """Whether the user or trusted data named at least one thing that the call is about.

    What counts is a whole number, or a string that names something: a digit, an "@", a slash, a dot or a hyphen within
    it, or several words with a capital among them or at least three. "high", "Open", "in progress" and true are
    choices from a list: they stand in many texts and name nothing.
    """
    if any(_on_record(name, value, evidence) == "trusted" for name, value in arguments.items()):
        return True
    given = (
        nameable_value(leaf, (argument, name))
        for argument, value in arguments.items()
        for name, leaf in scalars_in(value, argument, keys=False)
    )
    return any(named is not None and _origin(named, evidence) in ("user", "trusted") for named in given)


def worst_origin(traced: Sequence[Traced]) -> Origin:
    """The worst origin of all; "user" if nothing was traced."""
    return max((item.origin for item in traced), key=ORDER.index, default="user")


def worst_origin_by_argument(traced: Sequence[Traced]) -> dict[str, Origin]:
    """Argument -> the worst origin of what it holds."""
    names = dict.fromkeys(item.argument for item in traced)
    return {name: worst_origin([item for item in traced if item.argument == name]) for name in names}


def _on_record(argument: str, given: Any, evidence: Evidence) -> Origin | None:
    """The origin of an argument that is, to the last byte, what our record says; None for any other."""
    known = evidence.on_record.get(argument)
    return known.origin if known and canonical_json(known.value) == canonical_json(given) else None


def _origin(value: Value, evidence: Evidence) -> Origin:
    """User passages first: they are few, and most values of honest calls are in them."""
    if any(value.equals(endorsed) for endorsed in evidence.endorsed):
        return "user"
    read, marked = evidence.read, evidence.read.marked(value)
    if any(value.stands_in(passage.reading, "user") for passage in read.candidates(marked, "user")):
        return "user"
    if _is_trusted(value, marked, evidence):
        return "trusted"
    if any(value.stands_in(passage.reading, "any") for passage in read.candidates(marked, "untrusted")):
        return "untrusted"
    return "model"


def _is_trusted(value: Value, marked: int, evidence: Evidence) -> bool:
    first_said: int | None = None
    echoed: dict[str, bool] = {}  # by what a call was given: the same call may have been made a thousand times
    for passage in evidence.read.candidates(marked, "trusted"):
        if passage.arguments not in echoed:
            echoed[passage.arguments] = value.stands_in(passage.echo, "any")
        if echoed[passage.arguments] or not value.stands_in(passage.reading, "trusted"):
            continue
        if first_said is None:
            saying = evidence.written.candidates(evidence.written.marked(value))
            first_said = min((said.seq for said in saying if value.stands_in(said.reading, "any")), default=passage.seq)
        if passage.seq <= first_said:
            return True
    return False
