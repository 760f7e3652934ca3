"""Graduation: finds classes of calls that people always approved, and builds grants for exactly these calls.

Pure: no clock, no I/O, no logging. A class contains the calls that a standing approval would cover: "like this one".
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
FAST_SECONDS = 3.0  # an approval within this time was given without reading
LONGEST_CHOICE = 200  # characters; a longer text is pinned only if its argument is sensitive
MUST_BE_ABSENT = Constraint(max_items=0, optional=True)  # no text fits, and no list but an empty one


class NotProposable(Permanent):
    """No grant covers exactly these calls."""


@dataclass(frozen=True)
class RecordedDecision:
    """A decision of a person, a reviewing agent or a one-time code, `seconds` after the approval was requested."""

    by: str
    verdict: str
    proof: str
    seconds: float


@dataclass(frozen=True)
class ClosedApproval:
    """A closed approval. `edited`: it is about arguments that a person wrote in place of the model's."""

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
    """A class of calls, with its streak: the approvals since the last one that was not approved."""

    like: str
    tool: str
    approved: list[ClosedApproval] = field(default_factory=list)
    yes: int = 0  # all approvals by people, also those before the streak
    not_yes: int = 0  # all approvals that were rejected, edited, answered, or expired
    never: str | None = None  # why this class can never be proposed

    @property
    def calls(self) -> set[str]:
        """The calls of the streak, as `run_id call_id`."""
        return {f"{approval.run_id} {approval.call_id}" for approval in self.approved}

    def summary(self) -> dict[str, Any]:
        """The figures of the class, as they are displayed and stored."""
        decided = [decision for approval in self.approved for decision in approval.decided]
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
    """The upper bound of the refusal rate with 95 % confidence (one-sided, Clopper and Pearson, 1934).

    Without any refusal among n approvals it is 1 - 0.05^(1/n), about 3/n.
    """
    if asked <= refused:
        return 1.0
    if refused == 0:
        return 1.0 - float((1.0 - CONFIDENCE) ** (1.0 / asked))
    low, high = refused / asked, 1.0
    for _ in range(50):  # bisections: more than enough for four decimals
        middle = (low + high) / 2
        probability = sum(comb(asked, k) * pow(middle, k) * pow(1 - middle, asked - k) for k in range(refused + 1))
        low, high = (low, middle) if probability < 1.0 - CONFIDENCE else (middle, high)
    return float(high)


def approved_classes(approvals: Iterable[ClosedApproval], *, unsigned_count: bool) -> list[ApprovedClass]:
    """Every class with its streak. `approvals`: closed ones, in the order in which they were closed.

    An approval by people continues the streak. A rejection, an edit, an answer or an expiry ends it. An approval that
    no person gave (a standing approval, an agent, a code), or that lacks a required signature, does neither.
    """
    classes: dict[str, ApprovedClass] = {}
    for approval in approvals:
        if approval.like is None:
            continue
        streak = classes.setdefault(approval.like, ApprovedClass(approval.like, approval.tool))
        streak.never = streak.never or _why_never(approval, streak)
        if approval.state != "approve" or approval.edited:
            streak.not_yes += 1
            streak.approved.clear()
        elif _is_by_people(approval, unsigned_count):
            streak.yes += 1
            streak.approved.append(approval)
    return sorted(classes.values(), key=lambda streak: (-len(streak.approved), streak.tool, streak.like))


def _why_never(approval: ClosedApproval, streak: ApprovedClass) -> str | None:
    if approval.tier in (None, "T4"):
        return "a call of tier T4 always needs an approval"
    return "the class mixes several tools" if approval.tool != streak.tool else None


def _is_by_people(approval: ClosedApproval, unsigned_count: bool) -> bool:
    proofs = {"signature", "unsigned"} if unsigned_count else {"signature"}
    approvers = {each.by.casefold() for each in approval.decided if each.verdict == "approve" and each.proof in proofs}
    all_proved = all(each.proof in proofs for each in approval.decided)
    return all_proved and len(approvers) >= max(approval.needed, 1)


