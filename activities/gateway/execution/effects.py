"""Writes the table `effects`: claims, settles and refuses calls, each in one statement; its only writer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

from activities.agents.definition import ApprovalRule
from activities.errors import Transient
from activities.gateway.approval_requests import escalation_of, people_needed
from activities.gateway.digest import approval_id_for
from activities.gateway.execution.novelty import Novelty
from activities.gateway.execution.results import Result
from activities.gateway.facts import SQL, CallFacts
from activities.ledger.ledger import NOTHING_BUT_A_CALL, naming_breaches, window_arguments
from activities.ledger.windows import Window
from activities.liveness.session import WorkerSession, new_worker_id
from activities.model.provider import ToolResult
from activities.storage.canonical import canonical_json
from activities.storage.database import Database
from activities.storage.trace import Trace
from activities.storage.transcript import Stored, Transcripts, row_of, stored
from activities.tools.spec import ToolSpec
from workflows.contracts.base import Frozen
from workflows.contracts.calls import CallResult, Observed, Refused
from workflows.contracts.events import CallClaimed, CallObserved, LateResult, OutcomeUnknown, VerdictGiven


class ClaimLost(Transient):
    """Another attempt owns this effect, or a fact that the verdict was based on has changed; load the facts again."""


class WorkerUnconnected(Transient):
    """This worker lost its Postgres session, so other workers may consider it dead; nothing was done."""


OPEN_ENDED = 10 * 365 * 86_400  # seconds: the hold of a call that waits ends with the wait or with its run
HOLD_MARGIN = 1_200  # seconds that a hold outlives the tool's time-out; more than the retries of workflows/options.py


@dataclass(frozen=True)
class Claim:
    """An effect that this attempt owns until another attempt raises the fence."""

    facts: CallFacts
    spec: ToolSpec
    fence: int


@dataclass(frozen=True)
class Effects:
    """Writes effects, with their holds, transcript rows and events."""

    database: Database
    transcripts: Transcripts | None = None  # the worker's transcript cache; rows written here are added to it
    session: WorkerSession | None = None  # the worker's lock session; if None, no other worker can fence this one
    worker: str = field(default_factory=new_worker_id)

    async def claim(
        self,
        facts: CallFacts,
        spec: ToolSpec,
        verdict: VerdictGiven,
        *,
        approved_digest: str | None = None,
        windows: Sequence[Window] = (),
        wait_until: datetime | None = None,
        waits: bool = False,
    ) -> Claim:
        """Claim the effect, and reserve what it uses.

        `approved_digest`: the digest that its approval must have. `waits`: the run waits for it, and no tool is run.

        Raises ClaimLost if the run is closed or halted, if the approval does not fit, if a fact of the run differs from
        `facts`, or if another attempt was first. Raises CapReached if a budget has too little left. Raises
        WorkerUnconnected.
        """
        if self.session and not self.session.may_claim:
            raise WorkerUnconnected()
        claimed = CallClaimed(
            call_id=facts.call_id, tool=facts.tool, contract=spec.contract.name, fence=(facts.fence or 0) + 1
        )
        trace = self._trace(facts, verdict, claimed)
        columns: dict[str, Any] = dict(
            run_id=facts.run_id,
            call_id=facts.call_id,
            tool=facts.tool,
            contract=spec.contract.name,
            effect=spec.facts.effect,
            state="waiting" if wait_until or waits else "claimed",
            digest=facts.binding(spec.pinned_hash, None),
            approval_id=facts.approval_id,
            approved_digest=approved_digest,
            wait_until=wait_until,
            seen_fence=facts.fence,
            run_digest=facts.run_digest,
            call_digest=facts.digest,
            worker=self.worker,
            step=facts.step,
            wanted=window_arguments(windows),
            hold_seconds=OPEN_ENDED if waits else spec.timeout + HOLD_MARGIN,
            **trace.columns,
        )
        with naming_breaches(windows):
            row = await SQL["claim"].row(self.database, **columns)
        if row is None:
            raise ClaimLost(f"{facts.tool} {facts.call_id} could not be claimed")
        trace.emit()
        return Claim(facts, spec, row["fence"])

    async def settle(self, claim: Claim, result: Result, novelty: Novelty) -> CallResult:
        """Store the result. If this attempt was fenced off, records the result in the trace only; raises ClaimLost."""
        facts = claim.facts
        used = None if result.used is None else canonical_json(dict(result.used))
        answer = Observed(
            call_id=facts.call_id,
            is_error=result.is_error,
            digest=novelty.digest,
            new=novelty.new,
            happened=result.happened,
            spent=result.spent,
        )
        trace = self._trace(facts, _observed_event(facts, result))
        late = LateResult(call_id=facts.call_id, tool=facts.tool, fence=claim.fence, is_error=result.is_error)
        content = stored((ToolResult(call_id=facts.call_id, text=result.text, is_error=result.is_error),))
        row = await SQL["settle"].row(
            self.database,
            run_id=facts.run_id,
            call_id=facts.call_id,
            fence=claim.fence,
            result=answer.model_dump_json(),
            output=result.spill_digest,
            step=facts.step,
            seq=facts.seq,
            origin=result.origin,
            content=content.content,
            blob=content.blob,
            suspect=result.suspect,
            used=used if result.happened else NOTHING_BUT_A_CALL,
            late=to_json(late).decode(),
            **_blobs((content.blob, content.blob_text), (result.spill_digest, result.spilled)),
            **trace.columns,
        )
        if row is None or not row["settled"]:
            self._trace(facts, late).emit()
            raise ClaimLost(f"{facts.tool} {facts.call_id} was taken over while it ran; its late result is recorded")
        trace.emit()
        self._cache_row(facts, result.origin, content, result.suspect)
        return answer

    async def refuse(
        self, facts: CallFacts, verdict: VerdictGiven, text: str, *, correctable: bool = False, is_error: bool = True
    ) -> CallResult:
        """Store that the call is not performed, and why. Raises ClaimLost if it has a result already."""
        content = stored((ToolResult(call_id=facts.call_id, text=text, is_error=is_error),))
        answer = Refused(call_id=facts.call_id, rule=verdict.rule, correctable=correctable)
        trace = self._trace(facts, verdict)
        row = await SQL["refuse"].row(
            self.database,
            run_id=facts.run_id,
            call_id=facts.call_id,
            tool=facts.tool,
            contract="none",
            effect="none",
            digest=facts.digest,
            result=answer.model_dump_json(),
            worker=self.worker,
            step=facts.step,
            seq=facts.seq,
            approval_state="expired" if verdict.rule == "approval.expired" else "withdrawn",
            **vars(content),
            **trace.columns,
        )
        if row is None or not row["refused"]:
            raise ClaimLost(f"{facts.tool} {facts.call_id} has a result already")
        trace.emit()
        self._cache_row(facts, "trusted", content)
        return answer

    async def doubt(self, claim: Claim, reason: str, rule: ApprovalRule) -> str:
        """Mark the outcome as unknown, and ask the people in the approval rule what happened.

        Returns the approval's id. Raises ClaimLost.
        """
        facts = claim.facts
        approval_id = approval_id_for(facts.run_id, facts.call_id, "unknown", claim.fence)
        trace = self._trace(facts, OutcomeUnknown(call_id=facts.call_id, tool=facts.tool, reason=reason))
        row = await SQL["doubt"].row(
            self.database,
            approval_id=approval_id,
            run_id=facts.run_id,
            call_id=facts.call_id,
            fence=claim.fence,
            tool=facts.tool,
            tier=claim.spec.tier,
            arguments=facts.effective_arguments,
            reason=reason,
            needed=max(people_needed(rule, claim.spec.tier), 1),  # at least one: no one-time code is sent for this
            roles=list(rule.roles),
            escalates_at=escalation_of(rule, datetime.now(UTC)),
            escalate_roles=list(rule.escalate.roles) if rule.escalate else [],
            step=facts.step,
            **trace.columns,
        )
        if row is None or not row["doubted"]:
            raise ClaimLost(f"{facts.tool} {facts.call_id} was settled meanwhile")
        trace.emit()
        return approval_id

    def _cache_row(self, facts: CallFacts, origin: str, content: Stored, suspect: str | None = None) -> None:
        if self.transcripts is not None:
            row = row_of(facts.seq, "result", origin, content, facts.call_id, suspect)
            self.transcripts.add(facts.run_id, row)

    def _trace(self, facts: CallFacts, *events: Frozen) -> Trace:
        return Trace(facts.run_id, events, step=facts.step, call_id=facts.call_id)


def _observed_event(facts: CallFacts, result: Result) -> CallObserved:
    return CallObserved(
        call_id=facts.call_id,
        tool=facts.tool,
        seq=facts.seq,
        is_error=result.is_error,
        origin=result.origin,
        size=result.size,
        settled_by=result.settled_by,
    )


def _blobs(*pairs: tuple[bytes | None, str | None]) -> dict[str, Sequence[Any]]:
    by_digest = {digest: text for digest, text in pairs if digest is not None}
    return {"blobs": list(by_digest), "blob_texts": list(by_digest.values())}
