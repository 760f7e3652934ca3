"""Caps as people set them, at each level: what counts for an agent, who said so, and what a run is opened with."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from activities.agents.versions import shapes
from activities.ledger.ledger import SQL
from activities.policy.cedar.store import Policies
from activities.runs.admission_terms import BudgetWidened
from tests.activities import shop
from tests.activities.spending import Crowd, kinds
from tests.harness.stanchion import Stanchion, unique
from tests.harness.typed import Left, Terminal
from workers.services import Services
from workflows.contracts.budgets import Budget
from workflows.contracts.runs import OpenRequest, RunRequest

pytestmark = pytest.mark.slow

Systems = Callable[..., Stanchion]


@pytest.fixture
def system(systems: Systems) -> Stanchion:
    return systems()


@pytest.fixture
def terminal(services: Services, system: Stanchion, tmp_path: Path) -> Terminal:
    servers = {"DATABASE_URL": system.database_url, "TEMPORAL_ADDRESS": services.temporal.address}
    return Terminal(tmp_path, servers)


async def cap(system: Stanchion, tenant: str, unit: str, most: int, scope: str = "run", period: str = "run") -> None:
    place = {"scope": scope, "key": "*", "unit": unit, "class": "*", "period": period}
    await SQL["set_cap"].row(system.parts.database, tenant=tenant, cap=most, by="lee", **place)


async def budget(system: Stanchion, tenant: str = "acme", agent: Any = None, **request: Any) -> Budget:
    """The budget that a run is opened with."""
    agent = agent or await system.publish([], "note", "take_back")
    run_id = await Crowd([system]).open(agent, tenant=tenant, **request)
    return Budget.model_validate_json(await system.value("SELECT budget FROM runs WHERE run_id = $1", run_id))


# ── what a run is opened with ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_run_gets_the_tightest_of_what_each_level_says(system: Stanchion) -> None:
    agent = await system.publish([], "note", "take_back", budget={"tool_calls": 50, "minutes": 10})
    assert await budget(system, agent=agent) == Budget(tool_calls=50, minutes=10)
    await cap(system, "acme", "calls", 40)
    assert await budget(system, agent=agent) == Budget(tool_calls=40, minutes=10)
    assert (await budget(system, agent=agent, budget={"tool_calls": 5})).tool_calls == 5
    assert (await budget(system, agent=agent, budget={"tool_calls": 45})).tool_calls == 40
    assert (await budget(system, tenant="globex", agent=agent)).tool_calls == 50
    with pytest.raises(BudgetWidened, match=r"tool_calls 51 > 50"):
        await budget(system, agent=agent, budget={"tool_calls": 51})


async def test_an_operators_cap_on_runs_is_what_agents_get_that_say_nothing_and_what_none_exceeds(
    system: Stanchion,
) -> None:
    await cap(system, "*", "calls", 60)
    await cap(system, "*", "micro-usd", 250_000)
    assert await budget(system) == Budget(tool_calls=60, usd_micros=250_000)
    greedy = await system.publish([], "note", "take_back", budget={"tool_calls": 1_000, "usd": "9.00"})
    assert await budget(system, agent=greedy) == Budget(tool_calls=60, usd_micros=250_000)


async def test_a_tenant_that_allows_a_run_few_minutes_still_gets_its_runs(system: Stanchion) -> None:
    await cap(system, "acme", "minutes", 5)
    assert (await budget(system)).minutes == 5


async def test_a_run_that_was_opened_keeps_its_budget_when_it_is_opened_again(system: Stanchion) -> None:
    agent = await system.publish([], "note", "take_back")
    run_id = f"agent/{agent.definition.name}/1"
    asked = RunRequest(agent=agent.definition.name, goal="do it", tenant="acme")
    request = OpenRequest(run_id=run_id, chain_id=run_id, request=asked)
    first = await system.parts.runs.open(request)
    await cap(system, "acme", "calls", 3)
    await cap(system, "*", "tokens", 7)
    assert (await system.parts.runs.open(request)).budget == first.budget == Budget()


# ── one currency ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_currency_may_have_a_cap_of_its_own_and_the_others_keep_theirs(system: Stanchion) -> None:
    grants = {"order": {"sku": {"max_length": 9}, "amount": {"max": 10**9}, "currency": {"max_length": 3}}}
    agent = await system.publish([], "order", module=shop.MODULE, grants=grants, mode="autonomous")
    for period in ("action", "day"):
        place = {"scope": "agent", "key": "*", "unit": "minor:IDR", "class": "money", "period": period}
        await SQL["set_cap"].row(system.parts.database, tenant="*", cap=10**9, by="lee", **place)
    place = {"scope": "tenant", "key": "*", "unit": "minor:IDR", "class": "money", "period": "day"}
    await SQL["set_cap"].row(system.parts.database, tenant="*", cap=10**9, by="lee", **place)
    crowd, tenant = Crowd([system]), unique("tenant")

    permit = "permit (principal, action, resource);"
    await Policies(system.parts.database).set(tenant, permit, by="lee", money_floor=10**9, tools=shapes(agent.tools))
    run_id = await crowd.open(agent, tenant=tenant, goal="Order for 90000000 IDR or EUR.")
    orders = [{"sku": "a", "amount": 90_000_000, "currency": each} for each in ("IDR", "EUR")]
    await crowd.plan(run_id, "order", orders)
    assert kinds(await crowd.put()) == {"observed": 1, "budget.minor.agent.action": 1}
    assert sum(shop.ORDERED[tenant].values()) == 90_000_000


# ── at the command line ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_counts_for_an_agent_is_listed_with_who_said_it(system: Stanchion, terminal: Terminal) -> None:
    caps = [{"unit": "minor", "per": "day", "most": 400_000, "calls": "money"}]
    agent = await system.publish([], "order", module=shop.MODULE, caps=caps, budget={"tool_calls": 7})
    name = agent.definition.name
    typed = [
        ("usd", "12.50", "--scope", "agent", "--tenant", "acme", "--by", "ana"),
        ("minor", "9000000", "--scope", "agent", "--class", "money", "--tenant", "*", "--by", "lee"),
        ("calls", "30", "--scope", "run", "--per", "run", "--tenant", "*", "--by", "lee"),
        ("minor:JPY", "100", "--scope", "agent", "--class", "money", "--tenant", "acme", "--by", "ana"),
    ]
    assert [left.code for left in [await terminal("caps", "set", *words) for words in typed]] == [0] * 4
    rows = (await terminal("caps", "ls", "--agent", name, "--tenant", "acme", "--json")).data
    found = {(row["scope"], row["unit"], row["class"], row["period"]): row for row in rows}
    usd = found[("agent", "micro-usd", "*", "day")]
    assert (usd["cap"], usd["at_most"], usd["from"]) == (12_500_000, "12.50 USD", "tenant (ana)")
    money = found[("agent", "minor", "money", "day")]
    assert (money["cap"], money["from"]) == (400_000, "agent")
    assert money["instead_of"] == "platform 5000000, operator 9000000"
    yen = found[("agent", "minor:JPY", "money", "day")]
    assert (yen["cap"], yen["from"]) == (100, "tenant (ana)")
    assert found[("run", "calls", "*", "run")]["cap"] == 7
    assert found[("run", "tokens", "*", "run")]["from"] == "platform"
    elsewhere = (await terminal("caps", "ls", "--agent", name, "--json")).data
    assert ("agent", "micro-usd", "*", "day") not in {
        (r["scope"], r["unit"], r["class"], r["period"]) for r in elsewhere
    }
    table = (await terminal("caps", "ls", "--agent", name)).out
    assert "AT MOST" in table and "20,000,000" in table
    assert (await terminal("caps", "ls", "--agent", name[:-2] + "x")).code == 2


def says(left: Left, code: int, *words: str) -> bool:
    return left.code == code and all(word in left.err for word in words)


async def test_what_is_typed_wrongly_is_told_what_to_type(terminal: Terminal) -> None:
    wrong: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
        (("calls", "1e3"), ("no whole number such as 500", "usd 5.00")),
        (("usd", "five"), ("decimal string", "'five'")),
        (("token", "5"), ("did you mean 'tokens'",)),
        (("minor:eur", "5", "--class", "money"), ("ISO 4217", "such as EUR")),
        (("calls", "5", "--per", "weekly"), ("there is no period",)),
        (("calls", "5", "--scope", "tenant", "--key", "acme"), ("--tenant", "leave the key out")),
    ]
    answers = await asyncio.gather(*(terminal("caps", "set", *words) for words, _ in wrong))
    assert [each.err for each, (_, said) in zip(answers, wrong, strict=True) if not says(each, 2, *said)] == []


async def test_a_cap_on_an_agent_nobody_knows_is_set_and_its_setter_told(terminal: Terminal) -> None:
    assert says(await terminal("caps", "set", "calls", "5", "--scope", "agent", "--key", "byer"), 0, "limits nobody")


async def test_a_cap_on_a_tool_nobody_has_is_set_and_its_setter_told(terminal: Terminal) -> None:
    assert says(await terminal("caps", "set", "calls", "5", "--class", "tool:wiat"), 0, "limits nobody", "'wait'")


async def test_an_agent_that_hands_work_to_one_nobody_knows_is_registered_and_its_author_told(
    terminal: Terminal, tmp_path: Path
) -> None:
    file = tmp_path / "agent.yaml"
    model = "scripted:tests.harness.models:looks_for_ever"
    file.write_text(f"name: boss\ninstructions: Hand it on.\nmodel: {model}\ndelegates: [reseacher]\n")
    assert says(await terminal("agents", "add", str(file)), 0, "cannot delegate", "'reseacher'")
