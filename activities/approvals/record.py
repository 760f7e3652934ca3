"""`approvals.record`: the one path of a decision, whatever surface it came from."""

from typing import Any

from temporalio import activity

from activities.storage.canonical import canonical_json, clean
from activities.storage.database import Database
from activities.storage.queries import Queries
from activities.storage.trace import Trace
from workflows.approvals import CALL_VERDICTS, UNKNOWN_VERDICTS
from workflows.contracts.approvals import Answer, Decision, DecisionReceipt, RecordRequest
from workflows.contracts.events import DecisionRecorded
from workflows.ports import ApprovalsPort

SQL = Queries(__file__, "approvals.sql")


class Approvals(ApprovalsPort):
    """Approvals in Postgres. Unsigned decisions count only where the worker was told, by that ugly name, to do so."""

    def __init__(self, database: Database, *, dangerously_accept_unsigned_decisions: bool = False) -> None:
        self._database = database
        self._accept_unsigned = dangerously_accept_unsigned_decisions

    @activity.defn(name="approvals.record")
    async def record(self, request: RecordRequest) -> DecisionReceipt:
        """Verify one decision and store it."""
        decision = request.decision
        row = await self._find(request)
        if row is None:
            return _receipt(decision, "not allowed", "this run has no such approval")
        if row["mine"] == decision.verdict:
            return _receipt(decision, "accepted", closes=True)  # an earlier attempt stored it and lost its reply
        if refused := self._refusal(row, decision):
            return refused
        receipt = _receipt(decision, "accepted", closes=True)
        noted = DecisionRecorded(receipt=receipt, verdict=decision.verdict, by=decision.by)
        trace = Trace(request.run_id, (noted,), call_id=row["call_id"])
        stored = await SQL["record"].row(
            self._database,
            approval_id=decision.approval_id,
            verdict=decision.verdict,
            by=decision.by,
            reason=clean(decision.reason),
            arguments=None if decision.arguments is None else canonical_json(clean(decision.arguments)),
            key=clean(decision.key),
            signature=clean(decision.signature),
            signed=False,
            **trace.columns,
        )
        if stored is None or not stored["closed"]:
            return await self._too_late(request)
        trace.emit()
        return receipt

    async def _find(self, request: RecordRequest) -> Any:
        decision = request.decision
        return await SQL["find"].row(
            self._database, approval_id=decision.approval_id, run_id=request.run_id, by=decision.by
        )

    def _refusal(self, row: Any, decision: Decision) -> DecisionReceipt | None:
        if row["state"] != "open":
            return _closed(decision, row["state"])
        if row["expired"]:
            return _receipt(decision, "expired", "it expired before this decision came")
        if decision.verdict not in (CALL_VERDICTS if row["about"] == "call" else UNKNOWN_VERDICTS):
            return _receipt(decision, "not allowed", f"{decision.verdict!r} is no answer to this question")
        if decision.verdict == "edit" and decision.arguments is None:
            return _receipt(decision, "not allowed", "an edit brings the arguments to use instead")
        if row["requester"] and decision.by.strip().casefold() == row["requester"].strip().casefold():
            return _receipt(decision, "not allowed", "who asked for a run never approves it; someone else has to")
        if not self._accept_unsigned:
            return _receipt(
                decision, "not allowed", "this decision is not signed, and this worker takes no unsigned ones"
            )
        return None

    async def _too_late(self, request: RecordRequest) -> DecisionReceipt:
        """Someone, or the clock, was faster. An attempt that stored this very decision before finds it again here."""
        decision = request.decision
        row = await self._find(request)
        if row is not None and row["state"] == "open":
            return _receipt(decision, "expired", "it expired before this decision came")
        return _closed(decision, row["state"] if row else "closed")


def _closed(decision: Decision, state: str) -> DecisionReceipt:
    if state in ("expired", "withdrawn"):
        return _receipt(decision, "expired", f"this approval is {state}", closes=True)
    return _receipt(decision, "already decided", f"this approval was answered with {state!r}", closes=True)


def _receipt(decision: Decision, answer: Answer, reason: str = "", *, closes: bool = False) -> DecisionReceipt:
    return DecisionReceipt(approval_id=decision.approval_id, answer=answer, reason=reason, closes=closes)
