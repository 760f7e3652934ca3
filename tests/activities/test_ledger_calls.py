"""Budgets at the gateway: a call that they have too little left for is refused before anything starts."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from activities.agents.versions import AgentVersion, shapes
from activities.ledger.ledger import SQL
from activities.policy.cedar.store import Policies
from tests.activities import shop
from tests.activities.spending import Crowd, assert_held, kinds
from tests.harness.stanchion import Stanchion, eventually, unique
from tests.harness.toolbox import WITNESS

Systems = Callable[..., Stanchion]
PERMIT = "permit (principal, action, resource);"
CURRENCIES = {"one_of": ["EUR", "USD"], "optional": True}
GRANTS = {"order": {"sku": {"max_length": 40}, "amount": {"max": 1_000_000}, "currency": CURRENCIES}}


async def permit(system: Stanchion, tenant: str, agent: AgentVersion, money_floor: int = 1_000_000) -> AgentVersion:
    """Nothing but tiers and grants stands against the agent's calls; payments up to the floor take nobody's yes."""
    policies = Policies(system.parts.database)
    await policies.set(tenant, PERMIT, by="lee", money_floor=money_floor, tools=shapes(agent.tools))
    return agent


async def buyer(system: Stanchion, tenant: str, model: str = "", **definition: Any) -> AgentVersion:
    """An agent that may order for up to 10,000.00 each without asking anyone."""
    budget = {"tool_calls": 1_000, "steps": 50, "tokens": 10**9}
    more = {"module": shop.MODULE, "grants": GRANTS, "budget": budget, **definition}
    return await permit(system, tenant, await system.publish(model or [], "read_stock", "order", **more))


@pytest.fixture
def tenant() -> str:
    return unique("tenant")


async def windows(system: Stanchion, unit: str) -> list[tuple[str, int, int]]:
    """(scope, settled, reserved) of the windows of a unit."""
    sql = "SELECT scope, settled, reserved FROM windows WHERE unit = $1 ORDER BY scope"
    return [tuple(row) for row in await system.rows(sql, unit)]


async def test_200_empty_shelves_are_not_ordered_full_though_each_order_is_allowed(
    systems: Systems, tenant: str
) -> None:
    system = await systems().up()
    agent = await buyer(system, tenant, f"scripted:{shop.MODULE}:buyer", name=unique("buyer"))
    goal = f"Order what is missing, for {shop.PRICE} cents an article."
    handle = await system.start(agent, goal, tenant=tenant)

    async def paused() -> bool:
        return bool((await handle.query("status"))["status"] == "paused")

    await eventually(paused, "the run waits for a person, after three refusals in a row")
    assert sum(shop.ORDERED[tenant].values()) == 7 * shop.PRICE <= 5_000_000
    results = (await system.results(handle.id)).values()
    assert sum("budget.minor.agent.day" in text for text in results) == 3
    assert any("100000 of 5000000 minor units of EUR by money calls a day are left to this agent" in t for t in results)
    assert await windows(system, "minor:EUR") == [("agent", 7 * shop.PRICE, 0), ("tenant", 7 * shop.PRICE, 0)]
    await handle.signal("halt")
    assert (await system.outcome(handle))["status"] == "stopped"
    await assert_held(system)


async def test_200_orders_at_once_by_agents_of_one_tenant_stay_within_its_day(systems: Systems, tenant: str) -> None:
    crowd = Crowd([systems() for _ in range(4)])
    goal = f"Order them for {shop.PRICE} cents each."
    for _ in range(5):
        run_id = await crowd.open(await buyer(crowd.first, tenant), tenant=tenant, goal=goal)
        await crowd.plan(run_id, "order", [{"sku": f"s{n}", "amount": shop.PRICE} for n in range(40)])
    answers = kinds(await crowd.put())
    assert answers["observed"] == 20_000_000 // shop.PRICE == 28 and set(answers) <= {
        "observed",
        "budget.minor.agent.day",
        "budget.minor.tenant.day",
    }
    assert sum(shop.ORDERED[tenant].values()) == 28 * shop.PRICE
    await assert_held(crowd.first)


async def answer(
    system: Stanchion, agent: AgentVersion, *calls: dict[str, Any], tool: str = "order", **request: Any
) -> list[str]:
    """What the gateway says to these calls, one after the other."""
    crowd = Crowd([system])
    run_id = await crowd.open(agent, **{"goal": "Order for 700000, 600000, 1000001 or 5 cents.", **request})
    await crowd.plan(run_id, tool, calls)
    return [next(iter(kinds([await system.parts.gateway.call(each)]))) for each in crowd.requests]


async def test_one_order_above_what_one_action_may_cost_is_refused(systems: Systems, tenant: str) -> None:
    system = systems()
    grants = {"order": {"sku": {"max_length": 40}, "amount": {"max": 2_000_000}, "currency": {"max_length": 3}}}
    agent = await system.publish([], "order", module=shop.MODULE, grants=grants)
    await permit(system, tenant, agent, money_floor=2_000_000)
    order = {"sku": "a", "currency": "EUR", "amount": 1_000_001}
    assert await answer(system, agent, order, order | {"amount": 5}, tenant=tenant) == [
        "budget.minor.agent.action",
        "observed",
    ]


async def test_each_currency_has_a_day_of_its_own_and_one_that_does_not_exist_has_none(
    systems: Systems, tenant: str
) -> None:
    system = systems()
    grants = {"order": {"sku": {"max_length": 40}, "amount": {"max": 1_000_000}, "currency": {"max_length": 9}}}
    agent = await buyer(system, tenant, grants=grants, caps=[{"unit": "minor", "per": "day", "most": 700_000}])
    order = {"sku": "a", "amount": 700_000}
    wanted = [order | {"currency": each} for each in ("EUR", "USD", "EUR", "XXX", "eur", "ZZZ")]
    assert await answer(system, agent, *wanted, tenant=tenant) == [
        *("observed", "observed", "budget.minor.agent.day"),
        *("budget.currency",) * 3,
    ]


@pytest.mark.parametrize("amount", [-700_000, 0, True, 1e999, 10**30, "700000", 0.5, None])
async def test_an_amount_that_is_no_amount_orders_nothing(systems: Systems, tenant: str, amount: Any) -> None:
    system = systems()
    agent = await buyer(system, tenant)
    [rule] = await answer(system, agent, {"sku": "a", "amount": amount if amount != 1e999 else 10**18}, tenant=tenant)
    assert rule in ("arguments.invalid", "grant.max")
    assert shop.ORDERED[tenant] == {} and await windows(system, "minor:EUR") == []


async def test_an_order_that_the_tool_itself_refused_moved_no_money_and_was_a_call(
    systems: Systems, tenant: str
) -> None:
    system = systems()
    agent = await buyer(system, tenant)
    assert await answer(system, agent, {"sku": "out-of-print", "amount": 700_000}, tenant=tenant) == ["observed"]
    assert await windows(system, "minor:EUR") == [("agent", 0, 0), ("tenant", 0, 0)]
    assert await windows(system, "calls") == [("agent", 1, 0), ("run", 1, 0), ("tenant", 1, 0)]


async def test_an_order_whose_reply_was_lost_is_counted_though_the_tool_refuses_the_next_attempt(
    systems: Systems, tenant: str
) -> None:
    system, crowd = systems(), Crowd([systems()])
    tool = "order_and_hang_up"
    grants = {tool: {"sku": {"max_length": 40}, "amount": {"max": 1_000_000}}}
    agent = await system.publish([], tool, module=shop.MODULE, grants=grants)
    await permit(system, tenant, agent)
    run_id = await crowd.open(agent, tenant=tenant, goal="Order for 700000 cents.")
    await crowd.plan(run_id, tool, [{"sku": "a", "amount": 700_000}])
    assert kinds(await crowd.put()) == {"observed": 1}  # the first attempt's reply was lost, the second one was refused
    assert sum(shop.ORDERED[tenant].values()) == 700_000
    assert await windows(system, "minor:XXX") == [("agent", 700_000, 0), ("tenant", 700_000, 0)]
    sure = "SELECT FROM effects WHERE run_id = $1 AND NOT coalesce((result ->> 'happened')::boolean, true)"
    assert await system.rows(sure, run_id) == [], "nobody may take it for certain that nothing happened"


async def test_a_grant_holds_for_its_day_over_all_runs_of_the_agent(systems: Systems, tenant: str) -> None:
    crowd = Crowd([systems() for _ in range(2)])
    agent = await buyer(crowd.first, tenant, grants={"order": {**GRANTS["order"], "per_day": 3}})
    for _ in range(4):
        run_id = await crowd.open(agent, tenant=tenant, goal="Order for 5 cents.")
        await crowd.plan(run_id, "order", [{"sku": f"s{n}", "amount": 5} for n in range(5)])
    assert kinds(await crowd.put()) == {"observed": 3, "grant.per-day": 17}
    assert len(shop.ORDERED[tenant]) == 3


async def test_a_tenants_caps_hold_from_the_next_call_on_and_for_nobody_else(systems: Systems, tenant: str) -> None:
    system = systems()
    place = {"scope": "agent", "key": "*", "unit": "calls", "class": "money", "period": "hour"}
    agent = await buyer(system, tenant)
    await buyer(system, "other")
    order = {"sku": "a", "amount": 5}
    assert await answer(system, agent, order, tenant=tenant) == ["observed"]
    await SQL["set_cap"].row(system.parts.database, tenant=tenant, cap=1, by="lee", **place)
    assert await answer(system, agent, order, order, tenant=tenant) == ["observed", "budget.calls.agent.hour"]
    assert await answer(system, agent, order, order, tenant="other") == ["observed", "observed"]


async def test_who_is_written_to_counts_once_and_no_more_people_than_a_tenant_says(
    systems: Systems, tenant: str
) -> None:
    system = systems()
    place = {"scope": "tenant", "key": "*", "unit": "recipients", "class": "send", "period": "day"}
    await SQL["set_cap"].row(system.parts.database, tenant=tenant, cap=2, by="lee", **place)
    grants = {"send": {"to": {"domains": ["acme.example"]}, "text": {"max_length": 99, "optional": True}}}
    agent = await permit(system, tenant, await system.publish([], "send", grants=grants))
    people = [f"{name}@acme.example" for name in ("ana", "bo", "ana", "cy", "bo")]
    said = await answer(
        system, agent, *({"to": to} for to in people), tool="send", tenant=tenant, goal=f"Write to {', '.join(people)}."
    )
    assert said == ["observed", "observed", "observed", "budget.recipients.tenant.day", "observed"]


async def test_a_call_that_is_attempted_by_many_at_once_is_held_once(systems: Systems) -> None:
    system = systems()
    crowd = Crowd([system])
    run_id = await crowd.open(await system.publish([], "note", "take_back"))
    await crowd.plan(run_id, "note", [{"text": "a"}])
    await asyncio.gather(*(system.parts.gateway.call(crowd.requests[0]) for _ in range(8)), return_exceptions=True)
    await crowd.put()
    assert WITNESS[f"{run_id}/1.1"] == 1
    assert await windows(system, "calls") == [("run", 1, 0)]


async def test_without_the_ledger_nothing_else_would_have_stopped_them(systems: Systems) -> None:
    """The control, broken on purpose: a ledger that reserves nothing lets every call through."""
    crowd = Crowd([systems()])
    broken = (
        "CREATE OR REPLACE FUNCTION ledger_reserve(hold text, run text, wanted jsonb, seconds double precision, "
        "moment timestamptz DEFAULT now()) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb'"
    )
    await crowd.first.rows(broken)
    run_id = await crowd.open(await crowd.first.publish([], "note", "take_back"), budget={"tool_calls": 10})
    await crowd.plan(run_id, "note", [{"text": f"{n}"} for n in range(30)])
    assert kinds(await crowd.put()) == {"observed": 30}


async def test_a_ledger_that_cannot_be_read_performs_nothing(systems: Systems) -> None:
    crowd = Crowd([systems()])
    run_id = await crowd.open(await crowd.first.publish([], "note", "take_back"))
    await crowd.plan(run_id, "note", [{"text": "a"}])
    await crowd.first.rows("ALTER TABLE windows RENAME TO elsewhere")
    with pytest.raises(Exception, match="windows"):
        await crowd.put()
    assert WITNESS[f"{run_id}/1.1"] == 0
    assert await crowd.first.rows("SELECT * FROM effects") == []
