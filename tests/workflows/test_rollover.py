"""A run that goes on in a fresh history is the same run."""

import asyncio

import pytest
from temporalio.client import (
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy

from tests.harness.stanchion import Stanchion, eventually, unique
from tests.workflows.sender import (
    DONE,
    SLEEP,
    Handle,
    Systems,
    becomes,
    ended,
    sender,
    sent,
    state_of,
    waiting,
)
from workflows.contracts.runs import RolloverCaps


@pytest.fixture
async def rolling(systems: Systems) -> Stanchion:
    """A running system whose runs go on in a fresh history as soon as they may."""
    return await systems(rollover=RolloverCaps(events=30)).up()


async def first_history_full(handle: Handle) -> None:
    """Fill the history beyond the caps, so that the run rolls over where it stands."""
    before = (await handle.query("status"))["rollovers"]
    for _ in range(35):
        await handle.signal("resume")

    async def rolled() -> bool:
        return bool((await handle.query("status"))["rollovers"] > before)

    await eventually(rolled, "the run rolled over")


async def test_a_long_run_goes_on_over_many_histories_and_misses_nothing(rolling: Stanchion) -> None:
    agent = await rolling.publish(
        "scripted:tests.harness.models:looks_for_ever", "look", budget={"tool_calls": 20, "steps": 50}, on_budget="stop"
    )
    handle = await rolling.start(agent)
    outcome = await ended(rolling, handle, "stopped")
    assert outcome["reason"].startswith("budget.tool_calls")
    assert outcome["spent"]["tool_calls"] == 20
    assert (await handle.query("status"))["rollovers"] >= 2
    description = await handle.describe()
    assert {attribute.key.name for attribute in description.typed_search_attributes} >= {"AgentName", "AgentStatus"}


async def test_a_run_rolls_over_while_it_waits_for_an_approval(rolling: Stanchion) -> None:
    handle, approval_id = await waiting(rolling, await sender(rolling))
    await first_history_full(handle)
    assert [a["approval_id"] for a in await handle.query("approvals")] == [approval_id]
    assert (await rolling.decide(handle, "approve"))["answer"] == "accepted"
    await ended(rolling, handle, "completed")
    assert sent(handle) == 1


async def test_an_approval_still_expires_in_a_later_history(rolling: Stanchion) -> None:
    agent = await sender(rolling, approvals={"expire_minutes": 0.1})
    handle, _ = await waiting(rolling, agent)
    await first_history_full(handle)
    await ended(rolling, handle, "completed")
    assert sent(handle) == 0


async def test_a_run_rolls_over_while_it_sleeps_and_still_wakes(rolling: Stanchion) -> None:
    nap = {"tools": [{"name": "wait", "input": {"minutes": 0.1}}]}
    handle = await rolling.start(await rolling.publish([nap, SLEEP, DONE]))
    await becomes(handle, "sleeping")
    await first_history_full(handle)

    async def second_sleep() -> bool:
        return bool((await handle.query("status"))["step"] == 2)

    await eventually(second_sleep, "the nap is over")
    await becomes(handle, "sleeping")
    await handle.signal("message", {"text": "wake up"})
    await ended(rolling, handle, "completed")
    assert "The wait is over" in (await rolling.results(handle.id))["1.0"]


async def test_a_run_rolls_over_while_it_is_paused_and_stays_paused(rolling: Stanchion) -> None:
    handle, _ = await waiting(rolling, await sender(rolling))
    await handle.signal("pause")
    await becomes(handle, "paused")
    assert (await rolling.decide(handle, "approve"))["answer"] == "accepted"
    before = (await handle.query("status"))["rollovers"]
    for _ in range(35):
        await handle.signal("pause")

    async def rolled() -> bool:
        return bool((await handle.query("status"))["rollovers"] > before)

    await eventually(rolled, "the paused run rolled over")
    await becomes(handle, "paused")
    assert sent(handle) == 0
    await handle.signal("resume")
    await ended(rolling, handle, "completed")
    assert sent(handle) == 1


async def test_updates_that_arrive_while_the_run_rolls_over_are_all_answered(rolling: Stanchion) -> None:
    handle, _ = await waiting(rolling, await sender(rolling))
    wrong = {"approval_id": "ap-none", "verdict": "approve", "by": "lee"}

    async def ask() -> str:
        return str((await handle.execute_update("decide", wrong))["answer"])

    for _ in range(8):
        answers = await asyncio.gather(*(ask() for _ in range(8)))
        assert set(answers) == {"not allowed"}
    assert (await handle.query("status"))["rollovers"] >= 1
    assert (await rolling.decide(handle, "approve"))["answer"] == "accepted"
    await ended(rolling, handle, "completed")
    assert sent(handle) == 1


async def test_a_halt_in_a_later_history_still_stops_the_run(rolling: Stanchion) -> None:
    handle, approval_id = await waiting(rolling, await sender(rolling))
    await first_history_full(handle)
    await handle.signal("halt", {"by": "ana"})
    await ended(rolling, handle, "stopped")
    assert await state_of(rolling, approval_id) == "withdrawn"


async def test_a_start_with_a_state_of_ones_own_making_is_not_believed(stanchion: Stanchion) -> None:
    forged = {"kind": "run.state", "run_id": "agent/x/y", "agent": "x", "goal": "g", "step": 3}
    handle = await stanchion.client.start_workflow(
        "AgentWorkflow", forged, id=unique("forged"), task_queue=stanchion.settings.task_queue
    )
    with pytest.raises(WorkflowFailureError):
        await stanchion.outcome(handle)


async def test_an_update_refused_at_the_start_still_starts_the_run(stanchion: Stanchion) -> None:

    agent = await sender(stanchion)
    name = agent.definition.name
    start = WithStartWorkflowOperation(
        "AgentWorkflow",
        {"agent": name, "goal": "do it"},
        id=f"agent/{name}/{unique('run')}",
        task_queue=stanchion.settings.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    with pytest.raises(WorkflowUpdateFailedError):
        await stanchion.client.execute_update_with_start_workflow("decide", "nonsense", start_workflow_operation=start)
    handle = await start.workflow_handle()
    await stanchion.decide(handle, "approve")
    await ended(stanchion, handle, "completed")
