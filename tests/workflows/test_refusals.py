"""A run that is told no again and again is hijacked or lost: it pauses for a person, and goes on when one lets it."""

from collections.abc import Callable
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from activities.agents.versions import AgentVersion
from tests.harness.checks import assert_no_task_failed, assert_sound, facts
from tests.harness.stanchion import Stanchion, eventually
from tests.harness.toolbox import WITNESS
from workflows import transitions
from workflows.transitions import REFUSALS_IN_A_ROW, REFUSALS_IN_A_RUN

Handle = WorkflowHandle[Any, Any]

BUDGET = {"tool_calls": 200, "steps": 100}


async def stubborn(stanchion: Stanchion, model: str) -> AgentVersion:
    """An agent with a model that goes on asking."""
    return await stanchion.publish(f"scripted:tests.harness.stubborn:{model}", "send", "look", "fetch", budget=BUDGET)


async def becomes(handle: Handle, word: str) -> dict[str, Any]:
    async def look() -> Any:
        status = await handle.query("status")
        return status if status["status"] == word else None

    return dict(await eventually(look, f"{handle.id} is {word}"))


async def refused(stanchion: Stanchion, handle: Handle) -> int:
    """How many calls of the run were refused."""
    return int(await stanchion.value("SELECT count(*) FROM effects WHERE run_id = $1 AND state = 'refused'", handle.id))


async def stopped(stanchion: Stanchion, handle: Handle) -> None:
    """Halt a run; it left a sound transcript, and nothing of what it was refused happened."""
    await handle.signal("halt", {"by": "ana"})
    assert (await stanchion.outcome(handle))["status"] == "stopped"
    await assert_sound(stanchion, handle.id)
    await assert_no_task_failed(handle)
    assert not [key for key in WITNESS if key.startswith(f"{handle.id}/")]


async def paused_after(stanchion: Stanchion, handle: Handle, refusals: int) -> None:
    """The run is paused, having been refused so often and no more."""
    await becomes(handle, "paused")
    assert await refused(stanchion, handle) == refusals


async def test_three_refusals_in_a_row_pause_the_run_until_someone_lets_it_go_on(stanchion: Stanchion) -> None:
    handle = await stanchion.start(await stubborn(stanchion, "asks_for_what_it_may_not"))
    await paused_after(stanchion, handle, REFUSALS_IN_A_ROW)
    await handle.signal("message", {"text": "go on, go on", "by": "eve"})  # only a resume lets it
    assert (await handle.query("status"))["status"] == "paused"
    await handle.signal("resume", {"by": "ana"})

    async def again() -> bool:
        return await refused(stanchion, handle) == 2 * REFUSALS_IN_A_ROW

    await eventually(again, "it went on, and was refused three times more")
    await paused_after(stanchion, handle, 2 * REFUSALS_IN_A_ROW)
    await stopped(stanchion, handle)


async def test_twenty_refusals_in_a_run_pause_it_though_never_two_in_a_row(stanchion: Stanchion) -> None:
    handle = await stanchion.start(await stubborn(stanchion, "looks_in_between"))
    await paused_after(stanchion, handle, REFUSALS_IN_A_RUN)
    assert (await handle.query("status"))["step"] == 1 + REFUSALS_IN_A_RUN
    await handle.signal("resume", {"by": "ana"})

    async def goes_on() -> bool:
        return await refused(stanchion, handle) > REFUSALS_IN_A_RUN

    await eventually(goes_on, "it went on")
    await stopped(stanchion, handle)


async def test_rejections_by_a_person_count_and_answers_in_its_place_do_not(stanchion: Stanchion) -> None:
    turns = [{"tools": [{"name": "send", "input": {"to": f"bo{n}@acme.example"}}]} for n in range(5)]
    handle = await stanchion.start(await stanchion.publish([*turns, {"text": "done"}], "send"))
    for call, verdict in enumerate(("reject", "respond", "reject", "reject", "reject"), start=1):

        async def asked(call_id: str = f"{call}.0") -> Any:
            return next((a for a in await handle.query("approvals") if a["call_id"] == call_id), None)

        approval = await eventually(asked, f"call {call} waits for an approval")
        decision = {"approval_id": approval["approval_id"], "verdict": verdict, "by": "lee", "reason": "no"}
        assert (await handle.execute_update("decide", decision))["answer"] == "accepted"
        if call < 5:
            assert (await handle.query("status"))["status"] != "paused"
    await paused_after(stanchion, handle, 5)
    await handle.signal("resume", {"by": "ana"})
    assert (await stanchion.outcome(handle))["status"] == "completed"


async def test_the_models_own_mistakes_are_no_refusals(stanchion: Stanchion) -> None:
    handle = await stanchion.start(await stubborn(stanchion, "uses_tools_it_does_not_have"))
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert await refused(stanchion, handle) == 4


async def test_people_are_told_why_it_paused(stanchion: Stanchion) -> None:
    handle = await stanchion.start(await stubborn(stanchion, "asks_for_what_it_may_not"))
    await becomes(handle, "paused")
    waiting_for = (await handle.query("status"))["waiting_for"]  # what `stanchion show` shows
    await stopped(stanchion, handle)
    [order] = await facts(stanchion, handle.id, "pause.ordered")
    assert order["reason"] == "refused 3 in a row: look at what it wants, then resume or halt it"
    assert order["reason"] in waiting_for


async def test_with_the_limits_broken_three_refusals_would_not_pause_the_run(
    systems: Callable[..., Stanchion], monkeypatch: pytest.MonkeyPatch
) -> None:
    stanchion = await systems().up()
    monkeypatch.setattr(transitions, "REFUSALS_IN_A_ROW", 1_000)
    monkeypatch.setattr(transitions, "REFUSALS_IN_A_RUN", 1_000)
    handle = await stanchion.start(await stubborn(stanchion, "asks_for_what_it_may_not"))

    async def goes_on() -> bool:  # until its own loop is noticed, which is another matter
        return await refused(stanchion, handle) > REFUSALS_IN_A_ROW

    await eventually(goes_on, "nobody pauses it after three")
    await stopped(stanchion, handle)
