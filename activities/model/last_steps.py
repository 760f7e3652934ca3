"""Steps that this worker planned last: the facts of each run as read then, and its calls until they begin.

Facts of a worker's memory may be old. Nothing is decided on them alone: the statement that reserves or claims compares
their digest with that of the facts of now, and changes nothing if it is another.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from activities.model.provider import Usage

REMEMBERED_RUNS = 2_000  # twice what one worker keeps of cached workflows
LONGEST = 16_384  # characters of a call's arguments that are remembered; with longer ones the call is loaded
REMEMBERED = 8_000_000  # characters of arguments of all runs


@dataclass(frozen=True)
class RunFacts:
    """What a run's calls are judged by, besides themselves: the columns of the view run_facts."""

    agent: str
    agent_version: str
    tenant: str
    requester: str | None
    mode: str
    frozen_policy: str
    tainted_by: str | None
    private_by: str | None
    lineage: list[str]
    agents_above: list[str]
    versions_above: list[str]
    heads: list[str]
    endorsed: list[str]
    budget: str
    caps: str | None
    run_digest: str

    @classmethod
    def of(cls, row: Any) -> Self:
        """From a row that has these columns."""
        return cls(**{each.name: row[each.name] for each in fields(cls)})


@dataclass(frozen=True)
class CallPlanned:
    """A call as it was stored."""

    step: int
    seq: int
    tool: str
    arguments: str  # canonical JSON
    digest: str
    invalid: str | None


@dataclass
class StepPlanned:
    """The last step of a run that this worker has stored."""

    run: RunFacts
    step: int
    response_seq: int
    usage: Usage
    calls: dict[str, CallPlanned] = field(default_factory=dict)

    @property
    def characters(self) -> int:
        """How much of its calls' arguments is kept."""
        return sum(len(call.arguments) for call in self.calls.values())


class PlannedSteps:
    """The last step of each run, as far as this worker stored it; the runs of longest ago are let go."""

    def __init__(self) -> None:
        self._steps: OrderedDict[str, StepPlanned] = OrderedDict()
        self._characters = 0

    def last(self, run_id: str) -> StepPlanned | None:
        """The run's last step."""
        return self._steps.get(run_id)

    def put(self, run_id: str, step: StepPlanned, calls: Mapping[str, CallPlanned]) -> None:
        """Remember a step that has been stored."""
        self.forget(run_id)
        step.calls = {name: call for name, call in calls.items() if len(call.arguments) <= LONGEST}
        self._steps[run_id] = step
        self._characters += step.characters
        while len(self._steps) > REMEMBERED_RUNS or (self._characters > REMEMBERED and len(self._steps) > 1):
            self._characters -= self._steps.popitem(last=False)[1].characters

    def take(self, run_id: str, call_id: str) -> tuple[StepPlanned, CallPlanned] | None:
        """A planned call, once: whoever comes back to it has to look at what became of it."""
        step = self._steps.get(run_id)
        call = step.calls.pop(call_id, None) if step else None
        if step is None or call is None:
            return None
        self._characters -= len(call.arguments)
        return step, call

    def forget(self, run_id: str) -> None:
        """Let go of a run."""
        if step := self._steps.pop(run_id, None):
            self._characters -= step.characters
