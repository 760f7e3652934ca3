"""`approvals.record`: verifies and stores a decision, for all surfaces (CLI, Slack, console)."""

import hmac
from dataclasses import dataclass
from typing import Any

from temporalio import activity

from activities.approvals.authority import Authority, Identified
from activities.approvals.one_time_codes import CODE_TRIES, code_hash
from activities.boundary import attempt
from activities.identity.proof import Unproven, canonical_name
from activities.identity.statements import decision_statement
from activities.storage.canonical import canonical_json, clean
from activities.storage.database import Database
from activities.storage.queries import Queries
from activities.storage.trace import Trace
from workflows.approvals import CALL_VERDICTS, UNKNOWN_VERDICTS
from workflows.contracts.approvals import Answer, Decision, DecisionReceipt, RecordRequest
from workflows.contracts.events import DecisionRecorded
from workflows.ports import ApprovalsPort

SQL = Queries(__file__, "approvals.sql")


@dataclass(frozen=True)
class VerifiedDecision:
    """A decision that may be stored: who made it, and how that was proved."""

    by: str
    proof: str
    statement: str | None = None  # the canonical JSON that was signed


class Approvals(ApprovalsPort):
    """Verifies decisions about approvals and stores them in Postgres."""

    def __init__(self, database: Database, authority: Authority) -> None:
        self._database = database
        self._authority = authority

    @activity.defn(name="approvals.record")
    async def record(self, request: RecordRequest) -> DecisionReceipt:
        """Verify one decision and store it."""
        decision = request.decision
        row = await self._find(request)
        if row is None:
            return _receipt(decision, "not allowed", "this run has no such approval")
        if row["mine"] == decision.verdict and attempt() > 1:
            # An earlier attempt stored the decision, but its reply was lost: send the reply again.
            return _receipt(decision, "accepted", _missing_in(row), closes=row["state"] != "open")
        if refused := _refusal(row, decision):
            return refused
        if decision.code is not None:
            return await self._confirm_with_code(request, row)
        verified = await self._verify(row, decision)
        if isinstance(verified, DecisionReceipt):
            return verified
        return await self._store(request, row, verified)

    async def _verify(self, row: Any, decision: Decision) -> VerifiedDecision | DecisionReceipt:
        """The decision with its author, or a refusal if the author is unproved or may not decide."""
        author = await self._authority.identify(
            tenant=row["tenant"],
            by=decision.by,
            key=decision.key,
            signature=decision.signature,
            statement=decision_statement(decision),
            at=decision.at,
            not_before=row["requested_at"],
            not_after=row["expires_at"],
        )
        match author:
            case Unproven(reason=reason):
                return _receipt(decision, "not allowed", reason)
            case Identified() if obstacle := _why_may_not_decide(row, decision, author):
                return _receipt(decision, "not allowed", obstacle)
            case Identified():
                is_signed = author.proof == "signature"
                return VerifiedDecision(
                    author.name, author.proof, canonical_json(decision_statement(decision)) if is_signed else None
                )

    async def _confirm_with_code(self, request: RecordRequest, row: Any) -> DecisionReceipt:
        """Check the one-time code of the call's subject. A right code confirms the call, but does not approve it."""
        decision = request.decision
        if not row["subject"] or decision.verdict != "approve":
            return _receipt(decision, "not allowed", "nobody has to confirm this with a code")
        if row["confirmed_at"]:
            return _receipt(decision, "already decided", "it is confirmed already")
        if not row["code_hash"]:  # the code is stored after it is delivered, so this does not count as a wrong guess
            return _receipt(decision, "not allowed", "the code is not stored yet; enter it again in a moment")
        entered_hash = code_hash(row["approval_id"], decision.code or "")
        subject = VerifiedDecision(canonical_name(row["subject"]), "code")
        async with self._database.transaction() as connection:  # `try_code` locks the row: every comparison is counted
            tried = await SQL["try_code"].on(connection, approval_id=row["approval_id"], most=CODE_TRIES)
            is_right = bool(tried) and hmac.compare_digest(entered_hash, tried[0]["code_hash"])
            columns, trace = _columns(request, row, subject)
            stored = await SQL["record"].on(connection, **columns) if is_right else []
            tries_are_used_up = bool(tried) and not is_right and tried[0]["code_tries"] >= CODE_TRIES
            if tries_are_used_up:
                await SQL["withdraw"].on(connection, approval_id=row["approval_id"])
        if stored:
            return _accepted(decision, stored[0], trace)
        if not tried or is_right:
            return await self._explain_not_stored(request)
        wrong_code = "that is not the code that was sent"
        reason = "too many wrong codes; the call is not performed" if tries_are_used_up else wrong_code
        return _receipt(decision, "not allowed", reason, closes=tries_are_used_up)

    async def _store(self, request: RecordRequest, row: Any, verified: VerifiedDecision) -> DecisionReceipt:
        columns, trace = _columns(request, row, verified)
        stored = await SQL["record"].row(self._database, **columns)
        return await self._explain_not_stored(request) if stored is None else _accepted(request.decision, stored, trace)

    async def _find(self, request: RecordRequest) -> Any:
        decision = request.decision
        return await SQL["find"].row(
            self._database, approval_id=decision.approval_id, run_id=request.run_id, by=canonical_name(decision.by)
        )

    async def _explain_not_stored(self, request: RecordRequest) -> DecisionReceipt:
        """The receipt of a decision that `record` did not store: the approval changed or expired in the meantime."""
        row = await self._find(request)
        late = _receipt(request.decision, "expired", "it came after the approval expired or its author was revoked")
        if row is not None and row["confirmed_at"] and request.decision.code is not None:
            return _receipt(request.decision, "already decided", "it is confirmed already")
        return late if row is None else _refusal(row, request.decision) or late


