"""One tool call: the request to the gateway and the closed set of answers."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from workflows.contracts.base import Frozen
from workflows.contracts.budgets import Spent
from workflows.contracts.halts import HaltNotice

RESPONDED = "approval.responded"  # a person answered in the tool's place: no refusal
Tier = Literal["T0", "T1", "T2", "T3", "T4"]


class Refusal(Frozen):
    """Why the loop itself refuses a call. It can only make the gateway stricter, so it may travel as an argument."""

    rule: str
    reason: str


class CallRequest(Frozen):
    """Perform one call. Everything that could permit it is read from the gateway's own tables, never from here."""

    run_id: str
    call_id: str
    refuse: Refusal | None = None
    woken: bool = False  # a wait is over, by the run's own clock, or a sub-agent has ended; ends nothing but a wait
    used_seconds: float = 0.0  # active time of the run so far, which only it knows: bounds what it may hand on


class Observed(Frozen):
    """The call ran (or ran before) and its result is in the transcript."""

    kind: Literal["observed"] = "observed"
    call_id: str
    is_error: bool = False
    digest: str = ""  # of what the model reads, without times and request ids: equal for the same answer
    new: bool = True  # the run had not read this before, and it says something
    happened: bool = True  # False: it is certain that nothing happened
    spent: Spent = Spent()  # by a sub-agent, out of this run's budget


class Refused(Frozen):
    """The call was not performed; the model reads why."""

    kind: Literal["refused"] = "refused"
    call_id: str
    rule: str
    correctable: bool = False  # the model's own mistake (no such tool, invalid arguments): counts towards a cap

    @property
    def against_it(self) -> bool:
        """A policy or a person said no to this call. The loop's own refusals have caps of their own."""
        own = self.rule.partition(".")[0] in ("loop", "mode", "halt", "delegation")  # nor is a halted tool
        return not self.correctable and not own and self.rule != RESPONDED


class NeedsApproval(Frozen):
    """A person must decide. `tool` and `tier` are for people; `expires_at` is when silence becomes no."""

    kind: Literal["needs-approval"] = "needs-approval"
    call_id: str
    approval_id: str
    tool: str
    tier: Tier
    expires_at: datetime
    reviewer: str | None = None


class Unknown(Frozen):
    """The effect was claimed and nobody knows its outcome; it is never tried again blindly. A person says."""

    kind: Literal["unknown"] = "unknown"
    call_id: str
    approval_id: str
    tool: str


class Wait(Frozen):
    """The agent wants to look again later; nothing runs until then."""

    kind: Literal["wait"] = "wait"
    call_id: str
    until: datetime


class Spawn(Frozen):
    """The task is another agent's from here on: start that run, and call again once it has ended.

    Its task and its budget are in the gateway's tables, where the run finds them; `goal` is a line of it for people.
    """

    kind: Literal["spawn"] = "spawn"
    call_id: str
    run_id: str  # of the sub-agent
    agent: str
    goal: str


class Halted(Frozen):
    """A halt stands against the run, or cut this call short: it has no result yet."""

    kind: Literal["halted"] = "halted"
    call_id: str
    halt: HaltNotice


CallResult = Annotated[
    Observed | Refused | NeedsApproval | Unknown | Wait | Spawn | Halted, Field(discriminator="kind")
]
