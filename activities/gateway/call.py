"""The activity `gateway.call`: handles one tool call from its verdict to its result.

    load -> evaluate -> (ask a person) -> claim -> perform, with the idempotency key -> settle

Fast path: if this worker planned the call, it evaluates the call on the facts it remembers from planning. If the
verdict is allow, the call is claimed at once; the claim fails if one of those facts has changed. After a failed claim,
or another verdict, the facts are loaded from Postgres and the call is evaluated again. So remembered facts alone never
open an approval and never deny a call.

If the call has a stored result, that result is returned. If it has a claim but no result, an earlier attempt died or
lost its reply; the tool's effect contract then decides what this attempt may do. The activity can be retried at any
point.
"""

from collections.abc import Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from temporalio import activity

from activities.agents.versions import Agents
from activities.boundary import attempt, heartbeating
from activities.errors import clip
from activities.gateway.approval_requests import ApprovalRequests, needs_other_people
from activities.gateway.delegation.delegations import Delegations, NotDelegated
from activities.gateway.evaluation.budget_windows import windows_for_call
from activities.gateway.evaluation.checks import Candidate, EvaluatedCall
from activities.gateway.evaluation.evaluator import CallEvaluator
from activities.gateway.evaluation.evidence import EvidenceReader
from activities.gateway.execution import builtins
from activities.gateway.execution.after_halt import (
    AskPerson,
    AskTarget,
    GoOn,
    Leave,
    NotDone,
    Refuse,
    action_after_halt,
)
from activities.gateway.execution.effects import Claim, ClaimLost, Effects
from activities.gateway.execution.execution import Checkpoint, Execution, no_checkpoint
from activities.gateway.execution.perform import probe
from activities.gateway.execution.recovery import UNFIT, Recovery
from activities.gateway.execution.results import Result, from_error, from_value
from activities.gateway.facts import CallFacts, known_facts, load
from activities.halts.in_flight import HaltWatch, InFlightCall, StoppedByHalt
from activities.ledger.windows import CapReached
from activities.liveness.session import WorkerSession, new_worker_id
from activities.model.last_steps import PlannedSteps
from activities.policy.cedar.store import Policies
from activities.policy.engine.verdicts import Allow, Ask, Deny, Verdict
from activities.storage.database import Database, StoreUnavailable
from activities.storage.transcript import Transcripts
from activities.tools.registry import BUILTIN
from workflows.contracts.calls import CallRequest, CallResult, Halted, NeedsApproval, Refusal, Wait
from workflows.contracts.events import VerdictGiven
from workflows.contracts.halts import HaltNotice
from workflows.ports import GatewayPort

T = TypeVar("T")
WAIT, DELEGATE = "wait", "delegate"  # the run waits for these two; their effects are claimed in the state "waiting"


