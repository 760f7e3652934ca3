"""CallEvaluator: reads what a call is evaluated with (agent, tool, evidence, policies), and evaluates it."""

import json
import time
from dataclasses import dataclass, replace

import structlog

from activities.agents.versions import Agents
from activities.errors import Permanent
from activities.gateway.evaluation.checks import (
    Candidate,
    EvaluatedCall,
    PolicyContext,
    deny_out_of_order,
    deny_slow_evaluation,
    evaluate,
    evaluate_in_order,
    is_in_order,
)
from activities.gateway.evaluation.evidence import EvidenceReader
from activities.gateway.facts import CallFacts
from activities.policy.cedar.store import Policies
from activities.policy.engine.evaluation import ANCHORED
from activities.policy.engine.verdicts import Deny
from activities.policy.values.provenance import Evidence, trace, worst_origin
from activities.storage.database import Database
from activities.tools.errors import ToolDeclarationError
from activities.tools.registry import find_tool
from activities.tools.spec import ToolSpec
from activities.undo.orders import is_rollback
from activities.undo.rollback_evidence import evidence_on_record

# A thousand times the usual duration of an evaluation (docs/performance.md): a longer one counts as hanging.
POLICY_SECONDS = 1.0  # CPU time rather than wall-clock time, so that a busy machine does not cause denials
BUSY = 10  # the wall-clock limit is this many times POLICY_SECONDS; it catches a policy that blocks

log = structlog.get_logger("stanchion.gateway")


class AncestorsUnknown(Permanent):
    """Ancestor runs are missing in the database, so the run's limits are unknown; restore them from a backup."""


@dataclass(frozen=True)
class CallEvaluator:
    """Evaluates the calls of one worker."""

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
            raise AncestorsUnknown(f"the runs above {facts.run_id} are not all in the database")
        return Candidate(facts, agent, pinned, spec, tuple(above))

    async def evaluate(self, call: Candidate) -> EvaluatedCall:
        """Evaluate a call, and log an error if a control is broken. Raises StoreUnavailable."""
        return self._log_broken_control(await self.evaluate_quietly(call))

    async def evaluate_quietly(self, call: Candidate) -> EvaluatedCall:
        """Evaluate a call without logging. Raises StoreUnavailable."""
        if verdict := is_in_order(call):
            return deny_out_of_order(call, verdict)
        return self._evaluate_in_time(call, await self._context(call))

    async def evaluate_as_approved(self, call: Candidate) -> EvaluatedCall:
        """Evaluate the arguments that the call's approval shows, without any later edit."""
        shown = replace(call, facts=replace(call.facts, edited=call.facts.approved_arguments))
        return evaluate(shown, await self._context(shown), call.facts.approved_arguments)

    async def lookup_key_is_untrusted(self, facts: CallFacts, spec: ToolSpec) -> bool:
        """Whether the sensitive arguments of a read were named by neither a person nor trusted data.

        If so, an attacker may have chosen what the read returns, even if its answer is true.
        """
        if spec.facts.effect != "read" or not spec.facts.sensitive:
            return False
        evidence = await self.evidence.read(facts, await self.agents.version(facts.agent_version))
        given = json.loads(facts.effective_arguments)
        asked = {name: given[name] for name in spec.facts.sensitive if name in given}
        return worst_origin(trace(asked, spec.facts.sensitive, evidence)) not in ANCHORED

    async def _context(self, call: Candidate) -> PolicyContext:
        evidence = await self._evidence(call)
        return PolicyContext(evidence, await self.policies.in_force(call.facts.tenant, call.facts.heads))

    async def _evidence(self, call: Candidate) -> Evidence:
        """What the run had read and written; for a call of a rollback, the records of the run it rolls back."""
        if is_rollback(call.facts.run_id):
            return await evidence_on_record(self.database, call.facts)
        return await self.evidence.read(call.facts, call.agent)

    def _evaluate_in_time(self, call: Candidate, context: PolicyContext) -> EvaluatedCall:
        """Evaluate a call, and deny it if that takes too long twice: once may be a pause of the garbage collector."""
        for _ in range(2):
            began, cpu = time.monotonic(), time.thread_time()
            evaluated = evaluate_in_order(call, context)
            took = max(time.thread_time() - cpu, (time.monotonic() - began) / BUSY)
            if took <= POLICY_SECONDS:
                return evaluated
        return deny_slow_evaluation(evaluated, took)

    def _log_broken_control(self, evaluated: EvaluatedCall) -> EvaluatedCall:
        """Log an error if a control is broken: until somebody repairs it, calls are denied."""
        verdict, facts = evaluated.verdict, evaluated.call.facts
        if isinstance(verdict, Deny) and verdict.rule in ALERTING:
            log.error("policy.broken", rule=verdict.rule, reason=verdict.reason, run_id=facts.run_id, tool=facts.tool)
        return evaluated


ALERTING = frozenset(("policy.error", "policy.missing", "policy.slow", "policy.silent"))
