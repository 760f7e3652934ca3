"""Handles a claim without a result: the effect contract decides what this attempt may do."""

from dataclasses import dataclass

from activities.gateway.evaluation.checks import Candidate
from activities.gateway.execution.effects import Claim
from activities.gateway.execution.execution import EffectInDoubt, Execution
from activities.gateway.execution.perform import TRIES
from activities.gateway.execution.results import from_error, from_value
from activities.policy.engine.verdicts import Allow
from workflows.contracts.calls import CallResult, Unknown

UNFIT = "the approval was given for another call: arguments, tool, policy, taint or expiry have changed since"


@dataclass(frozen=True)
class Recovery:
    """Continues a call that an earlier attempt claimed."""

    _execution: Execution

    async def recover(self, call: Candidate) -> CallResult:
        """Continue after an earlier attempt that claimed the effect and left no result, as the effect contract says."""
        facts, spec = call.facts, call.spec
        if spec is None or (call.pinned and spec.pinned_hash != call.pinned.pinned_hash):
            raise EffectInDoubt(f"this worker does not have {facts.tool} as the agent was published with it")
        old_claim = Claim(facts, spec, facts.fence or 1)
        if spec.contract.name == "irreversible":
            return await self._execution.ask_what_happened(
                old_claim, "the attempt that made this call died before its result was stored"
            )
        if facts.expired:
            return await self._execution.ask_what_happened(
                old_claim, "its approval expired before it could be tried again"
            )
        if old_claim.fence >= TRIES and spec.contract.name != "pure":
            return await self._execution.ask_what_happened(old_claim, f"{old_claim.fence} attempts left no result")
        claim = await self._execution.claim(call, spec, Allow("effect.recovered", spec.contract.name))
        if spec.contract.name == "checkable":
            return await self._execution.probe(claim, "an earlier attempt left no result", go_on=True)
        return await self._execution.perform(claim, tried_before=spec.contract.name != "pure")

    async def act_on_answer(self, call: Candidate) -> CallResult:
        """Act on a person's answer to the question whether an effect with unknown outcome happened."""
        facts, spec = call.facts, call.spec
        assert facts.approval_id
        if spec is None:
            raise EffectInDoubt(f"this worker does not have {facts.tool}")
        claim = Claim(facts, spec, facts.fence or 1)
        note = f" ({facts.decision_reason})" if facts.decision_reason else ""
        match facts.approval_state:
            case "happened":
                text = f"It happened, says {facts.decided_by}{note}; the reply was lost."
                return await self._execution.settle(claim, from_value(text, "trusted", facts.call_id, "person"))
            case "did-not" if facts.approved_digest != facts.binding(spec.pinned_hash, None):
                text = f"{facts.decided_by} says it did not happen{note}. It was not tried again: {UNFIT}"
                return await self._execution.settle(claim, from_error(text, happened=False))
            case "did-not":
                allowed = Allow("unknown.did-not", f"{facts.decided_by} says it did not happen{note}")
                return await self._execution.perform(await self._execution.claim(call, spec, allowed))
            case "stop":
                return await self._execution.settle(claim, from_error(f"{facts.decided_by} stopped the run here{note}"))
            case _:
                return Unknown(call_id=facts.call_id, approval_id=facts.approval_id, tool=facts.tool)
