"""Evaluates recorded calls with the policies in force and with a proposed policy, and compares. Reads only."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from activities.agents.versions import Agents, shapes_of_all
from activities.gateway.evaluation.checks import EvaluatedCall
from activities.policy.cedar.policy import Policy, PolicyInvalid, load
from activities.policy.cedar.schema import schema_for
from activities.policy.cedar.store import MEND, PLATFORM, Effective, Policies, PolicyMissing, version_of
from activities.policy.cedar.store import SQL as POLICIES
from activities.rehearsal.cases import word_of
from activities.rehearsal.observe_report import OBSERVED, would_have
from activities.rehearsal.recorded_calls import (
    CallArchive,
    CallSelection,
    CannotBeEvaluated,
    RecordedCall,
    recorded_calls,
)
from activities.storage.canonical import sha256_hex
from activities.storage.database import Database

LISTED = 1_000  # at most so many changed and unjudged calls are listed; all are counted


@dataclass(frozen=True)
class ProposedPolicy:
    """A policy to try in place of the tenant's or (`platform`) the platform's. `money_floor` None: unchanged."""

    text: str
    money_floor: int | None = None
    platform: bool = False


@dataclass(frozen=True)
class Change:
    """A call whose verdict differs with the new policy. `recorded`: its verdict in the trace, if there is one."""

    run_id: str
    call_id: str
    tool: str
    arguments: dict[str, Any]
    was: str
    would_be: str
    old_rule: str
    new_rule: str
    reason: str
    recorded: str | None
    recorded_rule: str | None


@dataclass(frozen=True)
class Unjudged:
    """A call that cannot be evaluated here, and why."""

    run_id: str
    call_id: str
    tool: str
    reason: str


@dataclass
class WhatIfReport:
    """Counts of evaluated, changed and unjudged calls, and the first `LISTED` changed and unjudged calls."""

    judged: int = 0
    changed: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # tool, was, would be
    changes: list[Change] = field(default_factory=list)
    unjudged: Counter[tuple[str, str]] = field(default_factory=Counter)  # tool, reason
    unjudged_calls: list[Unjudged] = field(default_factory=list)
    recorded_otherwise: int = 0  # calls whose verdict today, with the policies in force, differs from the trace

    def note(self, call: RecordedCall, now: EvaluatedCall, new: EvaluatedCall) -> None:
        """Count a call that was evaluated."""
        self.judged += 1
        self.recorded_otherwise += call.verdict is not None and call.verdict != word_of(now)
        was, would_be = _verdict_text(now), _verdict_text(new)
        if was == would_be and now.tier != new.tier:
            was, would_be = f"{was} {now.tier}", f"{would_be} {new.tier}"  # another tier can need other approvers
        if was == would_be:
            return
        self.changed[(call.facts.tool, was, would_be)] += 1
        if len(self.changes) < LISTED:
            self.changes.append(_change(call, now, new, was, would_be))

    def note_unjudged(self, call: RecordedCall, reason: str) -> None:
        """Count a call that cannot be evaluated."""
        facts = call.facts
        self.unjudged[(facts.tool, reason)] += 1
        if len(self.unjudged_calls) < LISTED:
            self.unjudged_calls.append(Unjudged(facts.run_id, facts.call_id, facts.tool, reason))


async def whatif(
    database: Database,
    proposed: ProposedPolicy,
    chosen: CallSelection,
    progress: Callable[[int], None] = lambda done: None,
) -> WhatIfReport:
    """Evaluate the chosen calls with the old and the new policies.

    Raises PolicyInvalid for a policy that `policy set` would refuse, StoreUnavailable.
    """
    await _check(database, proposed)
    policy_pairs, archive, report = _PolicyPairs(database, proposed), CallArchive(database), WhatIfReport()
    async for call in recorded_calls(database, chosen):
        try:
            prepared = await archive.prepared(call.facts)
        except CannotBeEvaluated as error:
            report.note_unjudged(call, str(error))
            continue
        now, new = await policy_pairs.of(call.facts.tenant)
        report.note(call, prepared.evaluate(now), prepared.evaluate(new))
        if report.judged % 1_000 == 0:
            progress(report.judged)
    return report


async def _check(database: Database, proposed: ProposedPolicy) -> None:
    tools = shapes_of_all(await Agents(database).all())
    load(proposed.text, version="", scope="it", schema=schema_for(tools))


@dataclass
class _PolicyPairs:
    """For each tenant, the policies in force, and the same policies with the proposed one in place. Read once."""

    database: Database
    proposed: ProposedPolicy
    _known: dict[str, tuple[Effective, Effective]] = field(default_factory=dict)

    async def of(self, tenant: str) -> tuple[Effective, Effective]:
        if tenant not in self._known:
            policies = Policies(self.database)
            heads = {row["scope"]: row["version"] for row in await POLICIES["heads"].rows(self.database, tenant=tenant)}
            now = await policies.in_force(tenant, list(heads.values()))
            self._known[tenant] = (now, await self._with_proposed(tenant, now, heads, policies))
        return self._known[tenant]

    async def _with_proposed(self, tenant: str, now: Effective, heads: dict[str, str], policies: Policies) -> Effective:
        scope = PLATFORM if self.proposed.platform else tenant
        floor = now.money_floor if self.proposed.money_floor is None else self.proposed.money_floor
        version = version_of(scope, self.proposed.text, floor)
        policies_by_scope: dict[str, Policy] = {scope: load(self.proposed.text, version=version, scope=scope)}
        try:
            for other_scope, head in heads.items():
                if other_scope != scope:
                    policies_by_scope[other_scope] = await policies.policy(head)
        except (PolicyInvalid, PolicyMissing) as error:
            return Effective(version, broken=f"a policy in force cannot be read: {error}")
        if PLATFORM not in policies_by_scope:
            return Effective(version, missing=f"no policy is in force for '*'; {MEND}")
        platform_first = [
            policies_by_scope[each] for each in sorted(policies_by_scope, key=lambda each: each != PLATFORM)
        ]
        return Effective(sha256_hex([policy.version for policy in platform_first]), tuple(platform_first), floor)


def _verdict_text(evaluated: EvaluatedCall) -> str:
    """The verdict in one word. In mode observe, with the verdict that the call would have had otherwise."""
    word = word_of(evaluated)
    return f"observe ({would_have(evaluated.verdict.reason)[0]})" if evaluated.verdict.rule == OBSERVED else word


def _change(call: RecordedCall, now: EvaluatedCall, new: EvaluatedCall, was: str, would_be: str) -> Change:
    return Change(
        run_id=call.facts.run_id,
        call_id=call.facts.call_id,
        tool=call.facts.tool,
        arguments=json.loads(call.facts.arguments),
        was=was,
        would_be=would_be,
        old_rule=_rule(now),
        new_rule=_rule(new),
        reason=new.verdict.reason,
        recorded=call.verdict,
        recorded_rule=call.rule,
    )


def _rule(evaluated: EvaluatedCall) -> str:
    verdict = evaluated.verdict
    return would_have(verdict.reason)[1] if verdict.rule == OBSERVED else verdict.rule
