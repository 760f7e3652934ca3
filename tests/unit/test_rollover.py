"""When a run goes on in a fresh history."""

from dataclasses import dataclass
from typing import Any

import pytest

from workflows import rollover
from workflows.contracts.budgets import Budget
from workflows.contracts.runs import RolloverCaps, RunOpened
from workflows.rollover import MINIMUM_EVENTS, due_for_rollover
from workflows.state import RunState

OPENED = RunOpened(
    agent_version="v",
    policy_version="p",
    mode="tiered",
    budget=Budget(),
    rollover=RolloverCaps(events=100, bytes=1_000),
    next_seq=1,
)


@dataclass
class Info:
    """What Temporal says of a history."""

    events: int = MINIMUM_EVENTS
    size: int = 0
    suggested: bool = False

    def get_current_history_length(self) -> int:
        return self.events

    def get_current_history_size(self) -> int:
        return self.size

    def is_continue_as_new_suggested(self) -> bool:
        return self.suggested


@pytest.mark.parametrize(
    ("info", "due"),
    [
        (Info(), False),
        (Info(events=99, size=999), False),
        (Info(events=100), True),
        (Info(size=1_000), True),
        (Info(suggested=True), True),
        (Info(events=MINIMUM_EVENTS - 1, size=10**9, suggested=True), False),
    ],
)
def test_a_run_rolls_over_at_its_caps_or_when_told(monkeypatch: Any, info: Info, due: bool) -> None:
    monkeypatch.setattr(rollover.workflow, "info", lambda: info)
    assert due_for_rollover(RunState(opened=OPENED)) is due
    assert due_for_rollover(RunState()) is False  # what is not open yet has nothing to carry
