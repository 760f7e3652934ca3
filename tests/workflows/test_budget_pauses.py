"""A run whose own budget is used up: it pauses before the next call, its context kept, until somebody adds to it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.anthropic_api import FakeAnthropic, Streamed, text, tool_use
from tests.harness.budgets import budget_of, completed, give, paused
from tests.harness.checks import assert_no_task_failed, assert_sound, facts
from tests.harness.stanchion import Stanchion, eventually
from tests.harness.toolbox import WITNESS
from workflows.contracts.runs import RolloverCaps

Systems = Callable[..., Stanchion]
DONE = {"text": "done"}
USAGE = {"usage": {"input_tokens": 90, "output_tokens": 10}}
ENOUGH = {"usd": "1.00", "tokens": 10_000, "tool_calls": 10, "minutes": 5, "steps": 10}


def note(n: int) -> dict[str, Any]:
    """A turn with one effect."""
    return {"tools": [{"name": "note", "input": {"text": f"{n}"}}]} | USAGE


async def writer(system: Stanchion, notes: int = 4, **definition: Any) -> Any:
    """An agent that writes so many notes."""
    return await system.publish([*map(note, range(notes)), DONE | USAGE], "note", "take_back", **definition)


def written(run_id: str) -> int:
    """How many notes were really written."""
    return sum(count for key, count in WITNESS.items() if key.startswith(f"{run_id}/"))


async def test_a_run_pauses_before_the_call_that_it_has_no_budget_for_and_goes_on_with_what_was_added(
    stanchion: Stanchion,
) -> None:
    handle = await stanchion.start(await writer(stanchion), budget={"tool_calls": 2})
    found = await paused(handle, "budget.tool_calls")
    assert found["waiting_for"] == (
        f"resume: budget.tool_calls: 2 of 2 tool calls used; `stanchion resume {handle.id} --add-tool-calls 2` lets it"
        f" go on, `stanchion halt {handle.id}` ends it"
    )
    assert written(handle.id) == 2 and "3.0" not in await stanchion.results(handle.id)
    given = await give(stanchion, handle.id, tool_calls=2)
    assert given.budget.tool_calls == 4 == (await budget_of(stanchion, handle.id))["tool_calls"]
    await handle.signal("resume", {"by": "lee", "grant": given.grant.grant_id})
    outcome = await stanchion.outcome(handle)
    assert (outcome["status"], outcome["spent"]["tool_calls"], written(handle.id)) == ("completed", 4, 4)
    [breach] = await facts(stanchion, handle.id, "budget.breached")
    assert (breach["rule"], breach["used"], breach["cap"]) == ("budget.tool_calls", 2, 2)
    [grant] = await facts(stanchion, handle.id, "budget.granted")
    assert (grant["by"], grant["added"]) == ("lee", {"tool_calls": 2})
    assert [order["grant"] for order in await facts(stanchion, handle.id, "resume.ordered")] == [given.grant.grant_id]
    await assert_sound(stanchion, handle.id)
    await assert_no_task_failed(handle)


@pytest.mark.parametrize(("cap", "limit", "steps"), [("steps", 2, 2), ("tokens", 250, 3), ("minutes", 0, 0)])
async def test_every_budget_pauses_the_run_and_more_of_it_lets_it_go_on(
    stanchion: Stanchion, cap: str, limit: int, steps: int
) -> None:
    handle = await stanchion.start(await writer(stanchion), budget={cap: limit})
    assert (await paused(handle, f"budget.{cap}"))["step"] == steps
    await give(stanchion, handle.id, **{cap: ENOUGH[cap]})
    await handle.signal("resume", {"by": "lee"})
    assert (await stanchion.outcome(handle))["status"] == "completed"
    await assert_sound(stanchion, handle.id)


async def test_a_bare_resume_adds_nothing_whatever_amounts_it_claims(stanchion: Stanchion) -> None:
    handle = await stanchion.start(await writer(stanchion), budget={"tool_calls": 1})
    why = (await paused(handle, "budget.tool_calls"))["waiting_for"]
    for order in (
        {"by": "mallory"},
        {"by": "mallory", "grant": "grant-of-nobody", "tool_calls": 100, "added": {"tool_calls": 100}},
        {"by": "mallory", "budget": {"tool_calls": 100}, "usd": "100.00"},
    ):
        seen = len(await facts(stanchion, handle.id, "resume.ordered"))
        assert seen == 0
        await handle.signal("resume", order)
        assert (await paused(handle))["waiting_for"] == why
    assert written(handle.id) == 1 and (await budget_of(stanchion, handle.id))["tool_calls"] == 1
    assert len(await facts(stanchion, handle.id, "budget.breached")) == 1  # people are told once
    await give(stanchion, handle.id, tool_calls=9)
    await handle.signal("resume", {"by": "lee"})
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert len(await facts(stanchion, handle.id, "resume.ordered")) == 4
    await assert_sound(stanchion, handle.id)


@pytest.mark.parametrize("who", ["agent", "request"])
async def test_a_run_that_may_not_pause_stops(stanchion: Stanchion, who: str) -> None:
    agent = await writer(stanchion, **({"on_budget": "stop"} if who == "agent" else {}))
    more = {"on_budget": "stop" if who == "request" else "pause"}
    outcome = await stanchion.run(agent, budget={"tool_calls": 1}, **more)
    assert outcome["status"] == "stopped" and outcome["reason"].startswith("budget.tool_calls: 1 of 1 tool calls used")
    assert await stanchion.value("SELECT count(*) FROM alarms WHERE kind = 'budget.breached'") == 0


async def test_what_was_added_before_the_budget_was_used_up_counts_without_a_pause(stanchion: Stanchion) -> None:
    agent = await stanchion.publish(
        [note(0), {"tools": [{"name": "wait", "input": {"minutes": 60}}]}, note(1), DONE], "note", "take_back"
    )
    handle = await stanchion.start(agent, budget={"tool_calls": 2})

    async def asleep() -> bool:
        return bool((await handle.query("status"))["status"] == "sleeping")

    await eventually(asleep, "it sleeps")
    await give(stanchion, handle.id, tool_calls=5)
    await handle.signal("message", {"text": "wake up", "by": "lee"})
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert await facts(stanchion, handle.id, "budget.breached") == []


async def test_a_paused_run_can_be_halted_instead(stanchion: Stanchion) -> None:
    handle = await stanchion.start(await writer(stanchion), budget={"tool_calls": 1})
    await paused(handle, "budget.tool_calls")
    await handle.signal("halt", {"by": "lee", "reason": "enough"})
    outcome = await stanchion.outcome(handle)
    assert (outcome["status"], written(handle.id)) == ("stopped", 1)
    await assert_sound(stanchion, handle.id)


async def test_a_budget_holds_and_grows_over_roll_overs(systems: Systems) -> None:
    stanchion = await systems(rollover=RolloverCaps(events=1)).up()
    handle = await stanchion.start(await writer(stanchion, notes=12), budget={"tool_calls": 6})
    await paused(handle, "budget.tool_calls")
    await give(stanchion, handle.id, tool_calls=14)
    await handle.signal("resume", {"by": "lee"})
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert written(handle.id) == 12 and (await handle.query("status"))["rollovers"] >= 2
    await assert_no_task_failed(handle)


# ── money ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_model_call_that_money_is_short_for_is_not_made_and_nothing_said_meanwhile_is_lost(
    systems: Systems,
) -> None:
    async with FakeAnthropic() as api:
        usage: Any = ({"input_tokens": 1_000, "output_tokens": 1}, {"output_tokens": 200})
        for number in range(9):
            api.will(Streamed((tool_use("note", json.dumps({"text": f"{number}"})),), "tool_use", *usage))
        api.will(Streamed((text("done"),), "end_turn", *usage))
        stanchion = await systems(anthropic_api_key="k", anthropic_base_url=api.base_url).up()
        agent = await stanchion.publish("anthropic:claude-haiku-4-5", "note", "take_back", budget={"usd": "0.01"})
        handle = await stanchion.start(agent)
        found = await paused(handle, "budget.usd: ")
        assert found["step"] == len(api.messages) >= 2
        assert f"`stanchion resume {handle.id} --add-usd 0.01`" in found["waiting_for"]
        for word in ("first", "second"):  # the note of 70 % stands where the first would, from the attempt before
            await handle.signal("message", {"text": f"the {word} word", "by": "lee"})
        await give(stanchion, handle.id, usd="1.00")
        await handle.signal("resume", {"by": "lee"})
        outcome = await stanchion.outcome(handle)
        assert found["step"] + len(api.messages[found["step"] :]) == outcome["steps"] == len(api.messages)
    assert outcome["status"] == "completed"
    rows = [(kind, content) for _, kind, _, content in await stanchion.transcript(handle.id)]
    said = [content for kind, content in rows if kind == "message"]
    assert ["the first word" in each for each in said] == [True, False] and "the second word" in said[1]
    assert sum(kind == "note" for kind, _ in rows) == 1
    await assert_sound(stanchion, handle.id)
    assert await stanchion.rows("SELECT * FROM cap_breaches") == []


async def usual(systems: Systems, api: FakeAnthropic, answers: int, **definition: Any) -> tuple[Stanchion, Any]:
    """A system, and an agent whose model makes so many answers at 0.012 USD; its runs used to cost a cent."""
    usage: Any = ({"input_tokens": 1_000, "output_tokens": 1}, {"output_tokens": 2_200})
    for number in range(answers):
        api.will(Streamed((tool_use("note", json.dumps({"text": f"{number}"})),), "tool_use", *usage))
    api.will(Streamed((text("done"),), "end_turn", *usage))
    stanchion = await systems(anthropic_api_key="k", anthropic_base_url=api.base_url).up()
    agent = await stanchion.publish("anthropic:claude-haiku-4-5", "note", "take_back", **definition)
    await completed(stanchion, agent.definition.name, *["0.01"] * 5)
    return stanchion, agent


async def test_a_run_that_costs_many_times_what_its_kind_costs_is_told_of_and_then_paused(systems: Systems) -> None:
    async with FakeAnthropic() as api:
        stanchion, agent = await usual(systems, api, 9, alarms={"warn": 2, "stop": 10}, budget={"usd": "1.00"})
        handle = await stanchion.start(agent)
        found = await paused(handle, "budget.typical: ")
        assert f"`stanchion resume {handle.id} --add-usd 0.10`" in found["waiting_for"]
        assert float(found["spent"]["usd"]) <= 0.10 and found["step"] == len(api.messages)
        [alarm] = await facts(stanchion, handle.id, "cost.alarm")
        assert (alarm["used"], alarm["typical"], alarm["cap"]) == (24_000, 10_000, 20_000)
        kinds = await stanchion.rows("SELECT kind FROM alarms WHERE run_id = $1 ORDER BY kind", handle.id)
        assert [row["kind"] for row in kinds] == ["budget.breached", "cost.alarm"]
        await give(stanchion, handle.id, usd="0.50")
        await handle.signal("resume", {"by": "lee"})
        assert (await stanchion.outcome(handle))["status"] == "completed"
    assert len(await facts(stanchion, handle.id, "cost.alarm")) == 1
    assert written(handle.id) == 9
    await assert_sound(stanchion, handle.id)


async def test_a_run_that_may_not_pause_stops_when_it_costs_many_times_what_its_kind_costs(systems: Systems) -> None:
    async with FakeAnthropic() as api:
        stanchion, agent = await usual(systems, api, 9, alarms={"warn": 2, "stop": 5}, on_budget="stop")
        outcome = await stanchion.run(agent)
    assert outcome["status"] == "stopped" and outcome["reason"].startswith("budget.typical: ")
    assert float(outcome["spent"]["usd"]) <= 0.05


# ── what is told ────────────────────────────────────────────────────────────────────────────────────────────────────


async def notes(stanchion: Stanchion, run_id: str) -> dict[int, str]:
    """The run's own notes in the transcript, by seq."""
    rows = await stanchion.transcript(run_id)
    return {seq: json.loads(content)[0]["text"] for seq, kind, _, content in rows if kind == "note"}


