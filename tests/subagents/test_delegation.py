"""A call that becomes another agent's run: one child, one result, and a budget that was carved out."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from activities.halts.halts import HaltOrder, LiftOrder
from activities.halts.notify_runs import notify_lifted
from tests.harness.checks import assert_no_task_failed, assert_sound
from tests.harness.delegating import DONE, ask, at_work, boss, child_of, delegate, halts, release, word, worker
from tests.harness.stanchion import Stanchion, eventually, unique
from workflows.contracts.runs import RolloverCaps
from workflows.search import AGENT_LINEAGE


async def children(system: Stanchion, run_id: str) -> list[Any]:
    return await system.rows(
        "SELECT r.* FROM delegations d JOIN runs r ON r.run_id = d.child_run_id WHERE d.parent_run_id = $1 "
        "ORDER BY d.call_id",
        run_id,
    )


async def test_a_delegated_task_is_done_by_another_agent_and_its_answer_comes_back(stanchion: Stanchion) -> None:
    helper = await worker(stanchion)
    agent = await boss(stanchion, ask(delegate(helper)), delegates=[helper])
    handle = await stanchion.start(agent, tenant="acme", requester="ana")
    outcome = await stanchion.outcome(handle)
    assert outcome["status"] == "completed", outcome
    assert (await stanchion.results(handle.id))["1.0"] == "found it"
    [child] = await children(stanchion, handle.id)
    assert (child["agent"], child["tenant"], child["requester"], child["status"]) == (
        helper,
        "acme",
        "ana",
        "completed",
    )
    assert (child["parent_run_id"], child["lineage"]) == (handle.id, [handle.id])
    for run_id in (handle.id, child["run_id"]):
        await assert_sound(stanchion, run_id)
    await assert_no_task_failed(handle)


async def test_tasks_in_one_step_are_done_side_by_side(stanchion: Stanchion) -> None:
    one, two = await worker(stanchion, {"text": "one"}), await worker(stanchion, {"text": "two"})
    agent = await boss(stanchion, ask(delegate(one), delegate(two)), delegates=[one, two])
    handle = await stanchion.start(agent)
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert await stanchion.results(handle.id) == {"1.0": "one", "1.1": "two"}
    await assert_sound(stanchion, handle.id)


async def test_what_a_sub_agent_does_not_finish_is_never_reported_as_done(stanchion: Stanchion) -> None:
    busy = [ask(("look", {"what": f"{n}"})) for n in range(5)]
    helper = await worker(stanchion, *busy, tools=("look",), budget={"tool_calls": 2})
    handle = await stanchion.start(await boss(stanchion, ask(delegate(helper)), delegates=[helper]))
    outcome = await stanchion.outcome(handle)
    assert outcome["status"] == "completed"  # the boss went on; it read why there is no answer
    text = (await stanchion.results(handle.id))["1.0"]
    assert "did not finish its task: stopped (budget.tool_calls" in text and "2 calls" in text
    assert outcome["spent"]["tool_calls"] == 1 + 2  # its own call, and those of its sub-agent
    assert await stanchion.value("SELECT state FROM holds WHERE hold_id = $1", f"{handle.id}/1.0") == "settled"


async def test_a_sub_agent_that_is_terminated_is_closed_at_once_and_is_no_success(stanchion: Stanchion) -> None:
    handle, child = await at_work(stanchion)
    await stanchion.client.get_workflow_handle(child).terminate("by hand")
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert "stopped (terminated: " in (await stanchion.results(handle.id))["1.0"]
    assert await stanchion.value("SELECT status FROM runs WHERE run_id = $1", child) == "stopped"
    assert await stanchion.value("SELECT count(*) FROM holds WHERE state = 'reserved'") == 0
    for run_id in (handle.id, child):
        await assert_sound(stanchion, run_id)


async def test_one_that_cannot_be_admitted_is_no_success(stanchion: Stanchion) -> None:
    helper = await worker(stanchion)
    agent = await boss(stanchion, ask(delegate(helper)), delegates=[helper])
    await stanchion.rows(
        "INSERT INTO caps (tenant, scope, key, unit, class, period, cap, by) "
        "VALUES ('acme', 'tenant', '*', 'slots', '*', 'total', 1, 'a test')"
    )
    handle = await stanchion.start(agent, tenant="acme")
    assert (await stanchion.outcome(handle))["status"] == "completed"
    text = (await stanchion.results(handle.id))["1.0"]
    assert "did not finish its task: it was never admitted (failed.CapReached: 0 of 1 running slots" in text, text
    assert text.endswith("; nothing was spent")


async def test_waiting_for_a_sub_agent_uses_no_active_time_and_people_see_whom_it_waits_for(
    stanchion: Stanchion,
) -> None:
    handle, child = await at_work(stanchion)
    status = await word(handle, "waiting")
    assert status["waiting_for"] == f"sub-agent {child}"
    first = status["spent"]["minutes"]
    await handle.signal("message", {"text": "hurry", "by": "ana"})  # noted, and read at its next step
    assert (await handle.query("status"))["spent"]["minutes"] == first
    described = await stanchion.client.get_workflow_handle(child).describe()
    assert described.parent_id == handle.id
    assert (await described.static_summary()) == f"sub-agent of {handle.id}, call 1.0"
    assert described.typed_search_attributes[AGENT_LINEAGE] == [handle.id.split("/")[1]]
    release(child)
    assert (await stanchion.outcome(handle))["status"] == "completed"


async def test_a_paused_run_begins_nothing_while_its_sub_agents_go_on(stanchion: Stanchion) -> None:
    handle, child = await at_work(stanchion)
    await handle.signal("pause", {"by": "lee"})
    await word(handle, "paused")
    release(child)
    await stanchion.outcome(stanchion.client.get_workflow_handle(child))
    assert (await handle.query("status"))["status"] == "paused"
    assert await stanchion.results(handle.id) == {}
    await handle.signal("resume", {"by": "lee"})
    assert (await stanchion.outcome(handle))["status"] == "completed"


@pytest.mark.parametrize("how", ["signal", "cancel", "halt"])
async def test_a_run_that_is_stopped_takes_its_sub_agents_along_and_ends_after_them(
    stanchion: Stanchion, how: str
) -> None:
    handle, child = await at_work(stanchion, levels=2)
    below = (await stanchion.rows("SELECT run_id FROM runs WHERE parent_run_id = $1", child))[0]["run_id"]
    match how:
        case "signal":
            await handle.signal("halt", {"by": "lee"})
        case "cancel":
            await handle.cancel()
        case _:
            await halts(stanchion).order(HaltOrder(scope="run", target=handle.id, by="lee", reason="enough"))
    outcome = await stanchion.outcome(handle)
    assert outcome["status"] == ("cancelled" if how == "cancel" else "stopped")
    closed = await stanchion.rows("SELECT run_id, status, closed_at FROM runs ORDER BY closed_at")
    assert [row["run_id"] for row in closed] == [below, child, handle.id]
    assert {row["status"] for row in closed} <= {"stopped", "cancelled"}
    assert await stanchion.value("SELECT count(*) FROM holds WHERE state IN ('reserved', 'lost')") <= 1
    for run_id in (handle.id, child, below):
        await assert_sound(stanchion, run_id)
        await assert_no_task_failed(stanchion.client.get_workflow_handle(run_id))


async def test_a_sub_agent_that_stands_still_ends_with_the_run_that_it_works_for(stanchion: Stanchion) -> None:
    helper = await worker(stanchion, ask(("send", {"to": "bo@acme.example"})), DONE, tools=("send",))
    handle = await stanchion.start(await boss(stanchion, ask(delegate(helper)), delegates=[helper]))
    child = await child_of(stanchion, handle.id)
    await stanchion.approval(stanchion.client.get_workflow_handle(child))
    await halts(stanchion).order(HaltOrder(scope="run", target=handle.id, by="lee"))
    await handle.signal("halt", {"by": "lee"})  # as `stanchion halt --run` does
    assert (await stanchion.outcome(handle))["status"] == "stopped"
    assert await stanchion.value("SELECT status FROM runs WHERE run_id = $1", child) == "cancelled"
    assert await stanchion.value("SELECT state FROM approvals WHERE run_id = $1", child) == "withdrawn"


async def test_a_run_that_is_terminated_takes_its_sub_agents_along(stanchion: Stanchion) -> None:
    handle, child = await at_work(stanchion, tool="looks_until_released")
    await handle.terminate("by hand")
    ended = await stanchion.outcome(stanchion.client.get_workflow_handle(child))
    assert ended["status"] == "cancelled"
    await stanchion.client.execute_workflow(
        "ReaperWorkflow", id=unique("reaper"), task_queue=stanchion.settings.task_queue
    )
    assert await stanchion.value("SELECT status FROM runs WHERE run_id = $1", handle.id) == "stopped"
    assert await stanchion.value("SELECT count(*) FROM holds WHERE state IN ('reserved', 'lost')") == 0


async def test_a_halt_of_an_agent_pauses_its_sub_agents_and_its_lifting_lets_them_go_on(stanchion: Stanchion) -> None:
    handle, child = await at_work(stanchion, tool="blocks_once")
    below = stanchion.client.get_workflow_handle(child)
    halt = await halts(stanchion).order(HaltOrder(scope="agent", target=handle.id.split("/")[1], by="lee"))
    await word(below, "paused")
    lifting = await halts(stanchion).lift(LiftOrder(halt_id=halt.notice.halt_id, by="lee"))
    assert lifting.lifted

    async def told() -> bool:
        return await notify_lifted(stanchion.client, halt.notice, "lee") == 2

    await eventually(told, "the server's list has both")
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert (await stanchion.results(child))["1.0"] == "attempt 2"


async def test_a_run_rolls_over_before_and_after_its_sub_agents_and_never_while_they_are_at_work(
    systems: Callable[..., Stanchion],
) -> None:
    system = await systems(rollover=RolloverCaps(events=1)).up()
    looks = [ask(("look", {"what": f"{n}"})) for n in range(4)]
    helper = await worker(system, *looks, {"text": "found it"}, tools=("look",))
    turns = [*looks, ask(delegate(helper, "One."), delegate(helper, "Two.")), *looks]
    handle = await system.start(await boss(system, *turns, delegates=[helper], tools=("look",)))
    assert (await system.outcome(handle))["status"] == "completed"
    assert (await handle.query("status"))["rollovers"] >= 2
    results = await system.results(handle.id)
    assert (results["5.0"], results["5.1"]) == ("found it", "found it")
    for child in await children(system, handle.id):
        await assert_sound(system, child["run_id"])
    await assert_sound(system, handle.id)


@pytest.mark.parametrize("how", ["halt", "cancel", "terminate"])
async def test_a_sub_agent_that_has_rolled_over_ends_with_the_run_above(
    systems: Callable[..., Stanchion], how: str
) -> None:
    system = await systems(rollover=RolloverCaps(events=1)).up()
    looks = [ask(("look", {"what": f"{n}"})) for n in range(3)]
    helper = await worker(system, *looks, ask(("wait", {"minutes": 600})), {"text": "woke up"}, tools=("look",))
    handle = await system.start(await boss(system, ask(delegate(helper, "Look.")), delegates=[helper]))

    async def asleep() -> str:
        for child in await children(system, handle.id):
            found = await system.client.get_workflow_handle(child["run_id"]).query("status")
            if found["rollovers"] and found["status"] == "sleeping":
                return str(child["run_id"])
        return ""

    below = system.client.get_workflow_handle(await eventually(asleep, "the sub-agent has rolled over and sleeps"))
    if how == "halt":
        await handle.signal("halt", {"by": "lee"})
    else:
        await (handle.cancel() if how == "cancel" else handle.terminate())
    assert (await asyncio.wait_for(below.result(), 60))["status"] in ("stopped", "cancelled")
    if how != "terminate":
        assert (await system.outcome(handle))["status"] in ("stopped", "cancelled")


async def test_workers_that_come_and_go_leave_one_sub_agent_and_one_result(
    systems: Callable[..., Stanchion],
) -> None:
    system = await systems().up(max_cached_workflows=0)  # every task replays the whole history
    handle, _ = await at_work(system, tool="blocks_once")
    await system.down()  # the tool is cut short, and answers at its next attempt
    await system.up(max_cached_workflows=0)
    assert (await system.outcome(handle))["status"] == "completed"
    assert len(await children(system, handle.id)) == 1
    await assert_sound(system, handle.id)


async def test_the_same_task_handed_out_again_and_again_is_seen_as_a_loop(stanchion: Stanchion) -> None:
    helper = await worker(stanchion)
    turns = [ask(delegate(helper, "Find it."))] * 3
    handle = await stanchion.start(await boss(stanchion, *turns, delegates=[helper]))
    assert (await stanchion.outcome(handle))["status"] == "completed"
    results = await stanchion.results(handle.id)
    assert results["1.0"] == results["2.0"] == "found it"
    assert "loop.repeated-call" in results["3.0"]
    assert len(await children(stanchion, handle.id)) == 2
