"""Many calls at once against a budget: exactly as many are performed as it allows, and the witness agrees."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from activities.ledger.ledger import SQL
from tests.activities.spending import Crowd, assert_held, kinds
from tests.harness.stanchion import Stanchion
from tests.harness.toolbox import WITNESS
from workflows.contracts.budgets import Spent
from workflows.contracts.calls import CallRequest, Spawn
from workflows.contracts.runs import CloseRequest, Ending

ROUNDS = int(os.environ.get("ROUNDS", "2"))
CALLS, BUDGET = 200, 10
Systems = Callable[..., Stanchion]


def happened(crowd: Crowd) -> int:
    """How often an effect of these calls happened, says the world."""
    return sum(WITNESS[f"{request.run_id}/{request.call_id}"] for request in crowd.requests)


async def cap(system: Stanchion, cap: int, **place: str) -> None:
    """Set a cap of the tenant `default`."""
    given = {
        "tenant": "default",
        "scope": "tenant",
        "key": "*",
        "unit": "calls",
        "class": "*",
        "period": "day",
        **place,
    }
    await SQL["set_cap"].row(system.parts.database, cap=cap, by="lee", **given)


@pytest.mark.parametrize("round_", range(ROUNDS))
async def test_of_200_calls_at_once_as_many_are_performed_as_the_run_may_make(systems: Systems, round_: int) -> None:
    crowd = Crowd([systems() for _ in range(4)])
    agent = await crowd.first.publish([], "note", "take_back")
    run_id = await crowd.open(agent, budget={"tool_calls": BUDGET})
    await crowd.plan(run_id, "note", [{"text": f"{n}"} for n in range(CALLS)])
    assert kinds(await crowd.put()) == {"observed": BUDGET, "budget.tool_calls": CALLS - BUDGET}
    assert happened(crowd) == BUDGET
    await assert_held(crowd.first)


@pytest.mark.parametrize("round_", range(ROUNDS))
async def test_runs_of_several_agents_share_what_their_tenant_may_use(systems: Systems, round_: int) -> None:
    crowd = Crowd([systems() for _ in range(4)])
    await cap(crowd.first, BUDGET)
    for _ in range(2):
        agent = await crowd.first.publish([], "note", "take_back", budget={"tool_calls": 100})
        for _ in range(4):
            run_id = await crowd.open(agent)
            await crowd.plan(run_id, "note", [{"text": f"{n}"} for n in range(CALLS // 8)])
    assert kinds(await crowd.put()) == {"observed": BUDGET, "budget.calls.tenant.day": CALLS - BUDGET}
    assert happened(crowd) == BUDGET
    await assert_held(crowd.first)


# ── split over sub-agents ───────────────────────────────────────────────────────────────────────────────────────────
# A call to `delegate` is no call of its own in any window of calls. In those of the run it holds what it hands on, and
# once that has ended it stands there for the calls that the sub-agent made; those of tenant, agent and day count the
# calls that somebody performed, whoever it was.

WIDTH = 5  # sub-agents at work at once
FEW = 4  # calls that a run makes itself before it knows what is left for its sub-agents


async def delegating(crowd: Crowd, calls: int, **budget: Any) -> tuple[str, list[CallRequest]]:
    """An open run that may make so many calls, and five calls of it that each hand a part of the work on."""
    helper = await crowd.first.publish([], "note", "take_back")
    boss = await crowd.first.publish(
        [], "note", "take_back", delegates=[helper.definition.name], budget={"tool_calls": calls}
    )
    run_id = await crowd.open(boss)
    parts = [{"agent": helper.definition.name, "task": f"Part {n}.", **budget} for n in range(WIDTH)]
    await crowd.plan(run_id, "delegate", parts)
    return run_id, crowd.requests[-WIDTH:]


async def settled_with_all_over(crowd: Crowd, run_id: str, delegations: list[CallRequest]) -> tuple[int, int]:
    """(settled, reserved) of the calls that a run may make, once it has read how its sub-agents ended."""
    for row in await crowd.first.rows("SELECT child_run_id FROM delegations WHERE parent_run_id = $1", run_id):
        ending = Ending(status="completed", rule="answered")
        close = CloseRequest(run_id=row["child_run_id"], ending=ending, steps=1, spent=Spent())
        await crowd.first.parts.runs.close(close)
    await crowd.put([request.model_copy(update={"woken": True}) for request in delegations])
    sql = "SELECT settled, reserved FROM windows WHERE scope = 'run' AND key = $1 AND unit = 'calls'"
    [row] = await crowd.first.rows(sql, run_id)
    return row["settled"], row["reserved"]


@pytest.mark.parametrize("round_", range(ROUNDS))
async def test_a_run_and_its_sub_agents_together_make_no_more_calls_than_the_run_may(
    systems: Systems, round_: int
) -> None:
    crowd = Crowd([systems() for _ in range(4)])
    run_id, delegations = await delegating(crowd, BUDGET)
    await crowd.plan(run_id, "note", [{"text": f"{n}"} for n in range(FEW)])
    first = await crowd.put()  # what it does itself and what it hands on, at once; not all can be gone by then
    children = [await crowd.open_sub_agent(answer) for answer in first if isinstance(answer, Spawn)]
    assert children
    begun = len(crowd.requests)
    await crowd.plan(run_id, "note", [{"text": f"again {n}"} for n in range(40 - FEW)])
    for child in children:
        await crowd.plan(child, "note", [{"text": f"{n}"} for n in range((CALLS - 40) // len(children))])
    then = await crowd.put(crowd.requests[begun:])
    performed = kinds(first)["observed"] + kinds(then)["observed"]
    assert performed == happened(crowd) == BUDGET, (kinds(first), kinds(then))
    assert await settled_with_all_over(crowd, run_id, delegations) == (BUDGET, 0)
    await assert_held(crowd.first)


@pytest.mark.parametrize("round_", range(ROUNDS))
async def test_sub_agents_of_several_runs_share_what_their_tenant_may_use(systems: Systems, round_: int) -> None:
    crowd = Crowd([systems() for _ in range(4)])
    await cap(crowd.first, BUDGET)
    bosses = [await delegating(crowd, CALLS, tool_calls=CALLS // (2 * WIDTH)) for _ in range(2)]
    spawns = await crowd.put()
    assert kinds(spawns) == {"spawn": 2 * WIDTH}
    for spawn in spawns:
        assert isinstance(spawn, Spawn)
        child = await crowd.open_sub_agent(spawn)
        await crowd.plan(child, "note", [{"text": f"{n}"} for n in range(CALLS // (2 * WIDTH))])
    answers = await crowd.put(crowd.requests[2 * WIDTH :])
    assert kinds(answers) == {"observed": BUDGET, "budget.calls.tenant.day": CALLS - BUDGET}
    assert happened(crowd) == BUDGET
    settled = [await settled_with_all_over(crowd, *boss) for boss in bosses]
    assert sum(amount for amount, _ in settled) == BUDGET and not any(reserved for _, reserved in settled)
    await assert_held(crowd.first)
