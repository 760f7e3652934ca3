"""Many calls at once against a budget: exactly as many are performed as it allows, and the witness agrees."""

import os
from collections.abc import Callable

import pytest

from activities.ledger.ledger import SQL
from tests.activities.spending import Crowd, assert_held, kinds
from tests.harness.stanchion import Stanchion
from tests.harness.toolbox import WITNESS

ROUNDS = int(os.environ.get("ROUNDS", "5"))
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
