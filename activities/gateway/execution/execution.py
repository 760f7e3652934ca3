"""Claims one effect, performs it, and settles it.

If a tool fails without saying whether it had its effect, the effect contract decides: probe the target, retry, or ask a
person.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from activities.errors import Transient
from activities.gateway.approval_requests import rule_for
from activities.gateway.evaluation.checks import Candidate
from activities.gateway.evaluation.evaluator import CallEvaluator
from activities.gateway.execution import builtins
from activities.gateway.execution.effects import Claim, Effects
from activities.gateway.execution.novelty import novelty_of
from activities.gateway.execution.perform import TRIES, Doubt, perform, probe
from activities.gateway.execution.plausibility import AnsweredCall, with_plausibility
from activities.gateway.execution.results import Result, from_error
from activities.gateway.facts import CallFacts, load
from activities.ledger.windows import Window
from activities.policy.engine.verdicts import Verdict
from activities.storage.database import Database, StoreUnavailable
from activities.storage.transcript import Transcripts
from activities.tools.context import ToolContext
from activities.tools.registry import BUILTIN
from activities.tools.spec import ToolSpec
from workflows.contracts.calls import CallResult, Tier, Unknown

# An older claim is not acted on: the activity's heartbeat may have timed out, and another attempt may own the effect.
CLAIM_FRESH_SECONDS = 4.0

SETTLE_PAUSES = (0.5, 1, 2, 4, 8, 8)  # seconds; the activity has a minute more than the tool's own time-out

Checkpoint = Callable[[str], Awaitable[None]]


async def no_checkpoint(where: str) -> None:
    """Does nothing. A checkpoint is called at each boundary of a call, so that tests can interrupt it there."""


class EffectInDoubt(Transient):
    """The tool's outcome is not known yet, and its effect contract allows another attempt."""


@dataclass(frozen=True)
class Execution:
    """Performs the effects of one worker."""

    _database: Database
    _evaluator: CallEvaluator
    _effects: Effects
    _transcripts: Transcripts
    _settings: Mapping[str, str]
    _checkpoint: Checkpoint

    async def claim(
        self,
        call: Candidate,
        spec: ToolSpec,
        verdict: Verdict,
        tier: Tier | None = None,
        windows: Sequence[Window] = (),
    ) -> Claim:
        """Claim the effect. Raises ClaimLost, CapReached; EffectInDoubt if the claim took too long to be safe."""
        await self._checkpoint("before-claim")
        started = time.monotonic()
        # This digest was just found to fit; the statement checks that the approval still has it, given and unexpired.
        claim = await self._effects.claim(
            call.facts,
            spec,
            call.given(verdict, tier),
            approved_digest=call.facts.approved_digest,
            windows=windows,
        )
        await self._checkpoint("after-claim")
        if time.monotonic() - started > CLAIM_FRESH_SECONDS:
            raise EffectInDoubt("the claim took too long to be sure that it is still ours; nothing was done")
        return claim

    async def perform(self, claim: Claim, *, tried_before: bool = False) -> CallResult:
        """Run the tool and settle its result. Raises ClaimLost, EffectInDoubt.

        `tried_before`: an earlier attempt may have had the effect, so an error of this one does not prove the contrary.
        """
        arguments = claim.spec.arguments.validate(claim.facts.effective_arguments)
        ctx = self.context(claim.facts)
        if claim.spec is BUILTIN["read_output"]:
            outcome: Result | Doubt = await builtins.read_output(self._database, claim.facts.run_id, **arguments)
        else:
            outcome = await perform(claim.spec, ctx, arguments)
        await self._checkpoint("after-effect")
        if isinstance(outcome, Doubt):
            return await self._settle_doubt(claim, outcome)
        return await self.settle(claim, replace(outcome, happened=True) if tried_before else outcome)

    async def settle(self, claim: Claim, result: Result) -> CallResult:
        """Store a known result. Raises ClaimLost, StoreUnavailable."""
        # Shielded, because a known result must be stored even if the activity is cancelled.
        settling = asyncio.ensure_future(self._settle_with_retries(claim, result))
        try:
            answer = await asyncio.shield(settling)
        except asyncio.CancelledError:
            await settling
            raise
        await self._checkpoint("after-settle")
        return answer

    async def _settle_with_retries(self, claim: Claim, result: Result) -> CallResult:
        """Settle, with retries through a short outage: a known result must not become a question to a person."""
        for pause in SETTLE_PAUSES:
            try:
                return await self._check_and_settle(claim, result)
            except StoreUnavailable:
                await asyncio.sleep(pause)
            with suppress(StoreUnavailable):
                facts = await load(self._database, claim.facts.run_id, claim.facts.call_id)
                if facts.stored_result and facts.fence == claim.fence:
                    return facts.stored_result  # it was stored; only the reply was lost
        return await self._check_and_settle(claim, result)

    async def _check_and_settle(self, claim: Claim, result: Result) -> CallResult:
        """Settle, after the plausibility checks, and as untrusted if an untrusted value chose what was read."""
        facts = claim.facts
        if result.origin == "trusted" and await self._evaluator.lookup_key_is_untrusted(facts, claim.spec):
            result = replace(result, origin="untrusted")
        asked = AnsweredCall(facts.tenant, facts.run_id, facts.call_id, facts.digest)
        checked = await with_plausibility(self._database, claim.spec, asked, result.data, result)
        return await self._effects.settle(claim, checked, await novelty_of(self._transcripts, facts, checked))

    async def _settle_doubt(self, claim: Claim, doubt: Doubt) -> CallResult:
        """Handle a tool run of this attempt whose outcome is not known, as its effect contract says."""
        if doubt.settles == "probe":
            return await self.probe(claim, doubt.reason, go_on=False)
        if doubt.settles == "retry" and claim.fence < TRIES:
            raise EffectInDoubt(doubt.reason)
        return await self.ask_what_happened(claim, doubt.reason)

    async def probe(self, claim: Claim, reason: str, *, go_on: bool) -> CallResult:
        """Ask the target whether the effect happened; if not, perform it (`go_on`) or tell the model that it failed."""
        arguments = claim.spec.arguments.validate(claim.facts.effective_arguments)
        found = await probe(claim.spec, self.context(claim.facts), arguments)
        match found:
            case Result():
                return await self.settle(claim, found)
            case None if go_on:
                return await self.perform(claim)
            case None:
                origin = claim.spec.facts.output  # the reason may be the tool's own words
                return await self.settle(
                    claim, from_error(f"it did not happen: {reason}", origin, "probe", happened=False)
                )
            case Doubt() if claim.fence < TRIES:
                raise EffectInDoubt(f"{reason}; {found.reason}")
            case Doubt():
                return await self.ask_what_happened(claim, f"{reason}; {found.reason}")

    async def ask_what_happened(self, claim: Claim, reason: str) -> CallResult:
        """Ask a person what happened. Raises ClaimLost."""
        rule = rule_for(await self._evaluator.candidate(claim.facts))
        approval_id = await self._effects.doubt(claim, reason, rule)
        return Unknown(call_id=claim.facts.call_id, approval_id=approval_id, tool=claim.facts.tool)

    def context(self, facts: CallFacts) -> ToolContext:
        """The context that a tool, a probe or the delivery of a one-time code gets."""
        return ToolContext(
            run_id=facts.run_id,
            call_id=facts.call_id,
            agent=facts.agent,
            tenant=facts.tenant,
            requester=facts.requester,
            settings=self._settings,
        )
