"""Graduation: which classes of calls people always said yes to, and the grant that would fit exactly these.

Pure: no clock, no I/O, no logging. A class is what "like this" means when an approval is given (`grants.class_of`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb
from typing import Any

from activities.agents.definition import AgentDefinition, ApprovalRules
from activities.errors import Permanent
from activities.policy.engine.evaluation import acts_outside
from activities.policy.grants.constraints import Constraint
from activities.policy.grants.grants import Grant, Grants
from activities.storage.canonical import canonical_json
from activities.tools.spec import ToolSpec

CONFIDENCE = 0.95
FAST_SECONDS = 3.0  # faster than anyone reads
LONGEST_CHOICE = 200  # characters: a longer text that was always the same is a text, not a choice
MUST_BE_ABSENT = Constraint(max_items=0, optional=True)  # neither a text nor a list with anything in it fits


class NotProposable(Permanent):
    """No grant says exactly this."""


@dataclass(frozen=True)
class RecordedDecision:
    """One person's, agent's or code's decision about an approval; `seconds` after it was asked."""

    by: str
    verdict: str
    proof: str
    seconds: float


@dataclass(frozen=True)
class ClosedApproval:
    """An approval that is closed. `edited`: it shows arguments that someone put in place of the model's."""

    approval_id: str
    run_id: str
    call_id: str
    tool: str
    tier: str | None
    like: str | None
    state: str
    edited: bool
    needed: int
    closed_at: str
    decided: tuple[RecordedDecision, ...]


@dataclass
class ApprovedClass:
    """A class of calls: what people said yes to since the last time that anyone did not."""

    like: str
    tool: str
    approved: list[ClosedApproval] = field(default_factory=list)
    yes: int = 0  # ever
    not_yes: int = 0  # ever: refused, edited, answered, or left until it was over
    never: str | None = None  # why this class is never proposed, however often it was approved

    @property
    def calls(self) -> set[str]:
        """The calls of the streak, as `run_id call_id`."""
        return {f"{asked.run_id} {asked.call_id}" for asked in self.approved}

    def summary(self) -> dict[str, Any]:
        """The figures, as they are shown and kept."""
        decided = [each for asked in self.approved for each in asked.decided]
        return {
            "tool": self.tool,
            "class": self.like,
            "in_a_row": len(self.approved),
            "approved_ever": self.yes,
            "not_approved_ever": self.not_yes,
            "refusal_bound": round(refusal_bound(len(self.approved)), 4),
            "refusal_bound_ever": round(refusal_bound(self.yes + self.not_yes, self.not_yes), 4),
            "approvers": sorted({each.by for each in decided}),
            "unsigned": sum(each.proof == "unsigned" for each in decided),
            "faster_than_3s": sum(each.seconds < FAST_SECONDS for each in decided),
            "since": self.approved[0].closed_at if self.approved else None,
            "until": self.approved[-1].closed_at if self.approved else None,
        }


def refusal_bound(asked: int, refused: int = 0) -> float:
    """The rate of a no that is not exceeded with 95 % confidence: the one-sided bound of Clopper and Pearson, 1934.

    With no refusal at all it is 1 - 0.05^(1/n), about 3/n.
    """
    if asked <= refused:
        return 1.0
    if refused == 0:
        return 1.0 - float((1.0 - CONFIDENCE) ** (1.0 / asked))
    low, high = refused / asked, 1.0
    for _ in range(50):  # halvings: far below what is shown
        middle = (low + high) / 2
        seldom = sum(comb(asked, k) * pow(middle, k) * pow(1 - middle, asked - k) for k in range(refused + 1))
        low, high = (low, middle) if seldom < 1.0 - CONFIDENCE else (middle, high)
    return float(high)


def approved_classes(asked: Iterable[ClosedApproval], *, unsigned_count: bool) -> list[ApprovedClass]:
    """Every class with its streak, from approvals in the order in which they were closed.

    A yes of people counts. Anything else but a yes ends the streak: a no, an edit, an answer, silence. A yes that no
    person gave (a standing approval, an agent, a code), or that is not signed where it has to be, does neither.
    """
    found: dict[str, ApprovedClass] = {}
    for each in asked:
        if each.like is None:
            continue
        streak = found.setdefault(each.like, ApprovedClass(each.like, each.tool))
        streak.never = streak.never or _never(each, streak)
        if each.state != "approve" or each.edited:
            streak.not_yes += 1
            streak.approved.clear()
        elif _is_by_people(each, unsigned_count):
            streak.yes += 1
            streak.approved.append(each)
    return sorted(found.values(), key=lambda streak: (-len(streak.approved), streak.tool, streak.like))


def _never(asked: ClosedApproval, streak: ApprovedClass) -> str | None:
    if asked.tier in (None, "T4"):
        return "a call of tier T4 is always asked about"
    return "the class mixes several tools" if asked.tool != streak.tool else None


