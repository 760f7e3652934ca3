"""One model call: what the workflow asks for, and the small plan it gets. No message travels through Temporal."""

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


class Plan(Frozen):
    """What the model wants next. `next` says how the loop goes on.

    `calls`: perform them; `answer`: it is done; `again`: its turn was cut or paused, ask once more; `refused` and
    `context`: the model will not or cannot go on; `halted`: it was not asked, or its answer was not waited for.
    """

    kind: Literal["planned"] = "planned"
    next: Literal["calls", "answer", "again", "refused", "context", "halted"] = "calls"
    calls: tuple[PlannedCall, ...] = ()
    next_seq: int
    tokens: int = 0
    usd_micros: int = 0
    estimated: str = ""  # why the cost is what was reserved, and not what was counted; empty if it was counted
    messages: int = 0  # how many of the run's noted messages are now in the transcript
    orders: int = 0  # how many of its noted orders are now in the trace log
    halt: HaltNotice | None = None
