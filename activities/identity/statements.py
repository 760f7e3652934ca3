"""Builds the JSON statements that people sign for a decision or a message. Pure.

The signature covers the statement's canonical JSON. A statement contains every field that gives the answer its meaning,
so that none can be replaced afterwards. The one-time code is not part of it: it identifies the subject, not the signer,
and is checked separately.
"""

from datetime import UTC, datetime
from typing import Any

from workflows.contracts.approvals import Decision
from workflows.contracts.messages import MessageReceived

Statement = dict[str, Any]


def decision_statement(decision: Decision) -> Statement:
    """The statement of a decision. The approval's id identifies the run; `digest` identifies the call as displayed."""
    return {
        "kind": "decision",
        "approval_id": decision.approval_id,
        "digest": decision.digest,
        "verdict": decision.verdict,
        "by": decision.by,
        "reason": decision.reason,
        "arguments": decision.arguments,
        "repeat": decision.repeat,
        "at": instant(decision.at),
        "key": decision.key,
    }


def message_statement(run_id: str, message: MessageReceived) -> Statement:
    """The statement of a message. It contains the run id, so that the signature does not fit another run."""
    return {
        "kind": "message",
        "run_id": run_id,
        "text": message.text,
        "endorses": message.endorses,
        "by": message.by,
        "at": instant(message.at),
        "key": message.key,
    }


def in_utc(at: datetime) -> datetime:
    """`at` in UTC. A time without a zone counts as UTC; a time that overflows in UTC keeps its zone."""
    if at.tzinfo is None:
        return at.replace(tzinfo=UTC)
    try:
        return at.astimezone(UTC)
    except OverflowError:  # such as the year 1 at +14:00: the decision is refused later, instead of an error here
        return at


def instant(at: datetime | None) -> str | None:
    """A time as statements contain it: ISO 8601 in UTC."""
    return None if at is None else in_utc(at).isoformat()
