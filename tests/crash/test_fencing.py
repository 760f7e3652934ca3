"""An attempt that was overtaken: its late result is recorded and changes nothing."""

import asyncio
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from activities.gateway.execution.effects import ClaimLost
from tests.harness.checks import assert_no_task_failed, assert_sound, facts
from tests.harness.stanchion import DEADLINE, Stanchion, eventually, unique
from tests.harness.toolbox import RELEASE, WITNESS
from workers.worker import ROLES
from workflows.contracts.calls import CallRequest

WITHOUT_TOOLS = [role for role in ROLES if role != "tools"]


async def blocked(stanchion: Stanchion, tool: str) -> tuple[WorkflowHandle[Any, Any], str, "asyncio.Task[Any]"]:
    """A run whose only call is being attempted by the test itself, and hangs in the tool."""
    name = unique("release")
    turns = [{"tools": [{"name": tool, "input": {"name": name}}]}, {"text": "done"}]
    handle = await stanchion.start(await stanchion.publish(turns, tool, "take_back"))

    async def planned() -> bool:
        return bool(await stanchion.value("SELECT count(*) FROM calls WHERE run_id = $1", handle.id))

    await eventually(planned, "the call is planned")
    attempt = asyncio.create_task(stanchion.parts.gateway.call(CallRequest(run_id=handle.id, call_id="1.0")))

    async def in_flight() -> bool:
        return name in RELEASE

    await eventually(in_flight, "the tool runs")
    return handle, name, attempt


async def test_an_attempt_that_was_fenced_off_leaves_a_late_result_and_changes_nothing(stanchion: Stanchion) -> None:
    """The run's own attempt hangs; another one takes the effect over, settles it, and then the first one comes back."""
    name = unique("release")
    turns = [{"tools": [{"name": "blocks_once", "input": {"name": name}}]}, {"text": "done"}]
    handle = await stanchion.start(await stanchion.publish(turns, "blocks_once", "take_back"))

    async def in_flight() -> bool:
        return name in RELEASE

    await eventually(in_flight, "the tool runs")
    answer = await stanchion.parts.gateway.call(CallRequest(run_id=handle.id, call_id="1.0"))
    assert answer.kind == "observed"
    assert await stanchion.value("SELECT fence FROM effects WHERE run_id = $1", handle.id) == 2
    before = await stanchion.results(handle.id)
    assert before == {"1.0": "attempt 2"}
    RELEASE[name].set()
    outcome = await stanchion.outcome(handle)
    assert outcome["status"] == "completed"
    assert await stanchion.results(handle.id) == before
    [late] = await facts(stanchion, handle.id, "result.late")
    assert (late["call_id"], late["fence"]) == ("1.0", 1)
    assert len(await facts(stanchion, handle.id, "call.observed")) == 1
    await assert_sound(stanchion, handle.id)
    await assert_no_task_failed(handle)


async def test_a_result_that_comes_after_the_run_was_closed_is_recorded_and_not_applied(systems: Any) -> None:
    stanchion = await systems().up(WITHOUT_TOOLS)
    handle, name, attempt = await blocked(stanchion, "waits_for_release")
    await handle.terminate()
    await stanchion.client.execute_workflow(
        "ReaperWorkflow", id=unique("reaper"), task_queue=stanchion.settings.task_queue
    )
    before = await stanchion.transcript(handle.id)
    assert "Outcome unknown" in (await stanchion.results(handle.id))["1.0"]
    RELEASE[name].set()
    with pytest.raises(ClaimLost):
        await attempt
    assert await stanchion.transcript(handle.id) == before
    assert await stanchion.value("SELECT state FROM effects WHERE run_id = $1", handle.id) == "unknown"
    assert len(await facts(stanchion, handle.id, "result.late")) == 1


async def test_of_many_attempts_that_found_no_claim_one_owns_the_effect(systems: Any) -> None:
    together = asyncio.Barrier(8)

    async def checkpoint(where: str) -> None:
        if where == "before-claim":  # each has seen by now that nobody owns it
            await together.wait()

    stanchion = await systems(checkpoint=checkpoint).up(WITHOUT_TOOLS)
    turns = [{"tools": [{"name": "note", "input": {"text": "a"}}]}, {"text": "done"}]
    handle = await stanchion.start(await stanchion.publish(turns, "note", "take_back"))

    async def planned() -> bool:
        return bool(await stanchion.value("SELECT count(*) FROM calls WHERE run_id = $1", handle.id))

    await eventually(planned, "the call is planned")
    stanchion.parts.models._steps.forget(handle.id)  # an attempt on remembered facts would come to the claim twice
    request = CallRequest(run_id=handle.id, call_id="1.0")
    async with asyncio.timeout(DEADLINE):
        calls = [stanchion.parts.gateway.call(request) for _ in range(8)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers].count(ClaimLost) == 7
    assert await stanchion.value("SELECT fence FROM effects WHERE run_id = $1", handle.id) == 1
    assert WITNESS[f"{handle.id}/1.0"] == 1
    assert len(await facts(stanchion, handle.id, "call.observed")) == 1


async def test_nothing_is_claimed_for_a_run_that_is_closed(systems: Any) -> None:
    stanchion = await systems().up(WITHOUT_TOOLS)
    turns = [{"tools": [{"name": "note", "input": {"text": "a"}}]}, {"text": "done"}]
    handle = await stanchion.start(await stanchion.publish(turns, "note", "take_back"))

    async def planned() -> bool:
        return bool(await stanchion.value("SELECT count(*) FROM calls WHERE run_id = $1", handle.id))

    await eventually(planned, "the call is planned")
    await handle.signal("halt")
    assert (await stanchion.outcome(handle))["status"] == "stopped"
    with pytest.raises(ClaimLost):
        await stanchion.parts.gateway.call(CallRequest(run_id=handle.id, call_id="1.0"))
    assert WITNESS[f"{handle.id}/1.0"] == 0
    await assert_sound(stanchion, handle.id)
