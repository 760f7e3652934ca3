"""Decides how to end or leave a call that a halt covers: (facts, tool, halt) -> action. Pure.

No action performs the tool. A read that was interrupted did nothing, and a probe only looks. A call that stays open
waits until the halt is lifted, or its outcome is reported as unknown.
"""

from dataclasses import dataclass

from activities.gateway.facts import CallFacts
from activities.tools.contracts import Checkable, Idempotent, Irreversible, Pure
from activities.tools.spec import ToolSpec
from workflows.contracts.halts import HaltNotice


@dataclass(frozen=True)
class Leave:
    """Leave the call without a result: the run ends, or continues the call once the halt is lifted."""


@dataclass(frozen=True)
class GoOn:
    """Continue the call: it only ends a wait, or stores a person's answer on what happened."""


@dataclass(frozen=True)
class Refuse:
    """Refuse the call: it was not begun. The model reads the reason."""

    reason: str


@dataclass(frozen=True)
class NotDone:
    """Settle the call as one that was begun and had no effect."""

    reason: str


@dataclass(frozen=True)
class AskTarget:
    """Probe the target. `final`: if the effect did not happen, settle the call with that."""

    reason: str
    final: bool


@dataclass(frozen=True)
class AskPerson:
    """Ask a person whether the effect happened."""

    reason: str


def action_after_halt(
    facts: CallFacts, spec: ToolSpec | None, halt: HaltNotice
) -> Leave | GoOn | Refuse | NotDone | AskTarget | AskPerson:
    """The action for a call. A halt of a run or a tool ends the call; any other halt leaves it open."""
    if facts.state is None:
        return Refuse(str(halt)) if halt.scope == "tool" else Leave()
    ends = halt.scope in ("run", "tool")
    if facts.state == "unknown" and facts.approval_state == "did-not":
        return NotDone(f"{facts.decided_by} says it did not happen; {halt}") if ends else Leave()
    if facts.state in ("unknown", "waiting"):
        return GoOn()
    if spec is None:
        return Leave()
    match spec.contract:
        case Checkable():
            return AskTarget(f"it did not happen: {halt}", final=ends)
        case Pure() if ends:
            return NotDone(f"cut short, it changed nothing: {halt}")
        case Idempotent() | Irreversible() if halt.scope == "tool":
            return AskPerson(f"it was under way as {halt}")
        case Pure() | Idempotent() | Irreversible():
            return Leave()
