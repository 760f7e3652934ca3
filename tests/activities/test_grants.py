"""Grants to runs: proved, once, by whom and as much as may be; and what others allow holds as before."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from pydantic import ValidationError

from activities.approvals.authority import Authority
from activities.budgets.alarms import Alarms
from activities.budgets.grants import BY_REQUESTER, MOST, Grant, GrantGiven, GrantRefused, Grants
from activities.budgets.typical_cost import AlarmFactors
from activities.ledger.ledger import SQL
from tests.activities.spending import Crowd, assert_held, kinds
from tests.harness.budgets import budget_of, completed
from tests.harness.people import People, Person
from tests.harness.stanchion import Stanchion
from workflows.contracts.alarms import BudgetBreached, WeighRequest
from workflows.contracts.budgets import Budget, Spent, micros_to_usd
from workflows.contracts.runs import CloseRequest, Ending

Systems = Callable[..., Stanchion]


@pytest.fixture
def system(systems: Systems) -> Stanchion:
    return systems()


@pytest_asyncio.fixture
async def run_id(system: Stanchion) -> AsyncIterator[str]:
    """An open run of ana's."""
    agent = await system.publish([], "look", name=None)
    yield await Crowd([system]).open(agent, tenant="acme", requester="ana", budget={"tool_calls": 3, "usd": "0.10"})


async def give(system: Stanchion, run_id: str, by: str = "lee", **more: Any) -> GrantGiven:
    """An unsigned grant, where those count."""
    return await Grants(system.parts.database, system.parts.authority).give(Grant(run_id=run_id, by=by, **more))


async def strict(system: Stanchion, grant: Grant) -> GrantGiven:
    """A grant where only signatures count."""
    return await Grants(system.parts.database, Authority(system.parts.database)).give(grant)


def signed(person: Person, run_id: str, **more: Any) -> Grant:
    return person.signer.order(Grant(run_id=run_id, by=person.name, **more))


async def cap(system: Stanchion, most: int, unit: str, period: str, scope: str = "tenant") -> None:
    place = {"tenant": "acme", "scope": scope, "key": "*", "unit": unit, "class": "*", "period": period}
    await SQL["set_cap"].row(system.parts.database, cap=most, by="lee", **place)


# ── what it adds ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_grant_adds_what_it_says_to_the_one_budget_that_everything_reads(
    system: Stanchion, run_id: str
) -> None:
    before = await budget_of(system, run_id)
    given = await give(system, run_id, usd="0.25", tool_calls=2, minutes=7, steps=1, tokens=9, reason="nearly done")
    added = {"usd_micros": 250_000, "tool_calls": 2, "minutes": 7, "steps": 1, "tokens": 9}
    assert await budget_of(system, run_id) == {name: amount + added.get(name, 0) for name, amount in before.items()}
    assert given.budget.model_dump() == await budget_of(system, run_id) and not given.again
    breach = BudgetBreached(rule="budget.tool_calls", used=3, cap=3, reason="")
    weighed = await system.parts.budgets.weigh(WeighRequest(run_id=run_id, breach=breach))
    assert weighed.budget == given.budget
    [row] = await system.rows("SELECT * FROM budget_grants")
    assert (row["by"], row["reason"], row["proof"], row["usd_micros"]) == ("lee", "nearly done", "unsigned", 250_000)


async def test_the_gateway_lets_as_many_more_calls_through_as_were_added(systems: Systems) -> None:
    crowd = Crowd([systems() for _ in range(2)])
    run_id = await crowd.open(await crowd.first.publish([], "look"), budget={"tool_calls": 3})
    await crowd.plan(run_id, "look", [{"what": f"{n}"} for n in range(20)])
    every, crowd.requests = crowd.requests, crowd.requests[:8]
    assert kinds(await crowd.put()) == {"observed": 3, "budget.tool_calls": 5}
    await give(crowd.first, run_id, tool_calls=4)
    crowd.requests = every[8:]
    assert kinds(await crowd.put()) == {"observed": 4, "budget.tool_calls": 8}
    await assert_held(crowd.first)


