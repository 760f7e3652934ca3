"""`approvals.record`: the one path of a decision, whatever surface it came from."""

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
    """A decision that may be stored: whose it is, and how we know."""

    by: str
    proof: str
    statement: str | None = None  # the canonical JSON that was signed


class Approvals(ApprovalsPort):
    """Approvals in Postgres."""

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
            # An earlier attempt stored it and lost its reply: its answer is still owed.
            return _receipt(decision, "accepted", _missing(row), closes=row["state"] != "open")
        if refused := _refusal(row, decision):
            return refused
        if decision.code is not None:
            return await self._confirmed(request, row)
        counted = await self._counted(row, decision)
        if isinstance(counted, DecisionReceipt):
            return counted
        return await self._store(request, row, counted)

    async def _counted(self, row: Any, decision: Decision) -> VerifiedDecision | DecisionReceipt:
        """Whether this decision counts: proved, by someone who may, about the call as it is asked."""
        who = await self._authority.identify(
            tenant=row["tenant"],
            by=decision.by,
            key=decision.key,
            signature=decision.signature,
            statement=decision_statement(decision),
            at=decision.at,
            not_before=row["requested_at"],
            not_after=row["expires_at"],
        )
        match who:
            case Unproven(reason=reason):
                return _receipt(decision, "not allowed", reason)
            case Identified() if because := _why_not(row, decision, who):
                return _receipt(decision, "not allowed", because)
            case Identified():
                signed = who.proof == "signature"
                return VerifiedDecision(
                    who.name, who.proof, canonical_json(decision_statement(decision)) if signed else None
                )

    async def _confirmed(self, request: RecordRequest, row: Any) -> DecisionReceipt:
        """The one-time code of whom the call is about: it proves who they are, and is no approval by itself."""
        decision = request.decision
        if not row["subject"] or decision.verdict != "approve":
            return _receipt(decision, "not allowed", "nobody has to confirm this with a code")
        if row["confirmed_at"]:
            return _receipt(decision, "already decided", "it is confirmed already")
        if not row["code_hash"]:  # it is delivered before it is stored: nothing was guessed wrong yet
            return _receipt(decision, "not allowed", "no code is there yet; enter it again in a moment")
        given = code_hash(row["approval_id"], decision.code or "")
        subject = VerifiedDecision(canonical_name(row["subject"]), "code")
        async with self._database.transaction() as connection:  # tries wait for each other: none is compared uncounted
            tried = await SQL["try_code"].on(connection, approval_id=row["approval_id"], most=CODE_TRIES)
            right = bool(tried) and hmac.compare_digest(given, tried[0]["code_hash"])
            columns, trace = _columns(request, row, subject)
            stored = await SQL["record"].on(connection, **columns) if right else []
            over = bool(tried) and not right and tried[0]["code_tries"] >= CODE_TRIES
            if over:
                await SQL["withdraw"].on(connection, approval_id=row["approval_id"])
        if stored:
            return _accepted(decision, stored[0], trace)
        if not tried or right:
            return await self._too_late(request)
        reason = "too many wrong codes; the call is not performed" if over else "that is not the code that was sent"
        return _receipt(decision, "not allowed", reason, closes=over)

    async def _store(self, request: RecordRequest, row: Any, counted: VerifiedDecision) -> DecisionReceipt:
        columns, trace = _columns(request, row, counted)
        stored = await SQL["record"].row(self._database, **columns)
        return await self._too_late(request) if stored is None else _accepted(request.decision, stored, trace)

    async def _find(self, request: RecordRequest) -> Any:
        decision = request.decision
        return await SQL["find"].row(
            self._database, approval_id=decision.approval_id, run_id=request.run_id, by=canonical_name(decision.by)
        )

    async def _too_late(self, request: RecordRequest) -> DecisionReceipt:
        """Someone, or the clock, was faster."""
        row = await self._find(request)
        late = _receipt(request.decision, "expired", "it expired, or who gave it was revoked, before it came")
        if row is not None and row["confirmed_at"] and request.decision.code is not None:
            return _receipt(request.decision, "already decided", "it is confirmed already")
        return late if row is None else _refusal(row, request.decision) or late


