"""What may still be said of a call that a halt stands against: (facts, tool, halt) -> what to do. Pure.

Nothing here lets anything happen: a result that is known is told, a read that was cut off did nothing, a target may be
asked (a probe is a look), and whatever stays open waits for the halt to be lifted, or is told as unknown.
"""

from dataclasses import dataclass

from activities.gateway.facts import CallFacts
from activities.tools.contracts import Checkable, Idempotent, Irreversible, Pure
from activities.tools.spec import ToolSpec
from workflows.contracts.halts import HaltNotice


@dataclass(frozen=True)
class Leave:
    """It has no result: the run ends without one, or goes on from here once the halt is lifted."""


@dataclass(frozen=True)
class GoOn:
    """Nothing of it would happen any more: a wait that ends, a person's word on what happened."""


@dataclass(frozen=True)
class Refuse:
    """Nothing was begun; the model reads why."""

    reason: str


@dataclass(frozen=True)
class NotDone:
    """It was begun and did nothing."""

    reason: str


@dataclass(frozen=True)
class AskTarget:
    """The target knows whether it happened. `final`: if it did not, the call ends with that."""

    reason: str
    final: bool


@dataclass(frozen=True)
class AskPerson:
    """Nobody here knows whether it happened."""

    reason: str


def action_after_halt(
    facts: CallFacts, spec: ToolSpec | None, halt: HaltNotice
) -> Leave | GoOn | Refuse | NotDone | AskTarget | AskPerson:
    """What to do. A halt of a run is its end; one of a tool ends the call; any other leaves the call where it is."""
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