def _columns(request: RecordRequest, row: Any, verified: VerifiedDecision) -> tuple[dict[str, Any], Trace]:
    """The parameters of the query `record`, and the trace to emit once the decision is stored."""
    decision = request.decision
    noted = DecisionRecorded(receipt=_receipt(decision, "accepted"), verdict=decision.verdict, by=verified.by)
    trace = Trace(request.run_id, (noted,), call_id=row["call_id"])
    columns = {
        "approval_id": decision.approval_id,
        "run_id": request.run_id,
        "call_id": row["call_id"],
        "verdict": decision.verdict,
        "by": verified.by,
        "reason": clean(decision.reason),
        "arguments": None if decision.arguments is None else canonical_json(clean(decision.arguments)),
        "key": clean(decision.key),
        "signature": clean(decision.signature),
        "proof": verified.proof,
        "statement": verified.statement,
        "digest": decision.digest,
        "repeat": decision.repeat if decision.verdict == "approve" else 0,
        **trace.columns,
    }
    return columns, trace


def _accepted(decision: Decision, stored: Any, trace: Trace) -> DecisionReceipt:
    """Emit the trace of a decision that was stored, and return its receipt."""
    trace.emit()
    closes = stored["state"] != "open"
    return _receipt(decision, "accepted", "" if closes else _still_needed(stored), closes=closes)


def _refusal(row: Any, decision: Decision) -> DecisionReceipt | None:
    """A refusal that does not depend on the decision's author, or None."""
    if row["state"] != "open":
        return _closed(decision, row["state"])
    if row["expired"]:
        return _receipt(decision, "expired", "it expired before this decision came")
    if row["mine"]:
        return _receipt(decision, "already decided", f"you answered {row['mine']!r} already")
    if decision.code is None and canonical_name(decision.by) in map(canonical_name, row["approved_by"]):
        return _receipt(decision, "already decided", "you wrote these arguments yourself; someone else has to see them")
    if row["about"] == "endorse" or decision.verdict not in (
        CALL_VERDICTS if row["about"] == "call" else UNKNOWN_VERDICTS
    ):
        return _receipt(decision, "not allowed", f"{decision.verdict!r} is not an answer to this question")
    if decision.verdict == "edit" and decision.arguments is None:
        return _receipt(decision, "not allowed", "an edit must contain the new arguments")
    if decision.digest is not None and decision.digest != row["digest"]:
        return _receipt(
            decision, "not allowed", "this answers another call than the one that is asked about; look at it again"
        )
    if decision.repeat > row["repeat_most"]:
        return _receipt(
            decision, "not allowed", f"at most the next {row['repeat_most']} calls like it may be approved too"
        )
    return None


def _why_may_not_decide(row: Any, decision: Decision, author: Identified) -> str | None:
    """Why this person may not give this decision; None if they may."""
    if row["requester"] and canonical_name(author.name) == canonical_name(row["requester"]):
        return "the requester of a run never approves its calls; someone else has to"
    is_subject = row["subject"] and canonical_name(author.name) == canonical_name(row["subject"])
    if is_subject and decision.verdict in ("approve", "edit"):
        return "the subject of a call confirms it with the code that was sent to them: `stanchion confirm`"
    if row["about"] == "call" and not row["needed"] and decision.verdict == "approve":
        return f"this call needs no approver: {row['subject']} confirms it with the code that was sent to them"
    if row["roles"] and not author.roles.intersection(row["roles"]):
        return f"only {' or '.join(row['roles'])} may decide about this; {author.name} has no such role"
    if author.proof == "signature" and decision.digest is None:
        return "a signed decision names the digest of its call; this one names none"
    return None


def _missing_in(row: Any) -> str:
    if row["state"] != "open":
        return ""
    return _still_needed(
        {
            "needed": row["needed"],
            "approved": len(row["approved_by"]),
            "unconfirmed": row["subject"] is not None and row["confirmed_at"] is None,
        }
    )


def _still_needed(stored: Any) -> str:
    """What an open approval still waits for: approvers, the subject's code, or both."""
    people = f"{stored['approved']} of {stored['needed']} people said yes" if stored["needed"] else ""
    code = "the one-time code of the subject is missing" if stored["unconfirmed"] else ""
    return "; ".join(part for part in (people, code) if part)


def _closed(decision: Decision, state: str) -> DecisionReceipt:
    if state in ("expired", "withdrawn", "superseded"):
        return _receipt(decision, "expired", f"this approval is {state}", closes=True)
    return _receipt(decision, "already decided", f"this approval was answered with {state!r}", closes=True)


def _receipt(decision: Decision, answer: Answer, reason: str = "", *, closes: bool = False) -> DecisionReceipt:
    return DecisionReceipt(approval_id=decision.approval_id, answer=answer, reason=reason, closes=closes)
