"""One model call: what the workflow asks for, and the small plan it gets. No message travels through Temporal."""

from datetime import datetime
from typing import Literal

from workflows.contracts.alarms import Alarm
from workflows.contracts.base import Frozen
from workflows.contracts.halts import HaltNotice
from workflows.contracts.messages import Journal, MessageReceived


class PlanRequest(Frozen):
    """Ask the model for step `step`, having read the transcript below `next_seq`. `messages` are written first."""

    run_id: str
    step: int
    next_seq: int
    messages: tuple[MessageReceived, ...] = ()
    journal: Journal = ()
    notes: tuple[str, ...] = ()  # what the loop itself has to tell the model, written after the messages
    alarms: tuple[Alarm, ...] = ()  # what people are told
    ask_anyway: bool = False  # a person resumed the run: ask even a vendor that is known to be away
    seconds_left: float | None = None  # active time that the run has left; None where an older worker asks


class PlannedCall(Frozen):
    """One tool call the model asked for. Its arguments are in Postgres; `digest` is theirs."""

    call_id: str  # "<step>.<index>"
    seq: int  # where its result belongs in the transcript
    tool: str
    digest: str
    parallel: bool = False  # reads may run side by side; effects keep the order the model gave
    timeout: int = 60  # seconds
    sketch: str = ""  # of the arguments: 16 hex digits, near for alike arguments (workflows/similarity.py)
    shape: str = ""  # of the arguments: 4 hex digits, equal if only ids and numbers differ


class VendorAway(Frozen):
    """A model vendor gave no answer: the step was not taken, nothing was bought, the run waits with its clock stopped.

    Made by `activities.model.vendor_outages`, applied by the loop, shown by `display.waiting_for`.
    """

    kind: Literal["vendor.away"] = "vendor.away"
    vendor: str  # the provider, such as anthropic
    model: str = ""  # only where the outage concerns this model alone
    error: str  # its type, such as ModelOverloaded
    reason: str
    until: datetime  # when the run asks again by itself
    idle_seconds: float = 0.0  # that went by until this was known: they cost no active time
    needs_person: bool = False  # waiting does not help: a key, a balance or an address has to be corrected first

    def __str__(self) -> str:
        return f"{self.vendor}{f' ({self.model})' if self.model else ''}: {self.error}: {self.reason}"


class VendorAsked(Frozen):
    """The wait for a vendor is over: it is asked again."""

    kind: Literal["vendor.asked"] = "vendor.asked"


class Plan(Frozen):
    """What the model wants next. `next` says how the loop goes on.

    `calls`: perform them; `answer`: it is done; `again`: its turn was cut or paused, ask once more; `refused` and
    `context`: the model will not or cannot go on; `empty` and `thinking`: it said nothing, twice in a row; `halted`: it
    was not asked, or its answer was not waited for; `away`: its vendor gave no answer.
    """

    kind: Literal["planned"] = "planned"
    next: Literal["calls", "answer", "again", "refused", "context", "empty", "thinking", "halted", "away"] = "calls"
    calls: tuple[PlannedCall, ...] = ()
    next_seq: int
    tokens: int = 0
    usd_micros: int = 0
    estimated: str = ""  # why the cost is what was reserved, and not what was counted; empty if it was counted
    messages: int = 0  # how many of the run's noted messages are now in the transcript
    orders: int = 0  # how many of its noted orders are now in the trace log
    halt: HaltNotice | None = None
    away: VendorAway | None = None
    idle_seconds: float = 0.0  # of the step, in which no worker was at work on it or its vendor did not answer
