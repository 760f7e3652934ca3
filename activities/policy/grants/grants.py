"""Grants: what an agent's YAML allows a tool to do, as constraints per argument. Pure: no clock, no I/O.

An argument without a constraint may have any value.
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    ValidationError,
    WithJsonSchema,
    model_serializer,
)

from activities.policy.grants.constraints import Argument, Constraint, Violation, find_violation, is_bounded
from activities.storage.canonical import sha256_hex

PER_DAY = "per_day"  # the only key of a grant that is not the name of an argument


class Grant(BaseModel):
    """An alternative in which a tool may be used: a constraint for each argument that is not free."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arguments: dict[str, Constraint] = {}
    per_day: StrictInt | None = Field(default=None, ge=1, description="Maximum number of calls per UTC day and tenant")

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        """The form used in YAML, so that a dump can be parsed again."""
        written: dict[str, Any] = {} if self.per_day is None else {PER_DAY: self.per_day}
        return written | {
            name: constraint.model_dump(mode="json", exclude_defaults=True)
            for name, constraint in self.arguments.items()
        }


Grants = dict[str, tuple[Grant, ...]]


@dataclass(frozen=True)
class GrantMatch:
    """A call fits a grant of its tool.

    `fitting`: all alternatives that the call fits. `grant`, `index`: the one with the highest cap per day, the first of
    equals. `bounded`: the arguments that `grant` limits so much that all values that fit are equally acceptable (see
    `similar_calls_digest`).
    """

    index: int
    grant: Grant
    fitting: tuple[Grant, ...]
    bounded: frozenset[str] = frozenset()


# ── reading YAML ─────────────────────────────────────────────────────────────────────────────────────────────────────


def parse_grants(raw: Any) -> Grants:
    """Parse grants from YAML data; Grant objects are kept. Raises ValueError with every problem and its place."""
    if not isinstance(raw, Mapping):
        raise ValueError("grants is a mapping from each tool to what it may be used for")
    problems: list[str] = []
    grants: Grants = {}
    for tool, written in raw.items():
        alternatives = written if isinstance(written, list | tuple) else [written]
        if not alternatives:
            problems.append(f"{tool}: an empty list grants nothing; write {{}} to grant it without constraints")
        places = [f"{tool}.{index}" if len(alternatives) > 1 else str(tool) for index in range(len(alternatives))]
        grants[str(tool)] = tuple(_parse_grant(*each, problems) for each in zip(places, alternatives, strict=True))
    if problems:
        raise ValueError("; ".join(problems))
    return grants


def _parse_grant(where: str, written: Any, problems: list[str]) -> Grant:
    if isinstance(written, Grant):
        return written
    if not isinstance(written, Mapping):
        problems.append(f"{where}: a mapping is expected; write {{}} to grant it without constraints")
        return Grant()
    arguments: dict[str, Constraint] = {}
    for name, constraint in written.items():
        if name == PER_DAY:
            continue
        try:
            arguments[str(name)] = Constraint.model_validate(constraint)
        except ValidationError as error:
            problems.extend(_problem(f"{where}.{name}", str(name), item) for item in error.errors())
    try:
        return Grant(arguments=arguments, per_day=written.get(PER_DAY))
    except ValidationError as error:
        problems.extend(f"{where}.{PER_DAY}: {item['msg']}" for item in error.errors())
        return Grant()


def _problem(where: str, name: str, item: Any) -> str:
    if item["type"] == "model_type":
        return f"{where}: {_hint_for_misplaced(name)}"
    inside = ".".join([where, *(str(part) for part in item["loc"])])
    if item["type"] != "extra_forbidden":
        return f"{inside}: {item['msg'].removeprefix('Value error, ')}"
    close = difflib.get_close_matches(str(item["loc"][-1]), Constraint.model_fields, n=1)
    return f"{inside}: unknown key; " + (
        f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(Constraint.model_fields)}"
    )


def _hint_for_misplaced(name: str) -> str:
    if name in Constraint.model_fields:
        return "a constraint belongs under the name of an argument, such as to: {domains: [acme.example]}"
    if difflib.get_close_matches(name, [PER_DAY], n=1):
        return f"did you mean {PER_DAY!r}?"
    return "the constraints of an argument are a mapping, such as {max_length: 200}"


def _schema() -> dict[str, Any]:
    """JSON Schema of grants in YAML, for editors."""
    grant = {
        "type": "object",
        "properties": {PER_DAY: {"type": "integer", "minimum": 1}},
        "additionalProperties": Constraint.model_json_schema(),
    }
    alternatives = {"anyOf": [grant, {"type": "array", "items": grant, "minItems": 1}]}
    return {"type": "object", "additionalProperties": alternatives}


GrantsField = Annotated[Grants, BeforeValidator(parse_grants), WithJsonSchema(_schema())]


# ── matching calls ───────────────────────────────────────────────────────────────────────────────────────────────────


def match_grants(
    grants: Sequence[Grant], arguments: Mapping[str, Any], kinds: Mapping[str, str], origins: Mapping[str, str]
) -> GrantMatch | Violation:
    """The alternative that a call with these arguments fits, or the violation of the closest one.

    `kinds`: the kinds of the tool's sensitive arguments. `origins`: the worst origin of each argument, if it is known.
    Never raises: a failed check is the Violation `grant.unreadable`.
    """
    closest: list[Violation] = []
    fitting: dict[int, Grant] = {}
    for index, grant in enumerate(grants):
        given = (
            (Argument(name, arguments.get(name), kinds.get(name), origins.get(name)), constraint)
            for name, constraint in grant.arguments.items()
        )
        violations = [violation for each in given if (violation := find_violation(*each))]
        if not violations:
            fitting[index] = grant
        elif not closest or len(violations) < len(closest):
            closest = violations
    if fitting:
        index = max(fitting, key=lambda each: (fitting[each].per_day or math.inf, -each))
        constraints = fitting[index].arguments
        bounded = frozenset(name for name in constraints if is_bounded(constraints[name], kinds.get(name)))
        return GrantMatch(index, fitting[index], tuple(fitting.values()), bounded)
    return closest[0] if closest else Violation("grant.none", "there is no grant for it")


def similar_calls_digest(
    tool: str,
    pinned_hash: str,
    grant_index: int,
    arguments: Mapping[str, Any],
    kinds: Mapping[str, str],
    constrained: frozenset[str],
) -> str:
    """A digest that is equal for calls that a standing approval may cover together.

    It covers the tool, the grant, the names of all arguments, and the exact values of the sensitive arguments that are
    not in `constrained` (`GrantMatch.bounded`). So if a grant limits only the origin of an account, the approval covers
    only the account that was approved.
    """
    exact = {name: arguments[name] for name in kinds if name in arguments and name not in constrained}
    return sha256_hex([tool, pinned_hash, grant_index, exact, sorted(arguments)])
