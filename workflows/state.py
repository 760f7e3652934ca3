"""RunState: all that survives continue-as-new, and what can be read from it. `workflows.transitions` writes it.

It carries counters, digests, deadlines, open approvals and the memory of the loop; never a message, an argument or a
result.
"""

from datetime import datetime
from typing import Literal

from workflows.contracts.alarms import BudgetBreached
from workflows.contracts.approvals import OpenApproval
from workflows.contracts.base import Frozen
from workflows.contracts.budgets import Spent
from workflows.contracts.events import (
    ChildStarted,
    DecisionNoted,
)
from workflows.contracts.messages import (
    HaltOrdered,
    Journal,
    MessageReceived,
    PauseOrdered,
)
from workflows.contracts.model import PlannedCall, VendorAway
from workflows.contracts.runs import Ending, RunOpened, RunRequest
from workflows.loops import LoopMemory

GOAL_LINE = 120  # characters of the goal kept for people; the whole goal is in the transcript
INBOX_LIMIT = 50  # messages noted but not yet read by the model; further ones are refused or dropped with a warning
MESSAGES_SIZE = 100_000  # characters of noted messages; at 6 bytes each, a third of the size limit of a payload


class OpenTimer(Frozen):
    """The agent asked to look again later."""

    call_id: str
    until: datetime


class RunState(Frozen):
    """The state of a run, between two steps or within one. `kind` identifies it as the argument of continue-as-new."""

    kind: Literal["run.state"] = "run.state"
    run_id: str = ""
    agent: str = ""
    tenant: str = "default"
    requester: str | None = None
    goal_line: str = ""
    opened: RunOpened | None = None

    step: int = 0
    next_seq: int = 0
    spent: Spent = Spent()
    active_since: datetime | None = None  # None while a person or a timer is waited for: that time is free
    pending: tuple[PlannedCall, ...] = ()  # calls of the current step that have no result yet
    ending: Ending | None = None

    approvals: tuple[OpenApproval, ...] = ()
    decided: tuple[str, ...] = ()
    lapsed: tuple[str, ...] = ()  # approvals that ran out, so that a late answer is told "expired"
    inbox: tuple[DecisionNoted, ...] = ()
    expired: tuple[str, ...] = ()  # call ids whose approval ran out, not yet told to the gateway

    timer: OpenTimer | None = None
    woken: tuple[str, ...] = ()  # call ids whose wait is over, not yet told to the gateway

    children: tuple[ChildStarted, ...] = ()  # sub-agents whose calls have no result yet
    delegated: Spent = Spent()  # by sub-agents, out of this run's budget

    messages: tuple[MessageReceived, ...] = ()  # said by people, not yet in the transcript
    journal: Journal = ()  # orders not yet in the trace log
    pause: PauseOrdered | None = None
    halt: HaltOrdered | None = None

    vendor: VendorAway | None = None  # a model vendor that gave no answer, until it is asked again
    ask_anyway: bool = False  # a person resumed the run while it waited for a vendor

    breach: BudgetBreached | None = None  # a budget that is used up, until it is found to have been added to
    told: tuple[str, ...] = ()  # keys of the alarms that were told

    loops: LoopMemory = LoopMemory()
    mistakes: int = 0  # calls in a row that were the model's own mistake
    refusals_in_a_row: int = 0
    refusals: int = 0  # since the run began, or a person last let it go on
    rollovers: int = 0


def begin(run_id: str, request: RunRequest) -> RunState:
    """The state of a run that has not been opened yet."""
    return RunState(
        run_id=run_id,
        agent=request.agent,
        tenant=request.tenant,
        requester=request.requester,
        goal_line=" ".join(request.goal.split())[:GOAL_LINE],
    )


def active_seconds(state: RunState, now: datetime) -> float:
    """Seconds the run has been at work, without the time it waited for people and timers. Never goes back.

    After a roll-over `now` may come from another server, whose clock is behind.
    """
    working = (now - state.active_since).total_seconds() if state.active_since else 0.0
    return state.spent.seconds + max(working, 0.0)


def spent_in_all(state: RunState) -> Spent:
    """What the run and its sub-agents have spent. Of the time, what was counted when the clock last stopped."""
    return state.spent.plus(state.delegated)


def seconds_in_all(state: RunState, now: datetime) -> float:
    """Seconds that the run and its sub-agents have been at work."""
    return active_seconds(state, now) + state.delegated.seconds


def at_work(state: RunState) -> tuple[ChildStarted, ...]:
    """The sub-agents that have not ended."""
    return tuple(child for child in state.children if child.call_id not in state.woken)


StatusWord = Literal["opening", "running", "waiting", "sleeping", "paused", "halting", "closing"]


def status_word(state: RunState) -> StatusWord:
    """One word for the search attribute `AgentStatus` and the `status` query, while the run is alive."""
    if state.ending:
        return "closing"
    if state.halt:
        return "halting"
    if state.pause:
        return "paused"
    if state.approvals:
        return "waiting"
    if state.timer:
        return "sleeping"
    if at_work(state) or state.vendor:
        return "waiting"
    return "running" if state.opened else "opening"