def _columns(request: RecordRequest, row: Any, counted: VerifiedDecision) -> tuple[dict[str, Any], Trace]:
    """What the query `record` takes, and the trace to emit once it is stored."""
    decision = request.decision
    noted = DecisionRecorded(receipt=_receipt(decision, "accepted"), verdict=decision.verdict, by=counted.by)
    trace = Trace(request.run_id, (noted,), call_id=row["call_id"])
    columns = {
        "approval_id": decision.approval_id,
        "run_id": request.run_id,
        "call_id": row["call_id"],
        "verdict": decision.verdict,
        "by": counted.by,
        "reason": clean(decision.reason),
        "arguments": None if decision.arguments is None else canonical_json(clean(decision.arguments)),
        "key": clean(decision.key),
        "signature": clean(decision.signature),
        "proof": counted.proof,
        "statement": counted.statement,
        "digest": decision.digest,
        "repeat": decision.repeat if decision.verdict == "approve" else 0,
        **trace.columns,
    }
    return columns, trace


def _accepted(decision: Decision, stored: Any, trace: Trace) -> DecisionReceipt:
    """The receipt for a decision that was stored."""
    trace.emit()
    closes = stored["state"] != "open"
    return _receipt(decision, "accepted", "" if closes else _still_needed(stored), closes=closes)


def _refusal(row: Any, decision: Decision) -> DecisionReceipt | None:
    """Why no decision like this is taken, whoever made it."""
    if row["state"] != "open":
        return _closed(decision, row["state"])
    if row["expired"]:
        return _receipt(decision, "expired", "it expired before this decision came")
    if row["mine"]:
        return _receipt(decision, "already decided", f"you answered {row['mine']!r} already")
    if decision.code is None and canonical_name(decision.by) in map(canonical_name, row["approved_by"]):
        return _receipt(decision, "already decided", "these are the arguments you gave; someone else has to see them")
    if row["about"] == "endorse" or decision.verdict not in (
        CALL_VERDICTS if row["about"] == "call" else UNKNOWN_VERDICTS
    ):
        return _receipt(decision, "not allowed", f"{decision.verdict!r} is no answer to this question")
    if decision.verdict == "edit" and decision.arguments is None:
        return _receipt(decision, "not allowed", "an edit brings the arguments to use instead")
    if decision.digest is not None and decision.digest != row["digest"]:
        return _receipt(decision, "not allowed", "this answers another call than the one that is asked; look again")
    if decision.repeat > row["repeat_most"]:
        return _receipt(decision, "not allowed", f"at most the next {row['repeat_most']} may be approved with this one")
    return None


def _why_not(row: Any, decision: Decision, who: Identified) -> str | None:
    """Why this person's decision does not count."""
    if row["requester"] and canonical_name(who.name) == canonical_name(row["requester"]):
        return "who asked for a run never approves it; someone else has to"
    about_them = row["subject"] and canonical_name(who.name) == canonical_name(row["subject"])
    if about_them and decision.verdict in ("approve", "edit"):
        return "whom a call is about confirms it with the code that was sent to them: `stanchion confirm`"
    if row["about"] == "call" and not row["needed"] and decision.verdict == "approve":
        return f"nobody's yes is needed: {row['subject']} confirms it with the code that was sent to them"
    if row["roles"] and not who.roles.intersection(row["roles"]):
        return f"only {' or '.join(row['roles'])} may decide about this; {who.name} has no such role"
    if who.proof == "signature" and decision.digest is None:
        return "a signed decision names the digest of the call that it is about"
    return None


def _missing(row: Any) -> str:
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
    """What an approval that is not closed yet still waits for."""
    people = f"{stored['approved']} of {stored['needed']} people said yes" if stored["needed"] else ""
    code = "it waits for the one-time code of whom it is about" if stored["unconfirmed"] else ""
    return "; ".join(part for part in (people, code) if part)


def _closed(decision: Decision, state: str) -> DecisionReceipt:
    if state in ("expired", "withdrawn", "superseded"):
        return _receipt(decision, "expired", f"this approval is {state}", closes=True)
    return _receipt(decision, "already decided", f"this approval was answered with {state!r}", closes=True)


def _receipt(decision: Decision, answer: Answer, reason: str = "", *, closes: bool = False) -> DecisionReceipt:
    return DecisionReceipt(approval_id=decision.approval_id, answer=answer, reason=reason, closes=closes)