class Gateway(GatewayPort):
    """Implements the activity `gateway.call` in one worker."""

    def __init__(
        self,
        database: Database,
        agents: Agents,
        settings: Mapping[str, str] | None = None,
        checkpoint: Checkpoint = no_checkpoint,
        transcripts: Transcripts | None = None,
        watch: HaltWatch | None = None,
        steps: PlannedSteps | None = None,
        session: WorkerSession | None = None,
    ) -> None:
        self._database = database
        self._watch = watch or HaltWatch(database)
        transcripts = transcripts or Transcripts(database)
        self._evaluator = CallEvaluator(agents, EvidenceReader(transcripts), Policies(database), database)
        self._steps = steps or PlannedSteps()
        worker = session.worker_id if session else new_worker_id()
        self._effects = Effects(database, transcripts, session, worker)
        self._approval_requests = ApprovalRequests(database)
        self._delegations = Delegations(self._effects, agents, self._evaluator.evidence)
        self._execution = Execution(database, self._evaluator, self._effects, transcripts, settings or {}, checkpoint)
        self._recovery = Recovery(self._execution)
        self._checkpoint = checkpoint

    @activity.defn(name="gateway.call")
    async def call(self, request: CallRequest) -> CallResult:
        """Evaluate one call and perform it at most once."""
        async with heartbeating():
            facts = known_facts(self._steps, request.run_id, request.call_id)
            if facts and (
                answer := await self._run_until_halted(request, facts, self._try_remembered_facts(facts, request))
            ):
                return answer
            facts = await load(self._database, request.run_id, request.call_id)
            if done := facts.stored_result:
                return done
            return await self._run_until_halted(request, facts, self._continue(facts, request))

    async def _run_until_halted(
        self, request: CallRequest, facts: CallFacts, work: Coroutine[Any, Any, T]
    ) -> T | CallResult:
        """Await `work`; if a halt interrupts it, return the result that the halt allows."""
        in_flight = InFlightCall.of(facts.run_id, vars(facts), facts.tool, facts.call_id)
        try:
            return await self._watch.over(in_flight, work)
        except StoppedByHalt as stopped:
            return await self._handle_halt(request, stopped.halt)
        except ClaimLost:  # perhaps because a halt was committed after the facts were loaded
            if halt := (await load(self._database, facts.run_id, facts.call_id)).halted:
                return await self._handle_halt(request, halt)
            raise

    async def _try_remembered_facts(self, facts: CallFacts, request: CallRequest) -> CallResult | None:
        """Evaluate the call on remembered facts, and perform it if it is allowed and no fact has changed.

        Returns None if the call must be evaluated on facts loaded from Postgres.
        """
        if attempt() > 1 or request.refuse or request.woken or facts.tool in (WAIT, DELEGATE):
            return None
        call = replace(await self._evaluator.candidate(facts), used_seconds=request.used_seconds)
        if call.spec is None:
            return None
        evaluated = await self._evaluator.evaluate_quietly(call)
        if not isinstance(evaluated.verdict, Allow):
            return None
        try:
            claim = await self._execution.claim(
                call, call.spec, evaluated.verdict, evaluated.tier, windows_for_call(evaluated)
            )
        except (ClaimLost, CapReached):
            return None
        return await self._execution.perform(claim)

    async def _continue(self, facts: CallFacts, request: CallRequest) -> CallResult:
        """Continue the call from the state of its effect. Raises StoppedByHalt."""
        if facts.halted and facts.state in (None, "claimed"):
            raise StoppedByHalt(facts.halted)
        call = replace(await self._evaluator.candidate(facts), used_seconds=request.used_seconds)
        match facts.state:
            case None:
                return await self._evaluate_and_act(call, request)
            case "waiting":
                return await self._continue_waiting(call, request)
            case "unknown":
                return await self._recovery.act_on_answer(call)
            case _:
                return await self._recovery.recover(call)

    # ── the first attempt ───────────────────────────────────────────────────────────────────────────────────────────

    async def _evaluate_and_act(self, call: Candidate, request: CallRequest) -> CallResult:
        """Evaluate a call that no attempt has claimed yet, then deny it, ask about it or perform it."""
        if request.refuse:
            return await self._refuse(call, request.refuse)
        evaluated = await self._evaluator.evaluate(call)
        match evaluated.verdict:
            case Deny() as verdict:
                return await self._deny(evaluated, verdict)
            case Ask() as verdict:
                return await self._act_on_approval(evaluated, verdict)
            case Allow() as verdict if call.facts.approval_state is not None:
                return await self._act_on_approval(evaluated, verdict)  # an approval was opened, so its decision counts
            case Allow() as verdict:
                return await self._claim_and_perform(evaluated, verdict)

    async def _deny(self, evaluated: EvaluatedCall, verdict: Deny) -> CallResult:
        given = evaluated.call.given(verdict, evaluated.tier)
        if verdict.rule == "provenance.unanchored":
            await self._approval_requests.want_endorsement(evaluated, given)
        return await self._effects.refuse(
            evaluated.call.facts, given, _refusal_text(verdict), correctable=verdict.correctable
        )

    async def _refuse(self, call: Candidate, refusal: Refusal, *, correctable: bool = False) -> CallResult:
        verdict = Deny(refusal.rule, refusal.reason)
        return await self._effects.refuse(
            call.facts, call.given(verdict), _refusal_text(verdict), correctable=correctable
        )

    async def _act_on_approval(self, evaluated: EvaluatedCall, verdict: Allow | Ask) -> CallResult:
        call, facts = evaluated.call, evaluated.call.facts
        match facts.approval_state:
            case None:
                return await self._open_approval(evaluated, verdict)
            case "open" if not facts.expired:
                return await self._wait_for_approval(evaluated)
            case "approve" | "edit" if not facts.expired and not await self._approval_fits(evaluated):
                return await self._refuse(call, Refusal(rule="approval.unfit", reason=UNFIT))
            case "edit" if not facts.expired and (_edit_needs_new_approval(facts) or needs_other_people(evaluated)):
                return await self._open_approval(evaluated, verdict)
            case "approve" | "edit" if not facts.expired:
                word = "approved" if facts.approval_state == "approve" else "edited"
                return await self._claim_and_perform(
                    evaluated, Allow("approval.given", f"{word} by {facts.decided_by}")
                )
            case "respond":
                given = call.given(Deny("approval.responded", f"{facts.decided_by} answered instead"))
                text = facts.decision_reason or "(no answer)"
                return await self._effects.refuse(facts, given, text, is_error=False)
            case "reject":
                because = f": {facts.decision_reason}" if facts.decision_reason else " without a reason"
                reason = f"{facts.decided_by} rejected it{because}"
                return await self._refuse(call, Refusal(rule="approval.rejected", reason=reason))
            case _:
                reason = "its approval expired or was withdrawn before it was performed"
                return await self._refuse(call, Refusal(rule="approval.expired", reason=reason))

    async def _approval_fits(self, evaluated: EvaluatedCall) -> bool:
        """Whether the approval was given for exactly this call: its arguments, tool, policies, taint and expiry."""
        facts, spec = evaluated.call.facts, evaluated.call.spec
        assert spec and facts.approved_arguments
        if facts.approval_state == "approve" and facts.approved_arguments != facts.effective_arguments:
            return False
        bound = await self._evaluator.evaluate_as_approved(evaluated.call)
        return facts.approved_digest == facts.binding(
            spec.pinned_hash, facts.expires_at, bound.taint, facts.approved_arguments
        )

    async def _open_approval(self, evaluated: EvaluatedCall, verdict: Allow | Ask) -> CallResult:
        """Open the approval, then load the facts again: a standing approval may have approved the call at once."""
        await self._approval_requests.ask(
            evaluated, evaluated.call.given(Ask(verdict.rule, verdict.reason), evaluated.tier)
        )
        await self._checkpoint("approval-asked")
        facts = await load(self._database, evaluated.call.facts.run_id, evaluated.call.facts.call_id)
        return await self._act_on_approval(replace(evaluated, call=replace(evaluated.call, facts=facts)), verdict)

    async def _wait_for_approval(self, evaluated: EvaluatedCall) -> CallResult:
        """Report that the call waits for people; first send the one-time code if its subject must confirm the call.

        If the code cannot be delivered, the call is refused.
        """
        facts = evaluated.call.facts
        if facts.subject and not facts.code_sent:
            try:
                await self._approval_requests.send_code(evaluated, self._execution.context(facts))
            except StoreUnavailable:
                raise
            except Exception as error:
                reason = clip(f"the one-time code could not be delivered to {facts.subject}: {error}")
                return await self._refuse(evaluated.call, Refusal(rule="approval.no-code", reason=reason))
        return _needs_approval(evaluated)

    # ── the effect ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _claim_and_perform(self, evaluated: EvaluatedCall, verdict: Verdict) -> CallResult:
        call = evaluated.call
        assert call.spec
        if call.spec is BUILTIN["wait"]:
            return await self._start_waiting(call, verdict)
        if call.spec is BUILTIN["delegate"]:
            return await self._start_delegating(call, call.given(verdict, evaluated.tier))
        try:
            claim = await self._execution.claim(call, call.spec, verdict, evaluated.tier, windows_for_call(evaluated))
        except CapReached as error:
            return await self._refuse(call, Refusal(rule=error.rule, reason=str(error)))
        return await self._execution.perform(claim)

    # ── halts ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _handle_halt(self, request: CallRequest, halt: HaltNotice) -> CallResult:
        """Handle a call that a halt covers or has interrupted, as its effect contract allows."""
        facts = await load(self._database, request.run_id, request.call_id)
        if done := facts.stored_result:
            return done  # the call was settled before the halt, or while the halt interrupted it
        call = await self._evaluator.candidate(facts)
        match action_after_halt(facts, call.spec, halt):
            case Leave():
                return Halted(call_id=facts.call_id, halt=halt)
            case GoOn():
                return await (
                    self._continue_waiting(call, request)
                    if facts.state == "waiting"
                    else self._recovery.act_on_answer(call)
                )
            case Refuse(reason=reason):
                return await self._refuse(call, Refusal(rule=halt.rule, reason=reason))
            case NotDone(reason=reason):
                return await self._execution.settle(
                    _existing_claim(call), from_error(reason, settled_by="halt", happened=False)
                )
            case AskPerson(reason=reason):
                return await self._execution.ask_what_happened(_existing_claim(call), reason)
            case AskTarget(reason=reason, final=final):
                arguments = _existing_claim(call).spec.arguments.validate(facts.effective_arguments)
                found = await probe(_existing_claim(call).spec, self._execution.context(facts), arguments)
                if isinstance(found, Result):
                    return await self._execution.settle(_existing_claim(call), found)
                if found is None and final:
                    return await self._execution.settle(
                        _existing_claim(call), from_error(reason, settled_by="probe", happened=False)
                    )
                if found is not None and halt.scope == "tool":
                    return await self._execution.ask_what_happened(_existing_claim(call), found.reason)
                return Halted(call_id=facts.call_id, halt=halt)

    # ── waiting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _start_waiting(self, call: Candidate, verdict: Verdict) -> CallResult:
        assert call.spec
        until = builtins.wait_until(call.spec.arguments.validate(call.facts.effective_arguments), datetime.now(UTC))
        await self._effects.claim(call.facts, call.spec, call.given(verdict), wait_until=until)
        return Wait(call_id=call.facts.call_id, until=until)

    async def _start_delegating(self, call: Candidate, given: VerdictGiven) -> CallResult:
        await self._checkpoint("before-claim")
        try:
            spawn = await self._delegations.begin(call, given)
        except CapReached as error:
            return await self._refuse(call, Refusal(rule=error.rule, reason=str(error)))
        except NotDelegated as no:
            return await self._refuse(call, no.refusal, correctable=no.correctable)
        await self._checkpoint("after-claim")
        return spawn

    async def _continue_waiting(self, call: Candidate, request: CallRequest) -> CallResult:
        facts = call.facts
        assert call.spec
        if call.spec is BUILTIN["delegate"] and not request.woken:
            return await self._delegations.existing(facts)
        if call.spec is BUILTIN["delegate"]:
            return await self._execution.settle(_existing_claim(call), await self._delegations.outcome(facts))
        assert facts.wait_until
        if not request.woken:
            return Wait(call_id=facts.call_id, until=facts.wait_until)
        text = builtins.woke_up(facts.wait_until, datetime.now(UTC))
        return await self._execution.settle(_existing_claim(call), from_value(text, "trusted", facts.call_id))


def _existing_claim(call: Candidate) -> Claim:
    """The claim on this call as Postgres has it; an earlier attempt may have made it."""
    assert call.spec and call.facts.fence
    return Claim(call.facts, call.spec, call.facts.fence)


def _edit_needs_new_approval(facts: CallFacts) -> bool:
    """Whether an edit needs a new approval: an edit is one person's approval of the new arguments.

    If several people or the call's subject must approve, the others have to see the edited call.
    """
    return (facts.needed or 1) > 1 or facts.subject is not None


def _refusal_text(verdict: Deny) -> str:
    return f"Not performed ({verdict.rule}): {verdict.reason}"


def _needs_approval(evaluated: EvaluatedCall) -> NeedsApproval:
    facts = evaluated.call.facts
    assert facts.approval_id and facts.expires_at
    return NeedsApproval(
        call_id=facts.call_id,
        approval_id=facts.approval_id,
        tool=facts.tool,
        tier=evaluated.tier,
        expires_at=facts.expires_at,
        reviewer=facts.reviewer,
    )