async def test_the_same_grant_counts_once_however_often_it_is_sent(system: Stanchion, run_id: str) -> None:
    grant = {"grant_id": "grant-1", "tool_calls": 2}
    given = await asyncio.gather(*(give(system, run_id, **grant) for _ in range(8)))
    assert sorted(each.again for each in given) == [False] + [True] * 7
    assert (await budget_of(system, run_id))["tool_calls"] == 5
    assert await system.value("SELECT count(*) FROM events WHERE kind = 'budget.granted'") == 1
    for other in ({"tool_calls": 3}, {"tool_calls": 2, "by": "kim"}, {"steps": 2}):
        with pytest.raises(GrantRefused, match="another grant already"):
            await give(system, run_id, **{"grant_id": "grant-1", **other})  # type: ignore[arg-type]
    assert (await budget_of(system, run_id))["tool_calls"] == 5


async def test_grants_at_once_add_up(system: Stanchion, run_id: str) -> None:
    await asyncio.gather(*(give(system, run_id, tool_calls=1, by=f"person{n}") for n in range(12)))
    assert (await budget_of(system, run_id))["tool_calls"] == 15


async def test_money_for_a_run_that_costs_more_than_its_kind_raises_that_limit_too(system: Stanchion) -> None:
    agent = await system.publish([], "look")
    await completed(system, agent.definition.name, *["0.02"] * 5)
    run_id = await Crowd([system]).open(agent)
    before = await budget_of(system, run_id)
    assert (before["typical_usd_micros"], before["stop_usd_micros"]) == (20_000, 1_000_000)
    await give(system, run_id, usd="0.30")
    after = await budget_of(system, run_id)
    assert (after["stop_usd_micros"], after["alarm_usd_micros"]) == (1_300_000, before["alarm_usd_micros"])


# ── what is no grant ────────────────────────────────────────────────────────────────────────────────────────────────

NONSENSE: list[dict[str, Any]] = [
    {},
    {"usd": "0"},
    {"tokens": 0, "steps": 0},
    *({"usd": usd} for usd in ("-1", "NaN", "inf", "1e9", "1,5", " 1", "0.0000001", 1.5, True, "99999999999", None)),
    *({"tokens": n} for n in (-1, "5", 1.5, True, float("nan"), float("inf"), None, 10**13)),
    *({"minutes": n} for n in (-1, 10**9)),
    *({name: most + 1} for name, most in MOST.items() if name != "usd_micros"),
    {"usd": "1000.000001"},
    {"tool_calls": 5, "tokens": -1},
]