async def test_70_and_90_percent_are_told_to_the_model_and_to_people_once_each(stanchion: Stanchion) -> None:
    handle = await stanchion.start(await writer(stanchion, notes=10), budget={"tool_calls": 10})
    assert (await stanchion.outcome(handle))["status"] == "completed"
    told = await notes(stanchion, handle.id)
    assert [text.split(" are used")[0] for text in told.values()] == [
        "[note from the run itself] 70 % of this run's 10 tool calls",
        "[note from the run itself] 90 % of this run's 10 tool calls",
    ]
    marks = await facts(stanchion, handle.id, "budget.marked")
    assert [(m["budget"], m["percent"], m["used"], m["cap"]) for m in marks] == [
        ("tool_calls", 70, 7, 10),
        ("tool_calls", 90, 9, 10),
    ]
    rows = await stanchion.rows("SELECT alarm_id FROM alarms ORDER BY alarm_id")
    assert [row["alarm_id"] for row in rows] == [f"{handle.id}/tool_calls:{n}:10" for n in (70, 90)]
    await assert_sound(stanchion, handle.id)


async def test_what_was_told_of_a_budget_is_told_anew_once_it_was_raised(stanchion: Stanchion) -> None:
    handle = await stanchion.start(await writer(stanchion, notes=10), budget={"tool_calls": 5})
    await paused(handle, "budget.tool_calls")
    await give(stanchion, handle.id, tool_calls=5)
    await handle.signal("resume", {"by": "lee"})
    assert (await stanchion.outcome(handle))["status"] == "completed"
    marks = await facts(stanchion, handle.id, "budget.marked")
    assert [(m["percent"], m["used"], m["cap"]) for m in marks] == [(70, 4, 5), (90, 5, 5), (70, 7, 10), (90, 9, 10)]
    await assert_sound(stanchion, handle.id)
