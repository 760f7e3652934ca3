"""Tries proposed grants on recorded calls: only calls of approved classes may get a looser verdict. Reads only."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from activities.agents.versions import AgentVersion, resolve
from activities.gateway.evaluation.checks import EvaluatedCall
from activities.policy.cedar.store import Effective, Policies
from activities.policy.engine.verdicts import Allow, Ask, strictness
from activities.policy.grants.grants import Grant
from activities.rehearsal.graduation import (
    ApprovedClass,
    ClosedApproval,
    NotProposable,
    approved_classes,
    grant_for,
    with_grants,
)
from activities.rehearsal.recorded_calls import (
    CallArchive,
    CallSelection,
    CannotBeEvaluated,
    PreparedCall,
    recorded_calls,
)
from activities.storage.database import Database
from activities.tools.registry import find_tool
from activities.tools.spec import ToolSpec

LOOKED_BACK = 5_000  # latest recorded calls on which a whole change is tried; that takes seconds


@dataclass(frozen=True)
class GraduatedClass:
    """A class of calls, and the grant with which they need no approval any more."""

    streak: ApprovedClass
    grant: Grant


@dataclass
class GraduationResult:
    """The classes to graduate, the new agent version, and the classes passed over, each with the reason."""

    agent: AgentVersion
    graduated: list[GraduatedClass] = field(default_factory=list)
    passed_over: list[tuple[ApprovedClass, str]] = field(default_factory=list)
    new: AgentVersion | None = None
    looked_at: int = 0
    effects: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # tool, was, would be
    not_judged: int = 0

    def evidence(self, tenant: str, least: int) -> dict[str, Any]:
        """The figures by which a second person decides about the change, as JSON data."""
        classes = [
            each.streak.summary()
            | {
                "grant": json.loads(each.grant.model_dump_json()),
                "approvals": [approval.approval_id for approval in each.streak.approved],
            }
            for each in self.graduated
        ]
        changes = [
            {"tool": tool, "was": was, "would_be": would_be, "calls": count}
            for (tool, was, would_be), count in sorted(self.effects.items())
        ]
        tried = {"calls": self.looked_at, "not_judged": self.not_judged, "changes": changes}
        return {"tenant": tenant, "least": least, "classes": classes, "tried_on": tried}


class NotExact(NotProposable):
    """The change would allow calls of classes that nobody approved."""


async def graduate(
    database: Database,
    agent: AgentVersion,
    tenant: str,
    approvals: Sequence[ClosedApproval],
    *,
    least: int,
    unsigned_count: bool,
) -> GraduationResult:
    """Build a change from closed approvals and try it on recorded calls. Raises StoreUnavailable, DefinitionInvalid."""
    result = GraduationResult(agent)
    trial = _Trial(database, agent, tenant, await Policies(database).effective(tenant))
    for streak in approved_classes(approvals, unsigned_count=unsigned_count):
        try:
            result.graduated.append(GraduatedClass(streak, await trial.grant(streak, least)))
        except (NotProposable, CannotBeEvaluated) as error:
            result.passed_over.append((streak, str(error)))
    try:
        await trial.try_together(result)
    except NotExact as error:
        result.passed_over += [(each.streak, str(error)) for each in result.graduated]
        result.graduated, result.new = [], None
    return result


@dataclass
class _Trial:
    database: Database
    agent: AgentVersion
    tenant: str
    policies: Effective

    async def grant(self, streak: ApprovedClass, least: int) -> Grant:
        """The grant for a class, with which each of its calls is allowed. Raises NotProposable, CannotBeEvaluated."""
        if streak.never:
            raise NotProposable(streak.never)
        if len(streak.approved) < least:
            raise NotProposable(f"{len(streak.approved)} in a row, and {least} are needed")
        spec = self._spec(streak.tool)
        calls = await self._calls(streak)
        evaluated = [call.evaluate(self.policies) for call in calls]
        _check_class(streak, spec, evaluated)
        arguments = [json.loads(call.candidate.facts.arguments) for call in calls]
        grant = grant_for(arguments, spec, evaluated[0].evaluation.grant)
        new = self._version_with({streak.tool: [grant]})
        for call in calls:
            verdict = _as_call_of(new, call).evaluate(self.policies).verdict
            if not isinstance(verdict, Allow):
                raise NotProposable(f"no grant would change it: {verdict.rule}, {verdict.reason}")
        return grant

    async def try_together(self, result: GraduationResult) -> None:
        """Try all grants together on the latest recorded calls. Raises NotExact."""
        if not result.graduated:
            return
        granted: dict[str, list[Grant]] = defaultdict(list)
        for each in result.graduated:
            granted[each.streak.tool].append(each.grant)
        new, likes = self._version_with(granted), {each.streak.like for each in result.graduated}
        archive = CallArchive(self.database)
        async for call in recorded_calls(self.database, self._selection(most=LOOKED_BACK)):
            try:
                prepared = _as_call_of(self.agent, await archive.prepared(call.facts))
            except CannotBeEvaluated:
                result.not_judged += 1
                continue
            result.looked_at += 1
            with_grants_now = _as_call_of(new, prepared).evaluate(self.policies)
            _count_change(result, prepared.evaluate(self.policies), with_grants_now, likes)
        result.new = new

    async def _calls(self, streak: ApprovedClass) -> list[PreparedCall]:
        archive = CallArchive(self.database)
        selection = self._selection(only=tuple(sorted(streak.calls)))
        calls = [
            _as_call_of(self.agent, await archive.prepared(call.facts))
            async for call in recorded_calls(self.database, selection)
        ]
        if len(calls) != len(streak.calls):
            raise CannotBeEvaluated(f"{len(streak.calls) - len(calls)} of its calls are not in the database any more")
        return calls

    def _selection(self, **more: Any) -> CallSelection:
        return CallSelection(tenant=self.tenant, agent=self.agent.definition.name, **more)

    def _spec(self, tool: str) -> ToolSpec:
        if tool not in self._specs():
            raise NotProposable(f"the agent has no tool {tool} any more")
        return self._specs()[tool]

    def _specs(self) -> dict[str, ToolSpec]:
        return {name: find_tool(s.module, name) for s in self.agent.definition.tools for name in s.use}

    def _version_with(self, granted: dict[str, list[Grant]]) -> AgentVersion:
        return resolve(with_grants(self.agent.definition, granted, self._specs()), self.agent.source)


def _check_class(streak: ApprovedClass, spec: ToolSpec, evaluated: Sequence[EvaluatedCall]) -> None:
    """Check that these calls need an approval today, and still belong to the class. Raises NotProposable."""
    if "T4" in {spec.tier, *(each.tier for each in evaluated)}:
        raise NotProposable("a call of tier T4 always needs an approval")
    for each in evaluated:
        if each.evaluation.similarity_digest != streak.like:
            raise NotProposable("it was approved under another tool, grant or constraint than the agent has now")
        if not isinstance(each.verdict, Ask):
            raise NotProposable(f"it needs no approval today: {each.verdict.rule}")


def _as_call_of(agent: AgentVersion, call: PreparedCall) -> PreparedCall:
    """The same call, made by another version of its agent."""
    facts = replace(call.candidate.facts, agent_version=agent.version)
    pinned = agent.by_name.get(facts.tool)
    spec = call.candidate.spec if pinned else None
    return replace(call, candidate=replace(call.candidate, facts=facts, agent=agent, pinned=pinned, spec=spec))


def _count_change(result: GraduationResult, now: EvaluatedCall, new: EvaluatedCall, likes: set[str]) -> None:
    """Count a changed verdict. Raises NotExact if a call outside the approved classes gets a looser verdict."""
    is_looser = strictness(new.verdict) < strictness(now.verdict)
    if is_looser and now.evaluation.similarity_digest not in likes:
        facts = now.call.facts
        raise NotExact(
            f"{facts.tool} {facts.run_id} {facts.call_id} would be allowed too, but its class was not approved"
        )
    if is_looser or strictness(new.verdict) > strictness(now.verdict):
        words = {0: "allow", 1: "ask", 2: "deny"}
        result.effects[(now.call.facts.tool, words[strictness(now.verdict)], words[strictness(new.verdict)])] += 1
