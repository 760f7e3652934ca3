"""Open approvals, decisions and expiry in the loop. Pure: answers only what the state alone can answer.

Whether a decision *counts* (who signed it, whether it fits the exact call) is decided by `approvals.record`.
"""

from datetime import datetime, timedelta

from workflows.contracts.approvals import Decision, DecisionReceipt, OpenApproval
from workflows.contracts.calls import NeedsApproval, Unknown
from workflows.state import INBOX_LIMIT, RunState

CALL_VERDICTS: frozenset[str] = frozenset(("approve", "edit", "reject", "respond"))
UNKNOWN_VERDICTS: frozenset[str] = frozenset(("happened", "did-not", "stop"))


def opened_by(result: NeedsApproval | Unknown) -> OpenApproval:
    """The open approval for a gateway's answer that asks for a person."""
    match result:
        case NeedsApproval():
            return OpenApproval(
                approval_id=result.approval_id,
                call_id=result.call_id,
                tool=result.tool,
                about="call",
                tier=result.tier,
                expires_at=result.expires_at,
                reviewer=result.reviewer,
            )
        case Unknown():
            return OpenApproval(
                approval_id=result.approval_id, call_id=result.call_id, tool=result.tool, about="unknown"
            )


def answer_without_tables(state: RunState, decision: Decision, now: datetime) -> DecisionReceipt | None:
    """The receipt for a decision, if the state alone can answer it; None if `approvals.record` must verify it."""
    found = next((a for a in state.approvals if a.approval_id == decision.approval_id), None)
    if len(state.inbox) >= INBOX_LIMIT:
        return _receipt(decision, "not allowed", "too many decisions at once; try again in a moment")
    if found is None:
        return _not_open(state, decision)
    if found.expires_at and now >= found.expires_at:
        return _receipt(decision, "expired", f"it expired at {found.expires_at.isoformat()}")
    allowed = CALL_VERDICTS if found.about == "call" else UNKNOWN_VERDICTS
    if decision.verdict not in allowed:
        return _receipt(decision, "not allowed", f"answer with one of: {', '.join(sorted(allowed))}")
    return None


def expiry(approval: OpenApproval, now: datetime) -> timedelta | None:
    """How long to wait for an answer; None without a limit. Never below a millisecond: a timer of zero never fires."""
    if approval.expires_at is None:
        return None
    return max(approval.expires_at - now, timedelta(milliseconds=1))


def _not_open(state: RunState, decision: Decision) -> DecisionReceipt | None:
    if decision.approval_id in state.lapsed:
        return _receipt(decision, "expired", "nobody answered in time")
    if decision.approval_id in state.decided:
        return _receipt(decision, "already decided", "this approval is settled")
    if _may_be_asked(state):
        return None
    return _receipt(decision, "not allowed", "this run has no such open approval")


def _may_be_asked(state: RunState) -> bool:
    """Whether a call is with the gateway: its approval may be stored, and answered, before the loop knows of it."""
    if state.timer:
        return False  # the run sleeps, so no call is with the gateway
    waiting = {approval.call_id for approval in state.approvals}
    return any(call.call_id not in waiting for call in state.pending)


def _receipt(decision: Decision, answer: str, reason: str) -> DecisionReceipt:
    return DecisionReceipt.model_validate({"approval_id": decision.approval_id, "answer": answer, "reason": reason})
