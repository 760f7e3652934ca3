"""Recorded calls of sub-agents, judged again: by their whole line, as the gateway judged them."""

import pytest

from activities.rehearsal.recorded_calls import CallArchive, CallSelection
from activities.rehearsal.whatif import ProposedPolicy, WhatIfReport, whatif
from tests.harness.door import Door
from tests.harness.outcomes import done
from tests.subagents.test_ancestors import NARROW, WIDE, the_child_sends
from workflows.contracts.calls import Refused

PERMIT = "permit (principal, action, resource);"


async def again(door: Door) -> WhatIfReport:
    return await whatif(door.parts.database, ProposedPolicy(PERMIT), CallSelection())


async def test_what_the_line_forbade_is_forbidden_again_and_what_it_allowed_is_allowed_again(door: Door) -> None:
    assert isinstance(await the_child_sends(door, {"grants": NARROW}, {"grants": WIDE}), Refused)
    assert done(await the_child_sends(door, {"grants": WIDE}, {"grants": WIDE}))
    answer = await again(door)
    assert (answer.judged, answer.recorded_otherwise, answer.changed.total()) == (4, 0, 0)


async def test_judged_without_its_line_it_would_be_said_to_be_allowed(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(await the_child_sends(door, {"grants": NARROW}, {"grants": WIDE}), Refused)

    async def nobody(*_: object) -> tuple[()]:
        return ()

    monkeypatch.setattr(CallArchive, "_above", nobody)
    assert (await again(door)).recorded_otherwise == 1


async def test_one_whose_line_is_not_known_any_more_is_listed_and_never_dropped(door: Door) -> None:
    assert done(await the_child_sends(door, {"grants": WIDE}, {"grants": WIDE}))
    await door.execute(
        "UPDATE runs SET lineage = lineage || 'gone'::text, agents_above = agents_above || 'gone'::text "
        "WHERE parent_run_id IS NOT NULL"
    )
    answer = await again(door)
    assert (answer.judged, answer.unjudged.total()) == (1, 1)
    assert "the runs above its run are not all in the database" in str(answer.unjudged)
