"""Budgets of model calls and runs: reserved before the model is asked, settled with its answer, given back after."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from activities.agents.versions import AgentVersion
from activities.errors import StanchionError
from activities.ledger.ledger import SQL
from activities.model.errors import ModelAnswerGarbled, ModelOverloaded, ModelUnavailable, ModelUnreachable
from activities.model.outage_times import OutageTimes
from tests.activities.spending import assert_held
from tests.fakes.anthropic_api import FakeAnthropic, Raw, Refused, Streamed, text
from tests.harness.stanchion import Stanchion, eventually, unique
from workflows.contracts.budgets import Spent
from workflows.contracts.model import PlanRequest
from workflows.contracts.runs import CloseRequest, Ending, OpenRequest, RunRequest
from workflows.endings import BUDGET_REACHED

Systems = Callable[..., Stanchion]
MODEL = "anthropic:claude-haiku-4-5"
USED = 1_000 + 200 * 5  # micro-USD of one answer below, by the price list
ANSWER = Streamed((text("done"),), "end_turn", {"input_tokens": 1_000, "output_tokens": 1}, {"output_tokens": 200})
CUT = Raw(b"event: message_start\ndata: {")  # an answer of which nothing arrived that could be read


@pytest.fixture
def system(systems: Systems, api: FakeAnthropic) -> Stanchion:
    """A system whose models answer from a local server."""
    patient = OutageTimes(threshold=1_000, quick=1e6)  # these tests count failures themselves
    return systems(anthropic_api_key="k", anthropic_base_url=api.base_url, outages=patient)


async def cap(system: Stanchion, most: int, unit: str, period: str, scope: str = "tenant") -> None:
    """A cap of the tenant `default`."""
    place = {"tenant": "default", "scope": scope, "key": "*", "unit": unit, "class": "*", "period": period}
    await SQL["set_cap"].row(system.parts.database, cap=most, by="lee", **place)


async def opened(system: Stanchion, agent: AgentVersion, **request: Any) -> str:
    """A run that is open, without a workflow."""
    run_id = f"agent/{agent.definition.name}/{unique('run')}"
    asked = RunRequest.model_validate({"agent": agent.definition.name, "goal": "do it", **request})
    await system.parts.runs.open(OpenRequest(run_id=run_id, chain_id=run_id, request=asked))
    return run_id


async def close(system: Stanchion, run_id: str, seconds: float = 1.0) -> None:
    """The end of such a run."""
    ending = Ending(status="stopped", rule="halted")
    await system.parts.runs.close(CloseRequest(run_id=run_id, ending=ending, steps=1, spent=Spent(seconds=seconds)))


async def window(system: Stanchion, unit: str, scope: str = "run") -> tuple[int, int]:
    """(settled, reserved) of the one window of a unit and scope."""
    rows = await system.rows("SELECT settled, reserved FROM windows WHERE unit = $1 AND scope = $2", unit, scope)
    return tuple(rows[0]) if rows else (0, 0)  # type: ignore[return-value]


# ── one model call ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_ceiling_is_reserved_while_the_model_is_asked_and_the_answer_costs_what_it_cost(
    system: Stanchion, api: FakeAnthropic
) -> None:
    run_id = await opened(system, await system.publish(MODEL))
    api.will(ANSWER)
    await system.parts.models.plan(PlanRequest(run_id=run_id, step=1, next_seq=1))
    assert await window(system, "micro-usd") == (USED, 0)
    assert await window(system, "tokens") == (1_200, 0)
    [held] = await system.rows("SELECT * FROM holds WHERE hold_id = $1", f"{run_id}/step:1")
    ceiling = dict(zip(held["units"], held["reserved"], strict=True))
    assert ceiling["micro-usd"] >= 8_192 * 5 > USED and held["state"] == "settled"
    await system.parts.models.plan(PlanRequest(run_id=run_id, step=1, next_seq=1))  # found, and not paid again
    assert await window(system, "micro-usd") == (USED, 0) and len(api.messages) == 1


async def test_a_budget_without_room_for_an_answer_asks_no_model_and_stops_the_run(
    system: Stanchion, api: FakeAnthropic
) -> None:
    api.tokens = 1_000_000  # as the vendor counts them: no better than the bound by bytes
    await system.up()
    await cap(system, 2_000, "micro-usd", "day")
    outcome = await system.run(await system.publish(MODEL))
    assert outcome["status"] == "stopped" and outcome["reason"].startswith(
        "budget.micro-usd.tenant.day: 0.002 of 0.002 USD"
    )
    assert api.messages == [] and await window(system, "micro-usd", "tenant") == (0, 0)


async def test_an_answer_is_made_shorter_to_fit_what_is_left(system: Stanchion, api: FakeAnthropic) -> None:
    await cap(system, 10_000, "micro-usd", "day")
    run_id = await opened(system, await system.publish(MODEL))
    api.will(ANSWER)
    await system.parts.models.plan(PlanRequest(run_id=run_id, step=1, next_seq=1))
    [asked] = api.messages
    assert 256 <= asked.body["max_tokens"] < 2_000
    [held] = await system.rows("SELECT * FROM holds WHERE hold_id = $1", f"{run_id}/step:1")
    ceiling = dict(zip(held["units"], held["reserved"], strict=True))
    assert 10_000 - 5 <= ceiling["micro-usd"] <= 10_000


async def plan(system: Stanchion, run_id: str, error: type[StanchionError] | None = None) -> None:
    """One attempt at the first step."""
    if error is None:
        await system.parts.models.plan(PlanRequest(run_id=run_id, step=1, next_seq=1))
        return
    with pytest.raises(error):
        await system.parts.models.plan(PlanRequest(run_id=run_id, step=1, next_seq=1))


async def test_each_attempt_whose_answer_got_lost_costs_its_ceiling(system: Stanchion, api: FakeAnthropic) -> None:
    await cap(system, 60_000, "micro-usd", "day")
    run_id = await opened(system, await system.publish(MODEL, max_output_tokens=1_000))
    api.will(CUT, CUT, ANSWER)
    await plan(system, run_id, ModelAnswerGarbled)
    _, ceiling = await window(system, "micro-usd", "tenant")
    await plan(system, run_id, ModelAnswerGarbled)
    assert ceiling > 0 and await window(system, "micro-usd", "tenant") == (ceiling, ceiling)
    await plan(system, run_id)
    assert await window(system, "micro-usd", "tenant") == (2 * ceiling + USED, 0)
    await assert_held(system)


async def test_no_attempt_asks_for_what_lost_answers_have_used_up(system: Stanchion, api: FakeAnthropic) -> None:
    await cap(system, 10_000, "micro-usd", "day")
    run_id = await opened(system, await system.publish(MODEL))
    api.will(CUT)
    await plan(system, run_id, ModelAnswerGarbled)
    for _ in range(4):
        with pytest.raises(ApplicationError) as short:
            await plan(system, run_id)
        assert short.value.type == BUDGET_REACHED
    assert len(api.messages) == 1
    used, reserved = await window(system, "micro-usd", "tenant")
    assert 9_000 <= used <= 10_000 and reserved == 0
    await assert_held(system)


async def test_an_answer_that_was_lost_for_good_costs_its_ceiling(system: Stanchion, api: FakeAnthropic) -> None:
    run_id = await opened(system, await system.publish(MODEL))
    api.will(CUT)
    await plan(system, run_id, ModelAnswerGarbled)
    _, ceiling = await window(system, "micro-usd")
    await close(system, run_id)
    assert ceiling > 0 and await window(system, "micro-usd") == (ceiling, 0)


async def test_what_a_vendor_refused_does_not_count_among_the_answers_that_could_not_be_read(
    system: Stanchion, api: FakeAnthropic
) -> None:
    run_id = await opened(system, await system.publish(MODEL, max_output_tokens=1_000))
    api.will(*[Refused(529)] * 6, *[CUT] * 5)
    for error in [*[ModelOverloaded] * 6, *[ModelAnswerGarbled] * 4]:
        await plan(system, run_id, error)
    with pytest.raises(ApplicationError) as last:
        await plan(system, run_id)
    assert last.value.non_retryable and last.value.type == "ModelAnswerGarbled"


@pytest.mark.parametrize(
    ("answer", "usd_micros"),
    [
        (replace(ANSWER, model=MODEL.partition(":")[2] + "-20261101"), USED),
        (replace(ANSWER, model="claude-opus-5-5"), 1_000 * 4 + 200 * 20),
        (replace(ANSWER, model="claude-nobody-knows"), None),
        (replace(ANSWER, usage={}), None),
        (replace(ANSWER, final_usage={}), None),
    ],
)
async def test_an_answer_costs_what_the_model_costs_that_gave_it_or_what_was_reserved(
    system: Stanchion, api: FakeAnthropic, answer: Streamed, usd_micros: int | None
) -> None:
    run_id = await opened(system, await system.publish(MODEL, max_output_tokens=1_000))
    api.will(answer)
    found = await system.parts.models.plan(PlanRequest(run_id=run_id, step=1, next_seq=1))
    used, reserved = await window(system, "micro-usd")
    assert (used, reserved) == (found.usd_micros, 0)
    assert bool(found.estimated) == (usd_micros is None)
    assert used == usd_micros if usd_micros is not None else used > USED
    await assert_held(system)


@pytest.mark.parametrize(
    ("refused", "error", "kept"),
    [(529, ModelOverloaded, False), (500, ModelUnavailable, False), (504, ModelUnreachable, True)],
)
async def test_only_a_refusal_of_the_vendor_frees_the_ceiling(
    system: Stanchion, api: FakeAnthropic, refused: int, error: type[StanchionError], kept: bool
) -> None:
    run_id = await opened(system, await system.publish(MODEL))
    api.will(Refused(refused))
    await plan(system, run_id, error)
    settled, reserved = await window(system, "micro-usd")
    assert settled == 0 and (reserved > 0) == kept
    api.will(ANSWER)
    await plan(system, run_id)
    assert await window(system, "micro-usd") == (USED + reserved, 0)


async def test_a_refusal_of_the_next_attempt_frees_nothing_of_an_answer_that_may_have_been_billed(
    system: Stanchion, api: FakeAnthropic
) -> None:
    run_id = await opened(system, await system.publish(MODEL))
    api.will(CUT, Refused(529))
    await plan(system, run_id, ModelAnswerGarbled)
    _, ceiling = await window(system, "micro-usd")
    await plan(system, run_id, ModelOverloaded)
    assert ceiling > 0 and await window(system, "micro-usd") == (ceiling, 0)
    await close(system, run_id)
    assert await window(system, "micro-usd") == (ceiling, 0)


async def test_runs_at_once_never_ask_for_more_than_their_tenant_may_spend(
    system: Stanchion, api: FakeAnthropic
) -> None:
    await cap(system, 60_000, "micro-usd", "month")
    agent = await system.publish(MODEL, max_output_tokens=1_000)
    runs = [await opened(system, agent) for _ in range(24)]
    api.will(*([ANSWER] * 24))
    ends = await asyncio.gather(
        *(system.parts.models.plan(PlanRequest(run_id=run_id, step=1, next_seq=1)) for run_id in runs),
        return_exceptions=True,
    )
    asked = sum(not isinstance(end, BaseException) for end in ends)
    assert asked == len(api.messages) >= 5
    assert await window(system, "micro-usd", "tenant") == (USED * asked, 0)
    await assert_held(system)


# ── slots and minutes ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_run_beyond_the_running_slots_is_refused_and_one_that_ended_leaves_its_own(systems: Systems) -> None:
    system = await systems().up()
    await cap(system, 2, "slots", "total")
    agent = await system.publish([{"tools": [{"name": "wait", "input": {"minutes": 60}}]}], "look")
    runs = [await system.start(agent) for _ in range(2)]

    async def both() -> bool:
        return bool(await system.value("SELECT count(*) = 2 FROM runs"))

    await eventually(both, "both are open")
    with pytest.raises(WorkflowFailureError) as refused:
        await system.outcome(await system.start(agent))
    assert "0 of 2 running slots at a time are left to this tenant" in str(refused.value.cause)
    await runs[0].signal("halt")
    await system.outcome(runs[0])
    third = await system.start(agent)

    async def admitted() -> bool:
        return bool(await system.value("SELECT status FROM runs WHERE run_id = $1", third.id) == "open")

    await eventually(admitted, "there is room again")
    await runs[1].terminate()
    queue = system.settings.task_queue
    await system.client.execute_workflow("ReaperWorkflow", id=unique("reaper"), task_queue=queue)
    assert await window(system, "slots", "tenant") == (0, 1)
    await third.signal("halt")
    await system.outcome(third)
    assert await window(system, "slots", "tenant") == (0, 0)


async def test_opening_a_run_again_takes_no_second_slot(systems: Systems) -> None:
    system = systems()
    await cap(system, 1, "slots", "total")
    agent = await system.publish([{"text": "done"}])
    request = OpenRequest(
        run_id="agent/a/1", chain_id="c", request=RunRequest(agent=agent.definition.name, goal="do it")
    )
    await asyncio.gather(*(system.parts.runs.open(request) for _ in range(6)))
    assert await window(system, "slots", "tenant") == (0, 1)


async def test_active_minutes_are_reserved_from_the_day_and_settled_when_the_run_ends(systems: Systems) -> None:
    system = systems()
    await cap(system, 50, "minutes", "day")
    agent = await system.publish([{"text": "done"}])
    run_id = await opened(system, agent)
    assert await window(system, "minutes", "tenant") == (0, 30)
    with pytest.raises(StanchionError, match="20 of 50 minutes a day are left"):
        await opened(system, agent)
    await close(system, run_id, seconds=61)
    assert await window(system, "minutes", "tenant") == (2, 0)
    await opened(system, agent)


async def test_agents_caps_count_over_all_its_runs(systems: Systems) -> None:
    system = await systems().up()
    usage = {"usage": {"input_tokens": 600, "output_tokens": 0}}
    agent = await system.publish([{"text": "done"} | usage], caps=[{"unit": "tokens", "per": "day", "most": 1_000}])
    assert (await system.run(agent))["status"] == "completed"
    assert (await system.run(agent))["status"] == "completed"  # a script is asked with what is left, and takes more
    stopped = await system.run(agent)
    assert stopped["reason"].startswith("budget.tokens.agent.day: 0 of 1000 tokens a day are left to this agent (1200")
    [row] = await system.rows("SELECT settled, overrun FROM windows WHERE scope = 'agent' AND unit = 'tokens'")
    assert tuple(row) == (1_000, 200)


async def test_what_a_run_says_it_spent_is_what_the_ledger_says(systems: Systems) -> None:
    system = await systems().up()
    turns = [{"tools": [{"name": "look", "input": {"what": f"{n}"}}]} for n in range(3)]
    agent = await system.publish([*turns, {"text": "done"}], "look")
    handle = await system.start(agent)
    outcome = await system.outcome(handle)
    assert await window(system, "calls") == (outcome["spent"]["tool_calls"], 0) == (3, 0)
    assert await window(system, "tokens") == (outcome["spent"]["tokens"], 0)
    budget = json.loads(await system.value("SELECT budget FROM runs"))
    caps = {row["unit"]: row["cap"] for row in await system.rows("SELECT unit, cap FROM windows WHERE scope = 'run'")}
    assert caps == {"calls": budget["tool_calls"], "tokens": budget["tokens"], "minutes": budget["minutes"]}
    assert await system.rows("SELECT * FROM holds WHERE state IN ('reserved', 'lost')") == []


async def test_a_prompt_whose_bytes_do_not_fit_a_budget_is_counted_by_the_vendor(
    system: Stanchion, api: FakeAnthropic
) -> None:
    agent = await system.publish(MODEL, max_output_tokens=1_000, budget={"tokens": 20_000})
    run_id = await opened(system, agent, goal="x" * 30_000)
    api.tokens = 25_000
    with pytest.raises(ApplicationError) as reached:
        await plan(system, run_id)
    assert reached.value.details == ("budget.tokens",) and api.messages == []
    api.tokens = 8_000
    api.will(ANSWER)
    await plan(system, run_id)
    assert len(api.messages) == 1