def _is_by_people(asked: ClosedApproval, unsigned_count: bool) -> bool:
    proofs = {"signature", "unsigned"} if unsigned_count else {"signature"}
    yes = {each.by.casefold() for each in asked.decided if each.verdict == "approve" and each.proof in proofs}
    everyone = all(each.proof in proofs for each in asked.decided)
    return everyone and len(yes) >= max(asked.needed, 1)


# ── the grant ────────────────────────────────────────────────────────────────────────────────────────────────────────


def grant_for(calls: Sequence[Mapping[str, Any]], spec: ToolSpec, fitting: Grant | None) -> Grant:
    """The narrowest grant that covers the arguments of these calls. Raises NotProposable.

    `fitting`: the grant that covers them already, if one does. What people saw and what varied harmlessly stays: a
    sensitive argument is pinned to its value, or to what `fitting` says of it; a text that varied stays free, so that a
    tainted run is still asked about it; what was never given must not be given.
    """
    bound = dict(fitting.arguments) if fitting else {}
    arguments: dict[str, Constraint] = {}
    for name in spec.schema.get("properties", {}):
        values = [call.get(name) for call in calls]
        if constraint := _constraint(name, values, spec.facts.sensitive.get(name), bound.get(name)):
            arguments[name] = constraint
    return Grant(arguments=arguments, per_day=fitting.per_day if fitting else None)


def _constraint(name: str, values: list[Any], kind: str | None, bound: Constraint | None) -> Constraint | None:
    if all(value is None for value in values):
        return MUST_BE_ABSENT
    if kind == "secret":
        raise NotProposable(f"{name} is a secret, which has no place in a definition")
    if len({canonical_json(value) for value in values}) == 1:
        return _pinned(name, values[0], kind, bound)
    if bound is not None:
        return bound
    if kind is not None:
        raise NotProposable(f"{name} had several values: these calls are not of one class")
    if all(type(value) is int for value in values):
        return Constraint(min=min(values), max=max(values))
    return None


def _pinned(name: str, value: Any, kind: str | None, bound: Constraint | None) -> Constraint | None:
    """The constraint under which an argument has the one value that it always had."""
    only = value[0] if isinstance(value, list) and len(value) == 1 else value
    known: dict[str, Any] = bound.model_dump(exclude_defaults=True) if bound else {}
    if type(only) in (str, int, bool) and (kind or not isinstance(only, str) or len(only) <= LONGEST_CHOICE):
        return Constraint(**known | {"one_of": (only,)} | ({"max_items": 1} if isinstance(value, list) else {}))
    if kind is not None and bound is None:
        raise NotProposable(f"{name} holds a value that a grant cannot pin")
    return bound


# ── the definition ───────────────────────────────────────────────────────────────────────────────────────────────────


def with_grants(
    definition: AgentDefinition, granted: Mapping[str, Sequence[Grant]], specs: Mapping[str, ToolSpec]
) -> AgentDefinition:
    """The definition with these grants, each before the tool's own. `specs`: the tools the definition names.

    An agent without grants gets some for the first time, and with them a no to every tool without one. So the others
    are granted too, and asked about as before.
    """
    grants: Grants = dict(definition.grants or {})
    approvals = definition.approvals
    if definition.grants is None:
        others = [spec for name, spec in specs.items() if name not in granted and _needs_grant(spec)]
        grants = {spec.name: (Grant(),) for spec in others}
        approvals = _always([spec.name for spec in others if spec.tier in ("T3", "T4")], approvals)
    grants |= {tool: (*new, *grants.get(tool, ())) for tool, new in granted.items()}
    return definition.model_copy(update={"grants": grants, "approvals": approvals})


def _needs_grant(spec: ToolSpec) -> bool:
    """Once there are grants, this tool is refused without one. A read that goes out is asked about instead."""
    if spec.facts.effect != "read":
        return True
    return bool(spec.facts.sensitive) and not acts_outside(spec.facts)


def _always(tools: Sequence[str], approvals: ApprovalRules) -> ApprovalRules:
    rules = {tool: approvals.of(tool).model_copy(update={"always": True}) for tool in tools}
    return approvals.model_copy(update={"tools": {**approvals.tools, **rules}})


def definition_changes(definition: AgentDefinition) -> dict[str, Any]:
    """What a graduation may change of a definition, as it stands in YAML."""
    grants = {
        tool: [_plain(grant) for grant in alternatives] if len(alternatives) > 1 else _plain(alternatives[0])
        for tool, alternatives in sorted((definition.grants or {}).items())
    }
    approvals = definition.approvals.model_dump(mode="json", exclude_defaults=True)
    return {key: value for key, value in (("grants", grants), ("approvals", approvals)) if value}


def _plain(grant: Grant) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(grant.model_dump_json())
    return plain
