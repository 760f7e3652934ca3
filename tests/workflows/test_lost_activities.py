"""What operators and other versions do to activities: a run asks again, then pauses, and never ends for it."""

import asyncio
from typing import Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import PauseActivityRequest, ResetActivityRequest, UnpauseActivityRequest
from temporalio.exceptions import ApplicationError

from tests.harness import models
from tests.harness.checks import assert_no_task_failed
from tests.harness.stanchion import Stanchion, eventually, unique
from tests.harness.toolbox import RELEASE, WITNESS
from tests.workflows.sender import Handle, becomes, ended

ASKED = "scripted:tests.harness.models:repeats_what_was_said"


async def started_activity(handle: Handle, name: str, after: int = 0) -> tuple[int, str]:
    """The event number and the id of an activity that a worker is at work on, scheduled after the event `after`."""

    async def look() -> tuple[int, str] | None:
        pending = (await handle.describe()).raw_description.pending_activities
        ids = {
            each.activity_id for each in pending if each.activity_type.name == name and each.last_started_time.seconds
        }
        async for event in handle.fetch_history_events():
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED and event.event_id > after:
                if (found := event.activity_task_scheduled_event_attributes.activity_id) in ids:
                    return event.event_id, found
        return None

    started = await eventually(look, f"{name} is at work")
    assert started
    return started


async def spoil(stanchion: Stanchion, handle: Handle, name: str, how: Any, after: int = 0) -> int:
    """Complete or fail an activity at work by hand, as `temporal activity complete` and `fail` do."""
    number, activity_id = await started_activity(handle, name, after)
    run_id = (await handle.describe()).run_id
    by_hand = stanchion.client.get_async_activity_handle(workflow_id=handle.id, run_id=run_id, activity_id=activity_id)
    await (by_hand.fail(how) if isinstance(how, Exception) else by_hand.complete(how))
    return number


BY_HAND = ["x", None, {"next": "dance"}, ApplicationError("Application error")]


@pytest.mark.parametrize("how", BY_HAND, ids=str)
async def test_an_answer_that_is_none_of_ours_is_asked_for_again(stanchion: Stanchion, how: Any) -> None:
    goal = unique("goal")
    models.HOLD[goal] = asyncio.Event()
    handle = await stanchion.start(await stanchion.publish(ASKED), goal)
    await spoil(stanchion, handle, "model.plan", how)
    models.HOLD[goal].set()
    assert (await ended(stanchion, handle, "completed"))["answer"] == goal


async def test_after_three_of_them_the_run_pauses_and_goes_on_when_it_is_resumed(stanchion: Stanchion) -> None:
    goal, last = unique("goal"), 0
    models.HOLD[goal] = asyncio.Event()
    handle = await stanchion.start(await stanchion.publish(ASKED), goal)
    for _ in range(3):
        last = await spoil(stanchion, handle, "model.plan", "x", last)
    await becomes(handle, "paused")
    assert "model.plan gave a result that cannot be read" in (await handle.query("status"))["waiting_for"]
    models.HOLD[goal].set()
    await handle.signal("resume", {"by": "lee"})
    assert (await ended(stanchion, handle, "completed"))["answer"] == goal


@pytest.mark.parametrize("how", ["x", ApplicationError("Application error")], ids=str)
async def test_an_effect_whose_call_was_ended_by_hand_in_the_middle_is_asked_about(
    stanchion: Stanchion, how: Any
) -> None:
    name = unique("release")
    RELEASE[name] = asyncio.Event()
    turns = [{"tools": [{"name": "waits_for_release", "input": {"name": name}}]}, {"text": "done"}]
    handle = await stanchion.start(await stanchion.publish(turns, "waits_for_release", "clear"))
    await spoil(stanchion, handle, "gateway.call", how)
    asked = await stanchion.approval(handle)
    assert asked["about"] == "unknown"
    await assert_no_task_failed(handle)
    RELEASE[name].set()
    await handle.signal("halt", {})
    await ended(stanchion, handle, "stopped")
    assert WITNESS[f"{handle.id}/1.0"] <= 1


@pytest.mark.parametrize("how", ["pause", "reset"])
async def test_an_activity_that_an_operator_pauses_or_resets_goes_on(stanchion: Stanchion, how: str) -> None:
    goal = unique("goal")
    models.HOLD[goal] = asyncio.Event()
    handle = await stanchion.start(await stanchion.publish(ASKED), goal)
    _, activity_id = await started_activity(handle, "model.plan")
    run_id = (await handle.describe()).run_id
    named: Any = {"namespace": "default", "id": activity_id, "identity": "lee"}
    named["execution"] = WorkflowExecution(workflow_id=handle.id, run_id=run_id)
    service = stanchion.client.workflow_service
    if how == "pause":
        await service.pause_activity(PauseActivityRequest(**named))
        await service.unpause_activity(UnpauseActivityRequest(**named))
    else:
        await service.reset_activity(ResetActivityRequest(**named))
    models.HOLD[goal].set()
    outcome = await ended(stanchion, handle, "completed")
    assert (outcome["answer"], outcome["steps"]) == (goal, 1)
