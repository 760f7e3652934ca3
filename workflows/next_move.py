"""What the run does next: (state) -> Move. Pure and total, so a run can go on from any state it was saved in."""

from dataclasses import dataclass
from datetime import datetime

from workflows.contracts.approvals import OpenApproval
from workflows.contracts.model import PlannedCall
from workflows.state import OpenTimer, RunState, at_work, spent_in_all


@dataclass(frozen=True)
class Record:
    """Verify the first noted decision."""


@dataclass(frozen=True)
class Review:
    """Ask the agent that this approval names for its opinion, before people are waited for."""

    approval: OpenApproval


@dataclass(frozen=True)
class AwaitDecision:
    """Wait for a person, or for the approval to expire."""

    approval: OpenApproval


@dataclass(frozen=True)
class Sleep:
    """Wait for a timer, or for a person's message."""

    timer: OpenTimer


@dataclass(frozen=True)
class AwaitVendor:
    """Wait until a model vendor that gave no answer is asked again, or a person resumes the run."""

    until: datetime


@dataclass(frozen=True)
class Perform:
    """Perform these calls through the gateway, in parallel."""

    calls: tuple[PlannedCall, ...]


@dataclass(frozen=True)
class AwaitChildren:
    """Wait for the first of the sub-agents to end."""


@dataclass(frozen=True)
class AskModel:
    """The step is complete; ask the model for the next."""


Move = Record | Review | AwaitDecision | Sleep | AwaitVendor | AwaitChildren | Perform | AskModel


def next_move(state: RunState) -> Move:
    """The next move. Calls keep the model's order; only neighbouring reads run in parallel."""
    if state.inbox:
        return Record()
    if unreviewed := next((approval for approval in state.approvals if approval.reviewer), None):
        return Review(approval=unreviewed)
    if state.approvals:
        return AwaitDecision(approval=state.approvals[0])
    if state.timer:
        return Sleep(timer=state.timer)
    if state.children:
        ended = _ended(state)
        return Perform(calls=ended) if ended else AwaitChildren()
    if state.pending:
        return Perform(calls=_ready(state))
    if state.vendor:
        return AwaitVendor(until=state.vendor.until)
    return AskModel()


def _ended(state: RunState) -> tuple[PlannedCall, ...]:
    """The calls whose sub-agents have ended, so that their results can be fetched."""
    over = {child.call_id for child in state.children} - {child.call_id for child in at_work(state)}
    return tuple(call for call in state.pending if call.call_id in over)


def _ready(state: RunState) -> tuple[PlannedCall, ...]:
    """The calls at the head of the queue that may run together, within what the tool-call budget still allows."""
    first, *others = state.pending
    if not first.parallel:
        return (first,)
    group = [first]
    for call in others:
        if not call.parallel:
            break
        group.append(call)
    allowed = max(state.opened.budget.tool_calls - spent_in_all(state).tool_calls, 1) if state.opened else 1
    return tuple(group[:allowed])
