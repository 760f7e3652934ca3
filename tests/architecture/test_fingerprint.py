"""The workflow's commands, in order, for one run of each kind: a change of them is seen, and meant, or it is a bug."""

import json
from collections.abc import Callable

import pytest

from tests.harness.stanchion import Stanchion
from tests.replay.commands import commands
from tests.replay.record import FINGERPRINTS, caps_of, generations, load
from tests.replay.scenarios import SCENARIOS, histories

NEWEST = generations()[-1]
COMMITTED: dict[str, list[str]] = json.loads((NEWEST / FINGERPRINTS).read_text(encoding="utf-8"))

LESSON = """
The workflow's commands for the scenario {name} are not those of the committed fingerprint:

  committed: {committed}
  now:       {now}

A run that is alive now replays its history on the new code, finds another command and is stuck. If you did not mean to
change the order, undo it. If you did: gate it with a patch (workflow.patched), so that old histories go the old way;
then write the new fingerprint: python -m tests.replay.record --new {scenario}
(before the first release, without --new)."""


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_the_commands_of_a_run_are_those_that_were_agreed(
    systems: Callable[..., Stanchion], scenario: str
) -> None:
    system = await systems(rollover=caps_of(scenario)).up()
    for name, history in (await histories(system, scenario)).items():
        if commands(history) != COMMITTED.get(name):
            lesson = LESSON.format(name=name, scenario=scenario, committed=COMMITTED.get(name), now=commands(history))
            pytest.fail(lesson, pytrace=False)


@pytest.mark.parametrize("name", COMMITTED)
def test_a_fingerprint_is_that_of_the_history_beside_it(name: str) -> None:
    assert commands(load(NEWEST / f"{name}.json")) == COMMITTED[name]


def test_a_normal_step_is_two_activities() -> None:
    between = [c for c in COMMITTED["plain"] if c.startswith("activity")]
    assert between == [
        "activity runs.open",
        "activity model.plan",
        "activity gateway.call",
        "activity gateway.call",
        "activity model.plan",
        "activity gateway.call",
        "activity model.plan",
        "activity runs.close",
    ]
