"""`gateway.call`: the one door to the world.

    load -> judge -> (ask a person) -> claim -> effect, with the key -> settle

A call that this worker has planned is judged on the facts of then: if it is allowed, the claim refuses it should any of
them have changed, and it is loaded and judged anew. Nothing is asked or denied on remembered facts.

A call that has a result gives it again. A claim without a result means that an earlier attempt died or lost its reply,
and the tool's effect contract says what this attempt may do. Safe to attempt again at any point.
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
WAIT, DELEGATE = "wait", "delegate"  # of these the run waits, and the claim is another


class Gateway(GatewayPort):
    """The gateway of one worker."""

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
        self._asking = ApprovalRequests(database)
        self._delegations = Delegations(self._effects, agents, self._evaluator.evidence)
        self._execution = Execution(database, self._evaluator, self._effects, transcripts, settings or {}, checkpoint)
        self._recovery = Recovery(self._execution)
        self._checkpoint = checkpoint

    @activity.defn(name="gateway.call")
    async def call(self, request: CallRequest) -> CallResult:
        """Decide about one call and perform it at most once."""
        async with heartbeating():
            facts = known_facts(self._steps, request.run_id, request.call_id)
            if facts and (answer := await self._watched(request, facts, self._at_once(facts, request))):
                return answer
            facts = await load(self._database, request.run_id, request.call_id)
            if done := facts.stored_result:
                return done
            return await self._watched(request, facts, self._called(facts, request))

    async def _watched(self, request: CallRequest, facts: CallFacts, work: Coroutine[Any, Any, T]) -> T | CallResult:
        """`work`, watched over: a halt cuts it short."""
        flight = InFlightCall.of(facts.run_id, vars(facts), facts.tool, facts.call_id)
        try:
            return await self._watch.over(flight, work)
        except StoppedByHalt as stopped:
            return await self._halted(request, stopped.halt)
        except ClaimLost:  # to a halt that came after we had looked?
            if halt := (await load(self._database, facts.run_id, facts.call_id)).halted:
                return await self._halted(request, halt)
            raise

    async def _at_once(self, facts: CallFacts, request: CallRequest) -> CallResult | None:
        """Judge a call on remembered facts; perform it if it is allowed and nothing has changed. None: look anew."""
        if attempt() > 1 or request.refuse or request.woken or facts.tool in (WAIT, DELEGATE):
            return None
        call = replace(await self._evaluator.candidate(facts), used_seconds=request.used_seconds)
        if call.spec is None:
            return None
        judged = await self._evaluator.evaluate_quietly(call)
        if not isinstance(judged.verdict, Allow):
            return None
        try:
            claim = await self._execution.claim(call, call.spec, judged.verdict, judged.tier, windows_for_call(judged))
        except (ClaimLost, CapReached):
            return None
        return await self._execution.perform(claim)

    async def _called(self, facts: CallFacts, request: CallRequest) -> CallResult:
        """Go on with the call from where it is. Raises Stopped."""
        if facts.halted and facts.state in (None, "claimed"):
            raise StoppedByHalt(facts.halted)
        call = replace(await self._evaluator.candidate(facts), used_seconds=request.used_seconds)
        match facts.state:
            case None:
                return await self._first(call, request)
            case "waiting":
                return await self._waiting(call, request)
            case "unknown":
                return await self._recovery.resolved(call)
            case _:
                return await self._recovery.recover(call)

    # ── the first attempt ───────────────────────────────────────────────────────────────────────────────────────────

    async def _first(self, call: Candidate, request: CallRequest) -> CallResult:
        """No attempt has claimed this call yet."""
        if request.refuse:
            return await self._refused(call, request.refuse)
        judged = await self._evaluator.evaluate(call)
        match judged.verdict:
            case Deny() as verdict:
                return await self._denied(judged, verdict)
            case Ask() as verdict:
                return await self._approved_or_ask(judged, verdict)
            case Allow() as verdict if call.facts.approval_state is not None:
                return await self._approved_or_ask(judged, verdict)  # it was asked about: the answer counts
            case Allow() as verdict:
                return await self._claim_and_perform(judged, verdict)

    async def _denied(self, judged: EvaluatedCall, verdict: Deny) -> CallResult:
        given = judged.call.given(verdict, judged.tier)
        if verdict.rule == "provenance.unanchored":
            await self._asking.want_endorsement(judged, given)
        return await self._effects.refuse(
            judged.call.facts, given, _not_performed(verdict), correctable=verdict.correctable
        )

    async def _refused(self, call: Candidate, refusal: Refusal, *, correctable: bool = False) -> CallResult:
        verdict = Deny(refusal.rule, refusal.reason)
        return await self._effects.refuse(
            call.facts, call.given(verdict), _not_performed(verdict), correctable=correctable
        )

    async def _approved_or_ask(self, judged: EvaluatedCall, verdict: Allow | Ask) -> CallResult:
        call, facts = judged.call, judged.call.facts
        match facts.approval_state:
            case None:
                return await self._ask(judged, verdict)
            case "open" if not facts.expired:
                return await self._asked(judged)
            case "approve" | "edit" if not facts.expired and not await self._fits(judged):
                return await self._refused(call, Refusal(rule="approval.unfit", reason=UNFIT))
            case "edit" if not facts.expired and (_needs_more_people(facts) or needs_other_people(judged)):
                return await self._ask(judged, verdict)
            case "approve" | "edit" if not facts.expired:
                word = "approved" if facts.approval_state == "approve" else "edited"
                return await self._claim_and_perform(judged, Allow("approval.given", f"{word} by {facts.decided_by}"))
            case "respond":
                given = call.given(Deny("approval.responded", f"{facts.decided_by} answered instead"))
                text = facts.decision_reason or "(no answer)"
                return await self._effects.refuse(facts, given, text, is_error=False)
            case "reject":
                because = f": {facts.decision_reason}" if facts.decision_reason else " without a reason"
                reason = f"{facts.decided_by} rejected it{because}"
                return await self._refused(call, Refusal(rule="approval.rejected", reason=reason))
            case _:
                reason = "its approval expired or was withdrawn before it was performed"
                return await self._refused(call, Refusal(rule="approval.expired", reason=reason))

    async def _fits(self, judged: EvaluatedCall) -> bool:
        """The approval was given for exactly this call, as it is now: its bytes, tool, policies, taint and expiry."""
        facts, spec = judged.call.facts, judged.call.spec
        assert spec and facts.approved_arguments
        if facts.approval_state == "approve" and facts.approved_arguments != facts.effective_arguments:
            return False
        bound = await self._evaluator.evaluate_as_approved(judged.call)
        return facts.approved_digest == facts.binding(
            spec.pinned_hash, facts.expires_at, bound.taint, facts.approved_arguments
        )

    async def _ask(self, judged: EvaluatedCall, verdict: Allow | Ask) -> CallResult:
        """Open the approval, and look again: someone may have said yes to the next few calls like this one."""
        await self._asking.ask(judged, judged.call.given(Ask(verdict.rule, verdict.reason), judged.tier))
        await self._checkpoint("approval-asked")
        facts = await load(self._database, judged.call.facts.run_id, judged.call.facts.call_id)
        return await self._approved_or_ask(replace(judged, call=replace(judged.call, facts=facts)), verdict)

    async def _asked(self, judged: EvaluatedCall) -> CallResult:
        """It waits for people; whom it is about gets a code to confirm with. A code that cannot arrive means no."""
        facts = judged.call.facts
        if facts.subject and not facts.code_sent:
            try:
                await self._asking.send_code(judged, self._execution.context(facts))
            except StoreUnavailable:
                raise
            except Exception as error:
                reason = clip(f"the one-time code could not be brought to {facts.subject}: {error}")
                return await self._refused(judged.call, Refusal(rule="approval.no-code", reason=reason))
        return _needs_approval(judged)

    # ── the effect ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _claim_and_perform(self, judged: EvaluatedCall, verdict: Verdict) -> CallResult:
        call = judged.call
        assert call.spec
        if call.spec is BUILTIN["wait"]:
            return await self._start_waiting(call, verdict)
        if call.spec is BUILTIN["delegate"]:
            return await self._delegate(call, call.given(verdict, judged.tier))
        try:
            claim = await self._execution.claim(call, call.spec, verdict, judged.tier, windows_for_call(judged))
        except CapReached as error:
            return await self._refused(call, Refusal(rule=error.rule, reason=str(error)))
        return await self._execution.perform(claim)

    # ── halts ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _halted(self, request: CallRequest, halt: HaltNotice) -> CallResult:
        """A halt stands against this call, or cut it short: what its effect contract still allows to be said."""
        facts = await load(self._database, request.run_id, request.call_id)
        if done := facts.stored_result:
            return done  # it was done before the halt came, or its result was written in spite of it
        call = await self._evaluator.candidate(facts)
        match action_after_halt(facts, call.spec, halt):
            case Leave():
                return Halted(call_id=facts.call_id, halt=halt)
            case GoOn():
                return await (
                    self._waiting(call, request) if facts.state == "waiting" else self._recovery.resolved(call)
                )
            case Refuse(reason=reason):
                return await self._refused(call, Refusal(rule=halt.rule, reason=reason))
            case NotDone(reason=reason):
                return await self._execution.settle(_held(call), from_error(reason, settled_by="halt", happened=False))
            case AskPerson(reason=reason):
                return await self._execution.unknown(_held(call), reason)
            case AskTarget(reason=reason, final=final):
                arguments = _held(call).spec.arguments.validate(facts.effective_arguments)
                found = await probe(_held(call).spec, self._execution.context(facts), arguments)
                if isinstance(found, Result):
                    return await self._execution.settle(_held(call), found)
                if found is None and final:
                    return await self._execution.settle(
                        _held(call), from_error(reason, settled_by="probe", happened=False)
                    )
                if found is not None and halt.scope == "tool":
                    return await self._execution.unknown(_held(call), found.reason)
                return Halted(call_id=facts.call_id, halt=halt)

    # ── waiting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _start_waiting(self, call: Candidate, verdict: Verdict) -> CallResult:
        assert call.spec
        until = builtins.wait_until(call.spec.arguments.validate(call.facts.effective_arguments), datetime.now(UTC))
        await self._effects.claim(call.facts, call.spec, call.given(verdict), wait_until=until)
        return Wait(call_id=call.facts.call_id, until=until)

    async def _delegate(self, call: Candidate, given: VerdictGiven) -> CallResult:
        await self._checkpoint("before-claim")
        try:
            spawn = await self._delegations.begin(call, given)
        except CapReached as error:
            return await self._refused(call, Refusal(rule=error.rule, reason=str(error)))
        except NotDelegated as no:
            return await self._refused(call, no.refusal, correctable=no.correctable)
        await self._checkpoint("after-claim")
        return spawn

    async def _waiting(self, call: Candidate, request: CallRequest) -> CallResult:
        facts = call.facts
        assert call.spec
        if call.spec is BUILTIN["delegate"] and not request.woken:
            return await self._delegations.under_way(facts)
        if call.spec is BUILTIN["delegate"]:
            return await self._execution.settle(_held(call), await self._delegations.outcome(facts))
        assert facts.wait_until
        if not request.woken:
            return Wait(call_id=facts.call_id, until=facts.wait_until)
        text = builtins.woke_up(facts.wait_until, datetime.now(UTC))
        return await self._execution.settle(_held(call), from_value(text, "trusted", facts.call_id))


def _held(call: Candidate) -> Claim:
    """The claim that some attempt at this call holds."""
    assert call.spec and call.facts.fence
    return Claim(call.facts, call.spec, call.facts.fence)


def _needs_more_people(facts: CallFacts) -> bool:
    """An edit is one person's yes; where more are asked, or someone has to confirm, they see the edited call."""
    return (facts.needed or 1) > 1 or facts.subject is not None


def _not_performed(verdict: Deny) -> str:
    return f"Not performed ({verdict.rule}): {verdict.reason}"


def _needs_approval(judged: EvaluatedCall) -> NeedsApproval:
    facts = judged.call.facts
    assert facts.approval_id and facts.expires_at
    return NeedsApproval(
        call_id=facts.call_id,
        approval_id=facts.approval_id,
        tool=facts.tool,
        tier=judged.tier,
        expires_at=facts.expires_at,
        reviewer=facts.reviewer,
    )
