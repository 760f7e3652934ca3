"""A call that becomes another agent's run: one child, one result, and a budget that was carved out."""

from typing import Any

from tests.harness.checks import assert_no_task_failed, assert_sound
from tests.harness.delegating import ask, boss, delegate, worker
from tests.harness.stanchion import Stanchion


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