@pytest.mark.parametrize("wrong", NONSENSE, ids=str)
def test_what_is_not_a_sensible_amount_is_no_grant(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Grant(run_id="r", by="lee", **wrong)


async def test_the_table_takes_no_amount_that_is_not_sensible_either(system: Stanchion, run_id: str) -> None:
    sql = (
        "INSERT INTO budget_grants (grant_id, run_id, by, proof, budget, usd_micros, tokens)"
        " VALUES ('g', $1, 'm', 'unsigned', '{}', $2, $3)"
    )
    for usd, tokens in ((-1, 5), (0, 0), (MOST["usd_micros"] + 1, 0), (0, MOST["tokens"] + 1)):
        with pytest.raises(asyncpg.CheckViolationError):
            await system.rows(sql, run_id, usd, tokens)


async def test_a_grant_is_never_changed_or_removed(system: Stanchion, run_id: str) -> None:
    await give(system, run_id, tool_calls=1)
    for sql in ("UPDATE budget_grants SET by = 'eve'", "DELETE FROM budget_grants"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await system.rows(sql)


async def test_nothing_is_added_to_a_run_that_is_over_or_never_pauses_or_is_not_there(
    system: Stanchion, run_id: str
) -> None:
    agent = await system.publish([], "look", on_budget="stop")
    stops = await Crowd([system]).open(agent)
    ending = Ending(status="stopped", rule="halted")
    await system.parts.runs.close(CloseRequest(run_id=run_id, ending=ending, steps=1, spent=Spent()))
    for name, why in ((run_id, "is over"), (stops, "ends when its budget"), ("agent/a/none", "there is no run")):
        before = await system.rows("SELECT budget::text FROM runs ORDER BY run_id")
        with pytest.raises(GrantRefused, match=why):
            await give(system, name, tool_calls=1)
        assert await system.rows("SELECT budget::text FROM runs ORDER BY run_id") == before
    assert await system.rows("SELECT * FROM budget_grants") == []


# ── who ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_signed_grant_keeps_what_was_signed(system: Stanchion, run_id: str) -> None:
    lee = await People.of(system.parts.database).add("lee")
    given = await strict(system, signed(lee, run_id, tool_calls=1))
    [row] = await system.rows("SELECT * FROM budget_grants")
    assert (given.proof, row["proof"], row["key"]) == ("signature", "signature", lee.signer.key_id)
    assert f'"run_id":"{run_id}"' in row["statement"] and '"tool_calls":1' in row["statement"]


async def test_a_grant_that_is_not_proved_adds_nothing(system: Stanchion, run_id: str) -> None:
    people = People.of(system.parts.database)
    lee, foreign = await people.add("lee"), await people.add("kim", tenant="other")
    other = await Crowd([system]).open(await system.publish([], "look"), tenant="acme")
    genuine = signed(lee, run_id, tool_calls=1)
    forged = {
        "unsigned": Grant(run_id=run_id, by="lee", tool_calls=1),
        "more than was signed": genuine.model_copy(update={"tool_calls": 100}),
        "something else": genuine.model_copy(update={"usd": "5.00"}),
        "another run": genuine.model_copy(update={"run_id": other}),
        "a second time": genuine.model_copy(update={"grant_id": "grant-again"}),
        "another person": genuine.model_copy(update={"by": "ana"}),
        "a stranger": signed(Person("eve"), run_id, tool_calls=1),
        "of another tenant": signed(foreign, run_id, tool_calls=1),
        "before the run": lee.signer.order(genuine).model_copy(update={"at": genuine.at and genuine.at - timedelta(1)}),
    }
    for grant in forged.values():
        with pytest.raises(GrantRefused, match="cannot add"):
            await strict(system, grant)
    assert (await budget_of(system, run_id))["tool_calls"] == 3
    assert await system.rows("SELECT * FROM budget_grants") == []


@pytest.mark.parametrize("name", ["ana", "ANA", " ana"])
async def test_a_requester_adds_only_so_much_to_a_run_of_their_own_in_all(
    system: Stanchion, run_id: str, name: str
) -> None:
    most = BY_REQUESTER["tool_calls"]
    await give(system, run_id, by=name, tool_calls=most - 1)
    with pytest.raises(GrantRefused, match="someone else has to add more"):
        await give(system, run_id, by=name, tool_calls=2)
    await give(system, run_id, by=name, tool_calls=1, usd=micros_to_usd(BY_REQUESTER["usd_micros"]))
    with pytest.raises(GrantRefused, match=r"may add 1\.00 USD"):
        await give(system, run_id, by=name, usd="0.000001")
    assert (await give(system, run_id, by="lee", usd="5.00", tool_calls=100)).budget.tool_calls == 3 + most + 100
    assert BY_REQUESTER == {name: getattr(Budget(), name) for name in MOST}


async def test_a_requester_that_gives_many_at_once_gets_no_more(system: Stanchion, run_id: str) -> None:
    half = BY_REQUESTER["tool_calls"] // 2
    gifts = await asyncio.gather(
        *(give(system, run_id, by="ana", tool_calls=half) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(each, GrantGiven) for each in gifts) == 2
    assert (await budget_of(system, run_id))["tool_calls"] == 3 + 2 * half


# ── what others allow ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("unit", "most", "added", "why"),
    [
        ("micro-usd", 200_000, {"usd": "0.11"}, "0.20 micro-usd a run are allowed"),
        ("tokens", 200_001, {"tokens": 2}, "200001 tokens a run"),
        ("calls", 4, {"tool_calls": 2}, "4 calls a run"),
        ("minutes", 31, {"minutes": 2}, "31 minutes a run"),
    ],
)
async def test_nothing_is_added_beyond_what_the_tenant_allows_a_run(
    system: Stanchion, run_id: str, unit: str, most: int, added: dict[str, Any], why: str
) -> None:
    await cap(system, most, unit, "run", "run")
    before = await budget_of(system, run_id)
    with pytest.raises(GrantRefused, match=why):
        await give(system, run_id, **added)
    assert await budget_of(system, run_id) == before
    less = {name: "0.10" if name == "usd" else 1 for name in added}
    await give(system, run_id, **less)


async def test_minutes_are_taken_from_what_the_tenant_has_left_and_given_back(system: Stanchion) -> None:
    await cap(system, 50, "minutes", "day")
    run_id = await Crowd([system]).open(await system.publish([], "look"), tenant="acme")
    with pytest.raises(GrantRefused, match="20 of 50 minutes a day are left to this tenant"):
        await give(system, run_id, minutes=21)
    assert (await budget_of(system, run_id))["minutes"] == 30
    assert await system.rows("SELECT * FROM budget_grants") == []
    await give(system, run_id, minutes=20)
    window = "SELECT settled, reserved, overrun FROM windows WHERE unit = 'minutes' AND scope = $1"
    assert tuple((await system.rows(window, "tenant"))[0]) == (0, 50, 0)
    ending, spent = Ending(status="stopped", rule="halted"), Spent(seconds=40 * 60)
    await system.parts.runs.close(CloseRequest(run_id=run_id, ending=ending, steps=1, spent=spent))
    assert [tuple(row) for row in await system.rows(window, "tenant")] == [(40, 0, 0)]
    assert [tuple(row) for row in await system.rows(window, "run")] == [(40, 0, 0)]
    await assert_held(system)


# ── what is told, and what such runs cost ───────────────────────────────────────────────────────────────────────────


async def test_a_breach_is_told_once_and_is_over_once_something_was_added(system: Stanchion, run_id: str) -> None:
    breach = BudgetBreached(rule="budget.tool_calls", used=3, cap=3, reason="3 of 3", told="do this")
    alarms, request = Alarms(system.parts.database), WeighRequest(run_id=run_id, breach=breach)
    assert await alarms.breach(run_id) is None
    await asyncio.gather(*(system.parts.budgets.weigh(request) for _ in range(5)))
    assert await system.value("SELECT count(*) FROM events WHERE kind = 'budget.breached'") == 1
    found = await alarms.breach(run_id)
    assert found and (found.rule, found.told, found.added) == ("budget.tool_calls", "do this", False)
    await give(system, run_id, tool_calls=1)
    found = await alarms.breach(run_id)
    assert found and found.added
    await system.parts.budgets.weigh(request)  # late: it is none any more
    assert await system.value("SELECT count(*) FROM alarms") == 1


@pytest.mark.parametrize(
    ("costs", "typical"),
    [
        ([], 0),
        (["0.10"] * 4, 0),
        (["0.10", "0.30", "0.20", "9.00", "0.25"], 250_000),
        (["0.00"] * 9, 10_000),
        (["5.00"] * 11 + ["0.10"] * 20, 100_000),
    ],
)
async def test_what_a_run_of_an_agent_costs_is_the_median_of_its_last_completed_ones(
    system: Stanchion, costs: list[str], typical: int
) -> None:
    agent, other = await system.publish([], "look"), await system.publish([], "look")
    await completed(system, agent.definition.name, *costs)
    await completed(system, other.definition.name, *["7.00"] * 9)
    run_id = await Crowd([system]).open(agent)
    budget = await budget_of(system, run_id)
    assert (budget["typical_usd_micros"], budget["alarm_usd_micros"], budget["stop_usd_micros"]) == (
        typical,
        typical * 10,
        typical * 50,
    )


async def test_the_multiples_are_the_platforms_unless_the_agent_names_its_own(systems: Systems) -> None:
    system = systems(alarms=AlarmFactors(3, 4))
    for rules, wanted in (({}, (30_000, 40_000)), ({"warn": 2}, (20_000, 40_000)), ({"warn": 6}, (60_000, 60_000))):
        agent = await system.publish([], "look", alarms=rules)
        await completed(system, agent.definition.name, *["0.01"] * 5)
        budget = await budget_of(system, await Crowd([system]).open(agent))
        assert (budget["alarm_usd_micros"], budget["stop_usd_micros"]) == wanted
