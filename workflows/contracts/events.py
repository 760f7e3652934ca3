"""StepEvent: everything that can happen to a run, in the past tense.

`workflows.transitions.apply` applies these to the run's state, and nothing else does. Facts that activities establish
are written as the same events, in the transaction that made them true. That is the trace log: one row for each event.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from workflows.contracts.alarms import AlarmsTold, BudgetBreached, BudgetMarked, BudgetWeighed, CostAlarm
from workflows.contracts.approvals import Decision, DecisionReceipt, OpenApproval
from workflows.contracts.base import Frozen
from workflows.contracts.budgets import Spent
from workflows.contracts.calls import Tier
from workflows.contracts.messages import HaltOrdered, MessageReceived, PauseOrdered, ResumeOrdered
from workflows.contracts.model import Plan, VendorAsked, VendorAway
from workflows.contracts.reviews import ReviewGiven
from workflows.contracts.runs import Ending, RunOpened


class ClockStarted(Frozen):
    """The run is at work from here on: active time counts against its minutes."""

    kind: Literal["clock.started"] = "clock.started"
    at: datetime


class ClockStopped(Frozen):
    """The run waits for a person or a timer: that time is free."""

    kind: Literal["clock.stopped"] = "clock.stopped"
    at: datetime


class DecisionNoted(Frozen):
    """A decision arrived and waits to be verified. `ticket` ties it to the update that waits for the answer."""

    kind: Literal["decision.noted"] = "decision.noted"
    decision: Decision
    ticket: str | None = None


class DecisionRecorded(Frozen):
    """The first noted decision was verified and answered."""

    kind: Literal["decision.recorded"] = "decision.recorded"
    receipt: DecisionReceipt
    verdict: str
    by: str


class ApprovalRequested(Frozen):
    """A call waits for a person."""

    kind: Literal["approval.requested"] = "approval.requested"
    approval: OpenApproval


class ApprovalExpired(Frozen):
    """Nobody answered in time; silence is no."""

    kind: Literal["approval.expired"] = "approval.expired"
    approval_id: str


class CallFinished(Frozen):
    """A call has its result in the transcript, be it an observation or a refusal."""

    kind: Literal["call.finished"] = "call.finished"
    call_id: str
    correctable: bool = False
    refused: bool = False  # by a policy or a person; the loop's own refusals and mere observing do not count
    performed: bool = True  # or answered by a person in the tool's place
    is_error: bool = False
    result: str = ""  # digest of the result
    new: bool = True  # it brought something that the run had not read before
    spent: Spent = Spent()  # by the sub-agent that it was delegated to


class WaitStarted(Frozen):
    """The agent sleeps until `until`."""

    kind: Literal["wait.started"] = "wait.started"
    call_id: str
    until: datetime


class WaitEnded(Frozen):
    """The agent woke up: time passed, or a person's message came."""

    kind: Literal["wait.ended"] = "wait.ended"


class ChildStarted(Frozen):
    """A sub-agent is at work on this call."""

    kind: Literal["child.started"] = "child.started"
    call_id: str
    run_id: str
    agent: str
    goal: str = ""


class ChildEnded(Frozen):
    """The sub-agent is over, one way or another; what came of it stands in the tables."""

    kind: Literal["child.ended"] = "child.ended"
    call_id: str


class RolledOver(Frozen):
    """The run goes on in a new history; its state came along."""

    kind: Literal["run.rolled-over"] = "run.rolled-over"


class VerdictGiven(Frozen):
    """The gateway decided about a call: with its rule, its reason and the policy it followed, on yes as on no."""

    kind: Literal["verdict.given"] = "verdict.given"
    call_id: str
    tool: str
    verdict: Literal["allow", "ask", "deny"]
    rule: str
    reason: str
    tier: Tier | None = None
    policy_version: str = ""


class CallClaimed(Frozen):
    """An attempt owns the effect from here on; a later attempt has a higher fence and takes it away."""

    kind: Literal["call.claimed"] = "call.claimed"
    call_id: str
    tool: str
    contract: str
    fence: int


class CallObserved(Frozen):
    """The effect was settled and its result stands in the transcript at `seq`."""

    kind: Literal["call.observed"] = "call.observed"
    call_id: str
    tool: str
    seq: int
    is_error: bool
    origin: str
    size: int  # characters of the whole result
    settled_by: str = "result"  # or: probe, person, close


class OutcomeUnknown(Frozen):
    """Nobody knows whether the effect happened; a person has to say."""

    kind: Literal["outcome.unknown"] = "outcome.unknown"
    call_id: str
    tool: str
    reason: str


class LateResult(Frozen):
    """A fenced-off attempt came back after another had taken its effect over. Recorded, not applied."""

    kind: Literal["result.late"] = "result.late"
    call_id: str
    tool: str
    fence: int
    is_error: bool


class BudgetGranted(Frozen):
    """Somebody added to the run's budget. In the units of `Budget`."""

    kind: Literal["budget.granted"] = "budget.granted"
    grant_id: str
    by: str
    proof: str
    added: dict[str, int]


class RunClosed(Frozen):
    """The run is over."""

    kind: Literal["run.closed"] = "run.closed"
    ending: Ending


StepEvent = Annotated[
    RunOpened
    | ClockStarted
    | ClockStopped
    | Plan
    | MessageReceived
    | HaltOrdered
    | PauseOrdered
    | ResumeOrdered
    | DecisionNoted
    | DecisionRecorded
    | ApprovalRequested
    | ApprovalExpired
    | ReviewGiven
    | CallFinished
    | WaitStarted
    | WaitEnded
    | ChildStarted
    | ChildEnded
    | RolledOver
    | VerdictGiven
    | CallClaimed
    | CallObserved
    | OutcomeUnknown
    | LateResult
    | VendorAway
    | VendorAsked
    | BudgetBreached
    | BudgetMarked
    | CostAlarm
    | AlarmsTold
    | BudgetWeighed
    | BudgetGranted
    | RunClosed,
    Field(discriminator="kind"),
]
