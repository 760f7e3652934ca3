"""Traces the origin of the values of a call. Pure: no clock, no I/O, no logging.

The origin of a value is the best one among the passages that name it as a whole token: a person's words, a trusted
result, or an untrusted result. A value that no passage names was invented by the model. A trusted result does not count
if the model itself may have brought the value into it: as an argument of that call, or by writing it somewhere before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from activities.policy.data_checks.secret_labels import secret_labels_in
from activities.policy.values.argument_values import links_of, nameable_value, scalars_in, values_of
from activities.policy.values.json_escapes import in_all_readings, unescape_json
from activities.policy.values.text_index import TextIndex, TextIndexView
from activities.policy.values.text_reading import TextReading
from activities.policy.values.values import Value
from activities.storage.canonical import canonical_json

Origin = Literal["user", "trusted", "untrusted", "model"]
ORDER: tuple[Origin, ...] = ("user", "trusted", "untrusted", "model")  # best to worst


@dataclass(frozen=True)
class Passage:
    """A text that the model has read: a person's words or a tool's result.

    `arguments`: the arguments of the call that returned it, as canonical JSON. `suspect`: why its data may be wrong.
    """

    seq: int
    origin: Origin
    text: str
    arguments: str = ""
    suspect: str | None = None

    @cached_property
    def reading(self) -> TextReading:
        """The text, parsed once for all calls of a run.

        An untrusted text is read with and without escapes. A text that can anchor values is read in one way only.
        """
        if self.origin == "untrusted":
            return TextReading(in_all_readings(self.text))
        return TextReading(unescape_json(self.text) if self.origin == "trusted" else self.text)

    @cached_property
    def echo(self) -> TextReading:
        """The arguments of the call that returned it, with and without escapes; the result may repeat them."""
        return TextReading(in_all_readings(self.arguments))

    @property
    def traits(self) -> tuple[str, ...]:
        """Its origin, and "suspect" if it is."""
        return (self.origin, *(("suspect",) if self.suspect else ()))

    @property
    def has_secret(self) -> bool:
        """Whether it contains a secret, unless a person wrote it."""
        return self.origin != "user" and bool(secret_labels_in(self.text))


@dataclass(frozen=True)
class ModelArguments:
    """Arguments, as canonical JSON, of a call with an effect: the model may read them back in a later result."""

    seq: int
    text: str
    traits: tuple[str, ...] = ()
    has_secret: bool = False

    @cached_property
    def reading(self) -> TextReading:
        """The arguments, parsed once for all calls of a run, with and without escapes."""
        return TextReading(in_all_readings(self.text))


@dataclass(frozen=True)
class RecordedArgument:
    """A value of an argument that comes from our record of an earlier call, not from a model."""

    value: Any
    origin: Origin


@dataclass(frozen=True)
class Evidence:
    """What a run had read and written when a call was planned.

    `model_arguments`: what the model has written. `endorsed`: values that a person typed for this run. `tainted_by`:
    untrusted data that the run was given before its first step. `private`: the run has read private data. `on_record`:
    arguments of this call that come from our own record. If `passages` and `model_arguments` are views of a TextIndex,
    their texts are parsed only once for all calls of the run.
    """

    passages: Sequence[Passage]
    model_arguments: Sequence[ModelArguments] = ()
    endorsed: tuple[str, ...] = ()
    tainted_by: str | None = None
    private: bool = False
    on_record: Mapping[str, RecordedArgument] = field(default_factory=dict)

    @property
    def tainted(self) -> bool:
        """Whether the run has read untrusted data."""
        return self.tainted_by is not None or self.read.first("untrusted") is not None

    @property
    def suspect(self) -> str | None:
        """Why the first suspect passage is suspect; None if there is none."""
        doubtful = self.read.first("suspect")
        return doubtful.suspect if doubtful else None

    @property
    def sensitive(self) -> bool:
        """Whether the run has read private data, or a secret that no person wrote."""
        return self.private or self.read.has_secret

    @cached_property
    def read(self) -> TextIndexView[Passage]:
        """The passages as a view of their index."""
        return self.passages if isinstance(self.passages, TextIndexView) else TextIndex(self.passages).all

    @cached_property
    def written(self) -> TextIndexView[ModelArguments]:
        """The arguments that the model has written, as a view of their index."""
        return (
            self.model_arguments
            if isinstance(self.model_arguments, TextIndexView)
            else TextIndex(self.model_arguments).all
        )


@dataclass(frozen=True)
class Traced:
    """A value of a call and its origin. `kind`: the declared kind of its argument, or "link" for a link in a text."""

    argument: str
    kind: str
    value: str
    origin: Origin


def trace(arguments: Mapping[str, Any], kinds: Mapping[str, str], evidence: Evidence) -> tuple[Traced, ...]:
    """The origin of every value in the sensitive arguments, and of every link in the others."""
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
    """Whether people or trusted data named at least one value of the call.

    Whole numbers count, and strings that name something. A string names something if it contains a digit, or an "@",
    slash, dot or hyphen within a word, or at least three words, or two with a capital. Choices from a list, such as
    "high", "Open", "in progress" or true, do not count, because they are in many texts by chance.
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
    """The worst of the origins; "user" if nothing was traced."""
    return max((item.origin for item in traced), key=ORDER.index, default="user")


def worst_origin_by_argument(traced: Sequence[Traced]) -> dict[str, Origin]:
    """Argument -> the worst origin of its values."""
    names = dict.fromkeys(item.argument for item in traced)
    return {name: worst_origin([item for item in traced if item.argument == name]) for name in names}


def _on_record(argument: str, given: Any, evidence: Evidence) -> Origin | None:
    """The origin of an argument that equals our record exactly; None for any other."""
    known = evidence.on_record.get(argument)
    return known.origin if known and canonical_json(known.value) == canonical_json(given) else None


def _origin(value: Value, evidence: Evidence) -> Origin:
    """The best origin of a value; looks into the user's passages first, which are few and name most honest values."""
    if any(value.equals(endorsed) for endorsed in evidence.endorsed):
        return "user"
    read, matching = evidence.read, evidence.read.matching(value)
    if any(value.is_named_in(passage.reading, "user") for passage in read.candidates(matching, "user")):
        return "user"
    if _is_trusted(value, matching, evidence):
        return "trusted"
    if any(value.is_named_in(passage.reading, "any") for passage in read.candidates(matching, "untrusted")):
        return "untrusted"
    return "model"


def _is_trusted(value: Value, matching: int, evidence: Evidence) -> bool:
    """Whether a trusted result names the value that the model itself did not bring into it."""
    first_written: int | None = None
    echoed: dict[str, bool] = {}  # arguments -> whether they name the value; a call may have been made many times
    for passage in evidence.read.candidates(matching, "trusted"):
        if passage.arguments not in echoed:
            echoed[passage.arguments] = value.is_named_in(passage.echo, "any")
        if echoed[passage.arguments] or not value.is_named_in(passage.reading, "trusted"):
            continue
        if first_written is None:
            writings = evidence.written.candidates(evidence.written.matching(value))
            naming = (each.seq for each in writings if value.is_named_in(each.reading, "any"))
            first_written = min(naming, default=passage.seq)
        if passage.seq <= first_written:
            return True
    return False
