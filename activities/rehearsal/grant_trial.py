"""Tries a proposed grant on recorded calls: it must change exactly the approved ones. Reads only."""

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

LOOKED_BACK = 5_000  # recorded calls on which a change is tried as a whole: seconds


@dataclass(frozen=True)
class GraduatedClass:
    """A class whose calls would pass unasked, and the grant for it."""

    streak: ApprovedClass
    grant: Grant


@dataclass
class GraduationResult:
    """What the recorded approvals give: the classes to graduate, the new version, and why not the others."""

    agent: AgentVersion
    graduated: list[GraduatedClass] = field(default_factory=list)
    passed_over: list[tuple[ApprovedClass, str]] = field(default_factory=list)
    new: AgentVersion | None = None
    looked_at: int = 0
    effects: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # tool, was, would be
    not_judged: int = 0

    def evidence(self, tenant: str, least: int) -> dict[str, Any]:
        """All that a second person needs to judge the change."""
        classes = [
            each.streak.summary()
            | {
                "grant": json.loads(each.grant.model_dump_json()),
                "approvals": [asked.approval_id for asked in each.streak.approved],
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
    """The change would let calls pass that nobody looked at."""


async def graduate(
    database: Database,
    agent: AgentVersion,
    tenant: str,
    asked: Sequence[ClosedApproval],
    *,
    least: int,
    unsigned_count: bool,
) -> GraduationResult:
    """The change that the recorded approvals give, tried call by call. Raises StoreUnavailable, DefinitionInvalid."""
    found = GraduationResult(agent)
    trial = _Trial(database, agent, tenant, await Policies(database).effective(tenant))
    for streak in approved_classes(asked, unsigned_count=unsigned_count):
        try:
            found.graduated.append(GraduatedClass(streak, await trial.grant(streak, least)))
        except (NotProposable, CannotBeEvaluated) as error:
            found.passed_over.append((streak, str(error)))
    try:
        await trial.whole(found)
    except NotExact as error:
        found.passed_over += [(each.streak, str(error)) for each in found.graduated]
        found.graduated, found.new = [], None
    return found


@dataclass
class _Trial:
    database: Database
    agent: AgentVersion
    tenant: str
    policies: Effective

    async def grant(self, streak: ApprovedClass, least: int) -> Grant:
        """The grant for a class, under which each of its calls would have passed. Raises NotProposable."""
        if streak.never:
            raise NotProposable(streak.never)
        if len(streak.approved) < least:
            raise NotProposable(f"{len(streak.approved)} in a row, and {least} are needed")
        spec = self._spec(streak.tool)
        calls = await self._calls(streak)
        judged = [call.judged(self.policies) for call in calls]
        _check_class(streak, spec, judged)
        arguments = [json.loads(call.candidate.facts.arguments) for call in calls]
        grant = grant_for(arguments, spec, judged[0].evaluation.grant)
        new = self._with({streak.tool: [grant]})
        for call in calls:
            verdict = _under(new, call).judged(self.policies).verdict
            if not isinstance(verdict, Allow):
                raise NotProposable(f"no grant would change it: {verdict.rule}, {verdict.reason}")
        return grant

    async def whole(self, found: GraduationResult) -> None:
        """Try all grants together on what was recorded lately. Raises NotExact."""
        if not found.graduated:
            return
        granted: dict[str, list[Grant]] = defaultdict(list)
        for each in found.graduated:
            granted[each.streak.tool].append(each.grant)
        new, likes = self._with(granted), {each.streak.like for each in found.graduated}
        archive = CallArchive(self.database)
        async for call in recorded_calls(self.database, self._chosen(most=LOOKED_BACK)):
            try:
                prepared = _under(self.agent, await archive.prepared(call.facts))
            except CannotBeEvaluated:
                found.not_judged += 1
                continue
            found.looked_at += 1
            _note(found, prepared.judged(self.policies), _under(new, prepared).judged(self.policies), likes)
        found.new = new

    async def _calls(self, streak: ApprovedClass) -> list[PreparedCall]:
        archive = CallArchive(self.database)
        wanted = self._chosen(only=tuple(sorted(streak.calls)))
        calls = [
            _under(self.agent, await archive.prepared(call.facts))
            async for call in recorded_calls(self.database, wanted)
        ]
        if len(calls) != len(streak.calls):
            raise CannotBeEvaluated(f"{len(streak.calls) - len(calls)} of its calls are not recorded any more")
        return calls

    def _chosen(self, **more: Any) -> CallSelection:
        return CallSelection(tenant=self.tenant, agent=self.agent.definition.name, **more)

    def _spec(self, tool: str) -> ToolSpec:
        if tool not in self._specs():
            raise NotProposable(f"the agent has no tool {tool} any more")
        return self._specs()[tool]

    def _specs(self) -> dict[str, ToolSpec]:
        return {name: find_tool(s.module, name) for s in self.agent.definition.tools for name in s.use}

    def _with(self, granted: dict[str, list[Grant]]) -> AgentVersion:
        return resolve(with_grants(self.agent.definition, granted, self._specs()), self.agent.source)


def _check_class(streak: ApprovedClass, spec: ToolSpec, judged: Sequence[EvaluatedCall]) -> None:
    """These calls are asked about today as well, and are of that very class. Raises NotProposable."""
    if "T4" in {spec.tier, *(each.tier for each in judged)}:
        raise NotProposable("a call of tier T4 is always asked about")
    for each in judged:
        if each.evaluation.similarity_digest != streak.like:
            raise NotProposable("it was approved under another tool, grant or constraint than the agent has now")
        if not isinstance(each.verdict, Ask):
            raise NotProposable(f"it is not asked about today: {each.verdict.rule}")


def _under(agent: AgentVersion, call: PreparedCall) -> PreparedCall:
    """The same call, of another version of its agent."""
    facts = replace(call.candidate.facts, agent_version=agent.version)
    pinned = agent.by_name.get(facts.tool)
    spec = call.candidate.spec if pinned else None
    return replace(call, candidate=replace(call.candidate, facts=facts, agent=agent, pinned=pinned, spec=spec))


def _note(found: GraduationResult, now: EvaluatedCall, new: EvaluatedCall, likes: set[str]) -> None:
    """Count what changes. Raises NotExact for a call that would pass though it is of no class that was approved."""
    looser = strictness(new.verdict) < strictness(now.verdict)
    if looser and now.evaluation.similarity_digest not in likes:
        facts = now.call.facts
        raise NotExact(f"{facts.tool} {facts.run_id} {facts.call_id} would pass too, though nobody approved its like")
    if looser or strictness(new.verdict) > strictness(now.verdict):
        words = {0: "allow", 1: "ask", 2: "deny"}
        found.effects[(now.call.facts.tool, words[strictness(now.verdict)], words[strictness(new.verdict)])] += 1