# ── the grant ────────────────────────────────────────────────────────────────────────────────────────────────────────


def grant_for(calls: Sequence[Mapping[str, Any]], spec: ToolSpec, fitting: Grant | None) -> Grant:
    """The narrowest grant that covers the arguments of these calls. Raises NotProposable.

    `fitting`: the grant that covers them already, if there is one. A sensitive argument is pinned to its value, or gets
    the constraint of `fitting`. A text that varied stays unconstrained, so that a tainted run still needs an approval.
    An argument that no call had must be absent.
    """
    existing = dict(fitting.arguments) if fitting else {}
    arguments: dict[str, Constraint] = {}
    for name in spec.schema.get("properties", {}):
        values = [call.get(name) for call in calls]
        if constraint := _constraint(name, values, spec.facts.sensitive.get(name), existing.get(name)):
            arguments[name] = constraint
    return Grant(arguments=arguments, per_day=fitting.per_day if fitting else None)


def _constraint(name: str, values: list[Any], kind: str | None, existing: Constraint | None) -> Constraint | None:
    if all(value is None for value in values):
        return MUST_BE_ABSENT
    if kind == "secret":
        raise NotProposable(f"{name} is a secret, which must not be written into a definition")
    if len({canonical_json(value) for value in values}) == 1:
        return _pinned(name, values[0], kind, existing)
    if existing is not None:
        return existing
    if kind is not None:
        raise NotProposable(f"{name} had several values, so these calls are not of one class")
    if all(type(value) is int for value in values):
        return Constraint(min=min(values), max=max(values))
    return None


def _pinned(name: str, value: Any, kind: str | None, existing: Constraint | None) -> Constraint | None:
    """A constraint that allows only the value that the argument always had; `existing` for a long text."""
    only = value[0] if isinstance(value, list) and len(value) == 1 else value
    fields: dict[str, Any] = existing.model_dump(exclude_defaults=True) if existing else {}
    if type(only) in (str, int, bool) and (kind or not isinstance(only, str) or len(only) <= LONGEST_CHOICE):
        return Constraint(**fields | {"one_of": (only,)} | ({"max_items": 1} if isinstance(value, list) else {}))
    if kind is not None and existing is None:
        raise NotProposable(f"{name} holds a value that a grant cannot pin")
    return existing


# ── the definition ───────────────────────────────────────────────────────────────────────────────────────────────────


def with_grants(
    definition: AgentDefinition, granted: Mapping[str, Sequence[Grant]], specs: Mapping[str, ToolSpec]
) -> AgentDefinition:
    """The definition with these grants, placed before each tool's own. `specs`: all tools of the definition.

    Once a definition has grants, every tool without one is refused. So if it had none before, the other tools get a
    grant without constraints too, and need approvals as before.
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
    """Whether this tool is refused without a grant; a read that sends data out needs an approval instead."""
    if spec.facts.effect != "read":
        return True
    return bool(spec.facts.sensitive) and not acts_outside(spec.facts)


def _always(tools: Sequence[str], approvals: ApprovalRules) -> ApprovalRules:
    rules = {tool: approvals.of(tool).model_copy(update={"always": True}) for tool in tools}
    return approvals.model_copy(update={"tools": {**approvals.tools, **rules}})


def definition_changes(definition: AgentDefinition) -> dict[str, Any]:
    """The parts of a definition that a graduation may change, as plain data for YAML."""
    grants = {
        tool: [_plain(grant) for grant in alternatives] if len(alternatives) > 1 else _plain(alternatives[0])
        for tool, alternatives in sorted((definition.grants or {}).items())
    }
    approvals = definition.approvals.model_dump(mode="json", exclude_defaults=True)
    return {key: value for key, value in (("grants", grants), ("approvals", approvals)) if value}


def _plain(grant: Grant) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(grant.model_dump_json())
    return plain
