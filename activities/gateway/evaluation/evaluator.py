"""Gathering what a call is judged by, and judging it: the reads of this room, in one place."""

import json
import time
from dataclasses import dataclass, replace

import structlog

from activities.agents.versions import Agents
from activities.errors import Permanent
from activities.gateway.evaluation.checks import (
    Candidate,
    Judged,
    Surroundings,
    is_in_order,
    judge,
    not_in_order,
    slow,
    weigh,
)
from activities.gateway.evaluation.evidence import EvidenceReader
from activities.gateway.facts import CallFacts
from activities.policy.cedar.store import Policies
from activities.policy.engine.evaluation import ANCHORED
from activities.policy.engine.verdicts import Deny
from activities.policy.values.provenance import Evidence, trace, worst
from activities.storage.database import Database
from activities.tools.errors import ToolDeclarationError
from activities.tools.registry import find_tool
from activities.tools.spec import ToolSpec
from activities.undo.orders import is_rollback
from activities.undo.rollback_evidence import evidence_on_record

# A thousand times what a decision takes (docs/performance.md): whatever needs longer hangs.
POLICY_SECONDS = 1.0  # of CPU, so that a busy machine denies nothing
BUSY = 10  # times as long on the clock: a policy that waits for something hangs too

log = structlog.get_logger("stanchion.gateway")


class LineBroken(Permanent):
    """Who delegated this is not known any more, so nobody can say what it may do; restore the runs from a backup."""


@dataclass(frozen=True)
class Bench:
    """Where calls are judged."""

    agents: Agents
    evidence: EvidenceReader
    policies: Policies
    database: Database

    async def candidate(self, facts: CallFacts) -> Candidate:
        """The call with its agent and tool. Raises AgentVersionMissing, StoreUnavailable."""
        agent = await self.agents.version(facts.agent_version)
        pinned = agent.by_name.get(facts.tool)
        try:
            spec = find_tool(pinned.module, pinned.name) if pinned else None
        except ToolDeclarationError:
            spec = None
        above = [await self.agents.version(version) for version in facts.versions_above or ()]
        if len(above) != len(facts.lineage or ()):
            raise LineBroken(f"the runs above {facts.run_id} are not all in the database")
        return Candidate(facts, agent, pinned, spec, tuple(above))

    async def judge(self, call: Candidate) -> Judged:
        """The judgement about a call as it is now, which tells people of a broken control. Raises StoreUnavailable."""
        return self._alerting(await self.judgement(call))

    async def judgement(self, call: Candidate) -> Judged:
        """The judgement about a call. Raises StoreUnavailable: without our tables nothing is decided."""
        if verdict := is_in_order(call):
            return not_in_order(call, verdict)
        return self._timely(call, await self._surroundings(call))

    async def bound(self, call: Candidate) -> Judged:
        """The judgement about the arguments that the call's approval shows, and without the words of a later edit."""
        shown = replace(call, facts=replace(call.facts, edited=call.facts.approved_arguments))
        return judge(shown, await self._surroundings(shown), call.facts.approved_arguments)

    async def led_astray(self, facts: CallFacts, spec: ToolSpec) -> bool:
        """Whether a read was asked about something that neither a person nor trusted data named.

        Then an attacker may have picked what it answers, however true the answer is.
        """
        if spec.facts.effect != "read" or not spec.facts.sensitive:
            return False
        evidence = await self.evidence.read(facts, await self.agents.version(facts.agent_version))
        given = json.loads(facts.effective_arguments)
        asked = {name: given[name] for name in spec.facts.sensitive if name in given}
        return worst(trace(asked, spec.facts.sensitive, evidence)) not in ANCHORED

    async def _surroundings(self, call: Candidate) -> Surroundings:
        evidence = await self._evidence(call)
        return Surroundings(evidence, await self.policies.in_force(call.facts.tenant, call.facts.heads))

    async def _evidence(self, call: Candidate) -> Evidence:
        """What its run had read and written; of a call that takes something back, our own record."""
        if is_rollback(call.facts.run_id):
            return await evidence_on_record(self.database, call.facts)
        return await self.evidence.read(call.facts, call.agent)

    def _timely(self, call: Candidate, around: Surroundings) -> Judged:
        began, cpu = time.monotonic(), time.thread_time()
        judged = weigh(call, around)
        took = max(time.thread_time() - cpu, (time.monotonic() - began) / BUSY)
        return judged if took <= POLICY_SECONDS else slow(judged, took)

    def _alerting(self, judged: Judged) -> Judged:
        """A broken control denies; someone has to be told, because every call is denied until it is mended."""
        verdict, facts = judged.verdict, judged.call.facts
        if isinstance(verdict, Deny) and verdict.rule in ALERTING:
            log.error("policy.broken", rule=verdict.rule, reason=verdict.reason, run_id=facts.run_id, tool=facts.tool)
        return judged


ALERTING = frozenset(("policy.error", "policy.missing", "policy.slow", "policy.silent"))
