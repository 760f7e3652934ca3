"""What a person signs: a decision or a message, as the plain JSON whose canonical bytes are signed. Pure.

A statement names everything that gives an answer its meaning, so that no part of it can be swapped afterwards. The
one-time code is not in it: it is the proof of somebody else, the subject, and has its own check.
"""

from datetime import UTC, datetime
from typing import Any

from workflows.contracts.approvals import Decision
from workflows.contracts.messages import MessageReceived

Statement = dict[str, Any]


def decision_statement(decision: Decision) -> Statement:
    """What is signed of a decision. The approval's id names its run; `digest` binds it to the call as it was shown."""
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
    """What is signed of a message: its run is part of it, for a message to one run says nothing to another."""
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
    """`at` in UTC; a time without a zone counts as UTC. One at the very edge of the calendar keeps its zone."""
    if at.tzinfo is None:
        return at.replace(tzinfo=UTC)
    try:
        return at.astimezone(UTC)
    except OverflowError:  # such as the year 1 at +14:00: whoever sends it gets a refusal, not a crash
        return at


def instant(at: datetime | None) -> str | None:
    """A moment as it stands in a statement: ISO 8601 in UTC, whatever zone it came in."""
    return None if at is None else in_utc(at).isoformat()
