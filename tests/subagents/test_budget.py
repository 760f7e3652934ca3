"""What a sub-agent may use is carved out of the budget of the run above it."""

import asyncio
import json

import pytest

from activities.gateway.delegation import delegations
from tests.harness.door import Door
from tests.harness.outcomes import done, failed
from tests.subagents.handing import closed, delegated, fetched, held, spawned, started, why
from workflows.contracts.calls import Observed, Spawn


async def test_a_part_of_the_budget_is_set_aside_and_what_is_left_of_it_comes_back(
    door: Door, boss: str, helper: str
) -> None:
    call, spawn = await started(door, boss, helper, usd="0.20", tokens=4_000, tool_calls=5, minutes=3)
    before = await held(door, call.run_id)
    tokens = before["tokens *"]
    assert before["micro-usd *"][1] == 200_000
    assert tokens[1] == 4_000 and before["calls *"] == (0, 5) and before["minutes tool:delegate"] == (0, 3)
    budget = json.loads(await door.value("SELECT budget FROM runs WHERE run_id = $1", spawn.run_id))
    assert [budget[name] for name in ("usd_micros", "tokens", "tool_calls", "minutes")] == [200_000, 4_000, 5, 3]
    [look] = await door.plan(spawn.run_id, ("look", {}))
    assert done(await door.call(look))
    await closed(door, spawn.run_id, seconds=70.0)
    answer = await fetched(door, call)
    assert isinstance(answer, Observed)
    spent = (await held(door, spawn.run_id))["tokens *"][0]
    assert (answer.spent.tool_calls, answer.spent.tokens) == (1, spent)
    assert answer.spent.seconds == pytest.approx(70, abs=1)
    after = await held(door, call.run_id)
    assert after["micro-usd *"] == (0, 0) and after["calls *"] == (1, 0) and after["minutes tool:delegate"] == (2, 0)
    assert after["tokens *"] == (tokens[0] + spent, 0)


async def test_no_more_can_be_carved_than_is_left_however_many_ask_at_once(door: Door, boss: str, helper: str) -> None:
    run_id = await door.open(boss)
    calls = await door.plan(
        run_id, *(("delegate", {"agent": helper, "task": f"Part {n}.", "tool_calls": 6}) for n in range(5))
    )
    answers = await asyncio.gather(*(door.call(call) for call in calls))
    assert sorted(type(answer).__name__ for answer in answers) == ["Refused", "Refused", "Spawn", "Spawn", "Spawn"]
    assert (await held(door, run_id))["calls *"] == (0, 18)
    assert await door.value("SELECT count(*) FROM cap_breaches") == 0


async def test_a_sub_agent_stops_at_what_was_carved_though_its_own_budget_is_wider(
    door: Door, boss: str, helper: str
) -> None:
    _, spawn = await started(door, boss, helper, tool_calls=2)
    calls = await door.plan(spawn.run_id, *(("look", {"what": f"{n}"}) for n in range(3)))
    assert [type(await door.call(call)).__name__ for call in calls] == ["Observed", "Observed", "Refused"]


async def test_with_the_carving_broken_a_run_could_hand_out_its_whole_budget_again_and_again(
    door: Door, boss: str, helper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delegations.BudgetShare, "windows_for_budget", lambda *_: [])
    run_id = await door.open(boss)
    calls = await door.plan(
        run_id, *(("delegate", {"agent": helper, "task": f"Part {n}.", "tool_calls": 20}) for n in range(3))
    )
    assert {type(await door.call(call)) for call in calls} == {Spawn}


@pytest.mark.parametrize(("status", "rule"), [("stopped", "terminated"), ("failed", "failed.timeout")])
async def test_one_that_did_not_finish_is_an_error_that_says_why_and_what_it_spent(
    door: Door, boss: str, helper: str, status: str, rule: str
) -> None:
    call, spawn = await started(door, boss, helper)
    [look] = await door.plan(spawn.run_id, ("look", {}))
    await door.call(look)
    await closed(door, spawn.run_id, status, rule)
    assert failed(await fetched(door, call))
    text = await why(door, call)
    assert f"{helper} did not finish its task: {status} ({rule})" in text and "1 calls" in text
    assert await door.value("SELECT state FROM holds WHERE hold_id = $1", f"{call.run_id}/{call.call_id}") == "settled"


async def test_one_that_was_never_admitted_costs_nothing(door: Door, boss: str, helper: str) -> None:
    call = await delegated(door, boss, helper)
    await spawned(door, call)
    assert failed(await fetched(door, call))
    assert "never admitted" in await why(door, call)
    assert (await held(door, call.run_id))["calls *"] == (0, 0)


async def test_one_that_cannot_be_followed_is_no_success_and_counts_in_full(door: Door, boss: str, helper: str) -> None:
    call, _ = await started(door, boss, helper, tool_calls=5)
    assert failed(await fetched(door, call))  # told that it is over, while our tables say it is not
    assert (await held(door, call.run_id))["calls *"] == (5, 0)


async def test_a_run_that_ends_first_settles_with_what_its_sub_agent_had_spent(
    door: Door, boss: str, helper: str
) -> None:
    call, spawn = await started(door, boss, helper, tool_calls=5)
    [look] = await door.plan(spawn.run_id, ("look", {}))
    await door.call(look)
    await closed(door, call.run_id, "stopped", "terminated")
    assert (await held(door, call.run_id))["calls *"] == (0, 5)  # nobody knows yet
    await closed(door, spawn.run_id, "cancelled", "cancelled")
    await door.parts.runs._ledger.reconcile()
    assert (await held(door, call.run_id))["calls *"] == (1, 0)
