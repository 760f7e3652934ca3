"""Bad input, from every side: starts that make no sense, tools and models that misbehave."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError

from tests.fakes.anthropic_api import FakeAnthropic, Raw, Streamed, text, tool_use
from tests.harness.checks import assert_no_task_failed, assert_sound, events, facts
from tests.harness.stanchion import Stanchion, eventually, unique
from tests.harness.toolbox import WITNESS
from tests.integration.ends import DONE, Handle, calls, ended
from workflows.contracts.budgets import usd_to_micros

Systems = Callable[..., Stanchion]


async def refusal(stanchion: Stanchion, *start: Any, key: str | None = None) -> ApplicationError:
    """How a start is refused: the workflow fails, at once and clearly, without a single failed task."""
    handle = await stanchion.client.start_workflow(
        "AgentWorkflow", *start, id=key or unique("agent/bad/run"), task_queue=stanchion.settings.task_queue
    )
    with pytest.raises(WorkflowFailureError) as failure:
        await stanchion.outcome(handle)
    await assert_no_task_failed(handle)
    assert isinstance(failure.value.cause, ApplicationError)
    assert len(failure.value.cause.message) < 5_000
    return failure.value.cause


# ── starts ──────────────────────────────────────────────────────────────────────────────────────────────────────────

WRONG: dict[str, tuple[Any, ...]] = {
    "no input": (),
    "null": (None,),
    "text": ("it-support",),
    "number": (7,),
    "list": ([{"agent": "a", "goal": "g"}],),
    "bytes": (b"\x00\xff",),
    "no goal": ({"agent": "a"},),
    "empty goal": ({"agent": "a", "goal": ""},),
    "goal is a list": ({"agent": "a", "goal": ["g"]},),
    "goal too long": ({"agent": "a", "goal": "g" * 40_000},),
    "agent is a number": ({"agent": 7, "goal": "g"},),
    "NUL in the requester": ({"agent": "a", "goal": "g", "requester": "an\x00a"},),
    "newline in the tenant": ({"agent": "a", "goal": "g", "tenant": "ac\nme"},),
    "unknown mode": ({"agent": "a", "goal": "g", "mode": "yolo"},),
    "budget is a text": ({"agent": "a", "goal": "g", "budget": "2.00"},),
    "budget is a float": ({"agent": "a", "goal": "g", "budget": {"usd": 0.1}},),
    "budget is negative": ({"agent": "a", "goal": "g", "budget": {"usd": "-1"}},),
    "budget is not a number": ({"agent": "a", "goal": "g", "budget": {"usd": "NaN"}},),
    "tokens as a text": ({"agent": "a", "goal": "g", "budget": {"tokens": "100"}},),
    "a misspelt cap": ({"agent": "a", "goal": "g", "budget": {"token": 100}},),
    "a long misspelt cap": ({"agent": "a", "goal": "g", "budget": {"x" * 1_000_000: 100}},),
    "many misspelt caps": ({"agent": "a", "goal": "g", "budget": {f"cap{n}": n for n in range(20_000)}},),
    "inputs are a list": ({"agent": "a", "goal": "g", "inputs": [1]},),
    "inputs too large": ({"agent": "a", "goal": "g", "inputs": {"x": "y" * 1_900_000}},),
}


@pytest.mark.parametrize("start", WRONG.values(), ids=WRONG)
async def test_a_start_that_makes_no_sense_fails_the_run_with_what_is_wrong(
    stanchion: Stanchion, start: tuple[Any, ...]
) -> None:
    error = await refusal(stanchion, *start)
    assert error.type == "InvalidRequest"
    assert "not valid" in error.message
    assert await stanchion.value("SELECT count(*) FROM runs") == 0


async def test_what_is_sent_beyond_the_one_input_is_ignored(stanchion: Stanchion) -> None:
    agent = await stanchion.publish([DONE])
    start = {"agent": agent.definition.name, "goal": "g"}
    handle = await stanchion.client.start_workflow(
        "AgentWorkflow", args=[start, "more"], id=unique("agent/two"), task_queue=stanchion.settings.task_queue
    )
    await ended(stanchion, handle, "completed")


async def test_an_unknown_agent_is_refused_with_the_name_that_comes_closest(stanchion: Stanchion) -> None:
    await stanchion.publish([DONE], name="invoice-clerk")
    error = await refusal(stanchion, {"agent": "invoice-clark", "goal": "g"})
    assert error.type == "AgentUnknown"
    assert "did you mean 'invoice-clerk'?" in error.message


async def test_a_request_that_would_widen_the_budget_is_refused(stanchion: Stanchion) -> None:
    agent = await stanchion.publish([DONE], budget={"usd": "0.50", "tool_calls": 5})
    start = {"agent": agent.definition.name, "goal": "g", "budget": {"usd": "0.51", "tool_calls": 6, "steps": 1}}
    error = await refusal(stanchion, start)
    assert error.type == "BudgetWidened"
    assert "usd 0.51 > 0.50" in error.message and "tool_calls 6 > 5" in error.message and "steps" not in error.message


async def test_a_request_that_would_loosen_the_mode_is_refused_and_one_that_tightens_it_is_taken(
    stanchion: Stanchion,
) -> None:
    agent = await stanchion.publish([DONE], mode="propose")
    for looser in ("tiered", "autonomous"):
        error = await refusal(stanchion, {"agent": agent.definition.name, "goal": "g", "mode": looser})
        assert error.type == "ModeLoosened"
    assert (await stanchion.run(agent, mode="observe"))["status"] == "completed"


async def test_text_that_no_table_takes_is_mended_in_a_goal_and_its_inputs(stanchion: Stanchion) -> None:
    agent = await stanchion.publish("scripted:tests.harness.models:repeats_what_was_said")
    handle = await stanchion.start(agent, "find a\x00b", inputs={"k\x00": "v\x00"})
    outcome = await ended(stanchion, handle, "completed")
    assert "find a\ufffdb" in outcome["answer"]


# ── the same key twice ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_used_again_gives_the_same_outcome_and_does_nothing_twice(stanchion: Stanchion) -> None:
    turns = [calls("note", text="once"), {"text": "noted"}]
    agent = await stanchion.publish(turns, "note", "take_back")
    first = await stanchion.start(agent, "g", key="k")
    outcome = await ended(stanchion, first, "completed")
    before = await stanchion.transcript(first.id)
    again = await stanchion.start(agent, "g", key="k")
    assert again.first_execution_run_id != first.first_execution_run_id
    assert await stanchion.outcome(again) == outcome
    assert await stanchion.transcript(first.id) == before
    asked = await events(again, EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
    assert [event.activity_task_scheduled_event_attributes.activity_type.name for event in asked] == ["runs.open"]
    assert WITNESS[f"{first.id}/1.0"] == 1
    assert await stanchion.value("SELECT count(*) FROM runs") == 1


async def test_a_key_used_again_while_its_run_lives_is_the_same_run(stanchion: Stanchion) -> None:
    agent = await stanchion.publish([calls("wait", minutes=600), DONE])
    name = agent.definition.name
    first = await stanchion.start(agent, "g", key="k")
    with pytest.raises(WorkflowAlreadyStartedError):
        await stanchion.start(agent, "g", key="k")
    same = await stanchion.client.start_workflow(
        "AgentWorkflow",
        {"agent": name, "goal": "g"},
        id=first.id,
        task_queue=stanchion.settings.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )

    async def sleeping() -> bool:
        return bool((await same.query("status"))["status"] == "sleeping")

    await eventually(sleeping, "the run sleeps")
    await same.signal("message", {"text": "go on"})
    assert await stanchion.outcome(same) == await stanchion.outcome(first)
    assert await stanchion.value("SELECT count(*) FROM runs") == 1


async def test_a_key_used_again_for_another_goal_or_agent_is_refused(stanchion: Stanchion) -> None:
    agent = await stanchion.publish([DONE])
    other = await stanchion.publish([DONE])
    handle = await stanchion.start(agent, "g", key="k")
    await ended(stanchion, handle, "completed")
    for start in (
        {"agent": agent.definition.name, "goal": "another"},
        {"agent": agent.definition.name, "goal": "g", "inputs": {"a": 1}},
        {"agent": other.definition.name, "goal": "g"},
    ):
        error = await refusal(stanchion, start, key=handle.id)
        assert error.type == "KeyInUse"


# ── tools that misbehave ────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_result_of_3_mb_is_kept_whole_and_shown_page_by_page(stanchion: Stanchion) -> None:
    size = 3_000_000
    turns = [
        calls("fetch", size=size),
        calls("read_output", call_id="1.0", page=188),
        calls("read_output", call_id="1.0", page=189),
        calls("read_output", call_id="9.9"),
        DONE,
    ]
    handle = await stanchion.start(await stanchion.publish(turns, "fetch"))
    await ended(stanchion, handle, "completed")
    results = await stanchion.results(handle.id)
    assert len(results["1.0"]) < 17_000
    assert "page 1 of 188, 3000000 characters; read_output(call_id='1.0', page=2)" in results["1.0"]
    assert results["2.0"].startswith("x" * (size - 187 * 16_000) + "\n… (page 188 of 188)")
    assert "there are 188 pages" in results["3.0"]
    assert "no call '9.9'" in results["4.0"]
    origins = {json.loads(c)[0]["call_id"]: o for _, k, o, c in await stanchion.transcript(handle.id) if k == "result"}
    assert origins["2.0"] == origins["1.0"] == "untrusted"


@pytest.mark.parametrize("tool", ["raises", "refuses_at_length"])
async def test_an_error_of_64_kb_is_cut_everywhere(stanchion: Stanchion, tool: str) -> None:
    handle = await stanchion.start(await stanchion.publish([calls(tool, size=65_536), DONE], tool))
    await ended(stanchion, handle, "completed")
    [result] = (await stanchion.results(handle.id)).values()
    assert "eeee" in result and "characters, cut" in result and len(result) < 5_000


async def test_an_error_of_64_kb_that_leaves_a_doubt_is_cut_everywhere(stanchion: Stanchion) -> None:
    turns = [calls("fails_at_length", size=65_536), DONE]
    handle = await stanchion.start(await stanchion.publish(turns, "fails_at_length", "take_back"))
    assert (await stanchion.approval(handle))["about"] == "unknown"
    assert len(await stanchion.value("SELECT reason FROM approvals WHERE run_id = $1", handle.id)) < 5_000
    await stanchion.decide(handle, "did-not", reason="r" * 4_000)
    second = await stanchion.approval(handle)
    await handle.execute_update("decide", {"approval_id": second["approval_id"], "verdict": "stop", "by": "lee"})
    await ended(stanchion, handle, "stopped", "halted")


async def test_results_that_no_table_takes_are_mended(stanchion: Stanchion) -> None:
    names = ("returns_dirt", "returns_bytes", "returns_surrogates")
    handle = await stanchion.start(await stanchion.publish([calls(*names), DONE], *names))
    await ended(stanchion, handle, "completed")
    results = await stanchion.results(handle.id)
    assert "\x00" not in "".join(results.values())
    assert results["1.1"] == "ab\ufffd\ufffdcd"
    assert results["1.2"] == "a\ufffdb \ufffd c"


async def test_a_tool_that_raises_hangs_or_lies_gives_the_model_an_error_and_the_run_goes_on(
    stanchion: Stanchion,
) -> None:
    names = ("raises", "hangs", "lies_about_its_type", "refuses")
    handle = await stanchion.start(await stanchion.publish([calls(*names), DONE], *names))
    await ended(stanchion, handle, "completed")
    results = await stanchion.results(handle.id)
    assert "ValueError" in results["1.0"]
    assert "did not answer within 1 s" in results["1.1"]
    assert "cannot be used" in results["1.2"] and "another type" in results["1.2"]
    assert results["1.3"] == "there is no such thing"
    errors = await facts(stanchion, handle.id, "call.observed")
    assert [error["is_error"] for error in errors] == [True] * 4


# ── models that misbehave ───────────────────────────────────────────────────────────────────────────────────────────


async def test_a_model_that_is_garbled_for_good_ends_the_run_with_the_reason(stanchion: Stanchion) -> None:
    error = {"kind": "garbled", "times": 1_000, "retry_after": 0.1}
    agent = await stanchion.publish([{"text": "x", "error": error}], budget={"minutes": 1})
    outcome = await ended(stanchion, await stanchion.start(agent), "failed", "failed.ModelAnswerGarbled")
    assert "garbled, as scripted" in outcome["reason"]


@pytest.mark.slow
async def test_a_model_that_never_recovers_or_never_answers_uses_up_the_runs_minutes_and_no_more(
    stanchion: Stanchion,
) -> None:
    ends: Any = {"budget": {"minutes": 1}, "on_budget": "stop"}
    garbled = await stanchion.publish([{"error": {"kind": "garbled", "times": 1_000}}], **ends)
    silent = await stanchion.publish([{"text": "too late", "delay": 600}], **ends)
    handles = [await stanchion.start(agent) for agent in (garbled, silent)]
    for handle in handles:
        outcome = await asyncio.wait_for(handle.result(), 150)
        assert outcome["status"] in ("failed", "stopped")
        assert outcome["reason"].startswith(("failed.ModelAnswerGarbled", "budget.minutes"))
        assert outcome["spent"]["minutes"] <= 1.5
        await assert_sound(stanchion, handle.id)


async def test_an_answer_that_is_not_what_was_promised_is_asked_for_again(systems: Systems) -> None:
    async with FakeAnthropic() as api:
        api.will(Raw(b"\xff\x00 not a stream"), Streamed((text("at last"),)))
        stanchion = await systems(anthropic_api_key="k", anthropic_base_url=api.base_url).up()
        agent = await stanchion.publish("anthropic:claude-haiku-4-5")
        outcome = await ended(stanchion, await stanchion.start(agent), "completed")
    assert (outcome["answer"], outcome["steps"]) == ("at last", 1)


async def test_a_key_that_is_refused_pauses_the_run_at_once(stanchion: Stanchion) -> None:
    agent = await stanchion.publish([{"error": "key_rejected"}])
    handle = await stanchion.start(agent)

    async def paused() -> bool:
        return bool((await handle.query("status"))["status"] == "paused")

    await eventually(paused, "the run pauses")
    await handle.terminate()


@pytest.mark.parametrize("name", ["invent", "in\x00vent", "x" * 5_000, "look "])
async def test_a_tool_the_model_invents_is_refused_with_the_names_it_has(stanchion: Stanchion, name: str) -> None:
    handle = await stanchion.start(await stanchion.publish([calls(name), DONE], "look"))
    await ended(stanchion, handle, "completed")
    [result] = (await stanchion.results(handle.id)).values()
    assert "tool.not-offered" in result and "look, read_output, wait" in result and len(result) < 10_000


async def test_arguments_that_do_not_fit_are_refused_with_what_is_wrong(stanchion: Stanchion) -> None:
    wrong: list[dict[str, Any]] = [{}, {"text": 5}, {"text": "a", "more": 1}, {"text": None}]
    turns = [*({"tools": [{"name": "note", "input": arguments}]} for arguments in wrong), DONE]
    handle = await stanchion.start(await stanchion.publish(turns, "note", "take_back"))
    await ended(stanchion, handle, "completed")
    results = await stanchion.results(handle.id)
    assert all("arguments.invalid" in result for result in results.values())
    assert [name in results[f"{step}.0"] for step, name in enumerate(("text", "text", "more", "text"), 1)] == [True] * 4
    assert not any(WITNESS[f"{handle.id}/{call_id}"] for call_id in results)


async def test_arguments_that_are_no_json_are_refused_and_never_repaired(systems: Systems) -> None:
    async with FakeAnthropic() as api:
        for written in ('{"text": "a"', '{"text": "a", "text": "b"}', '{"text": NaN}', '["a"]'):
            api.will(Streamed((tool_use("note", written),), stop_reason="tool_use"))
        api.will(Streamed((text("I give up"),)))
        stanchion = await systems(anthropic_api_key="k", anthropic_base_url=api.base_url).up()
        agent = await stanchion.publish("anthropic:claude-haiku-4-5", "note", "take_back")
        handle = await stanchion.start(agent)
        await ended(stanchion, handle, "completed")
    results = await stanchion.results(handle.id)
    assert ["arguments.unreadable" in result for result in results.values()] == [True] * 4


async def test_five_mistakes_in_a_row_pause_the_run(stanchion: Stanchion) -> None:
    turns = [calls(f"invented_{number}") for number in range(8)]
    handle = await stanchion.start(await stanchion.publish(turns, "look"))
    assert await paused_at(handle) == 5
    await handle.signal("halt", {"by": "lee"})
    await ended(stanchion, handle, "stopped", "halted")


async def test_the_third_identical_call_is_refused_and_the_sixth_pauses_the_run(stanchion: Stanchion) -> None:
    handle = await stanchion.start(await stanchion.publish([calls("note", text="a")] * 8, "note", "take_back"))
    assert await paused_at(handle) == 6
    await handle.signal("halt", {"by": "lee"})
    await ended(stanchion, handle, "stopped", "halted")
    results = await stanchion.results(handle.id)
    assert [key for key, result in results.items() if result == "noted a"] == ["1.0", "2.0"]
    assert all("loop.repeated-call" in results[key] for key in ("3.0", "4.0", "5.0", "6.0"))


async def paused_at(handle: Handle) -> int:
    """The step at which the run paused."""

    async def paused() -> Any:
        status = await handle.query("status")
        return status["step"] if status["status"] == "paused" else None

    return int(await eventually(paused, "the run pauses"))


# ── caps ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("cap", "limit", "steps"), [("tool_calls", 2, 3), ("steps", 3, 3), ("tokens", 250, 3), ("minutes", 0, 0)]
)
async def test_a_run_that_may_not_pause_stops_at_its_cap(
    stanchion: Stanchion, cap: str, limit: int, steps: int
) -> None:
    usage = {"input_tokens": 90, "output_tokens": 10}
    turns = [calls("note", text=f"{number}") | {"usage": usage} for number in range(9)]
    agent = await stanchion.publish(turns, "note", "take_back", on_budget="stop")
    handle = await stanchion.start(agent, budget={cap: limit})
    outcome = await ended(stanchion, handle, "stopped", f"budget.{cap}")
    assert outcome["steps"] == steps
    if cap == "tool_calls":
        assert sum(WITNESS[f"{handle.id}/{number}.0"] for number in range(9)) == limit
        assert "Not performed: the run ended first." in (await stanchion.results(handle.id))["3.0"]


async def test_a_run_stops_before_a_model_call_that_its_money_may_not_be_enough_for(systems: Systems) -> None:
    async with FakeAnthropic() as api:
        for number in range(9):
            call = tool_use("note", json.dumps({"text": f"{number}"}))
            api.will(Streamed((call,), "tool_use", {"input_tokens": 1_000, "output_tokens": 1}, {"output_tokens": 200}))
        stanchion = await systems(anthropic_api_key="k", anthropic_base_url=api.base_url).up()
        more: Any = {"budget": {"usd": "0.0100"}, "on_budget": "stop"}
        agent = await stanchion.publish("anthropic:claude-haiku-4-5", "note", "take_back", **more)
        handle = await stanchion.start(agent)
        outcome = await ended(stanchion, handle, "stopped", "budget.usd")
        asked = [request.body["max_tokens"] for request in api.messages]
    assert outcome["steps"] == len(asked) >= 2  # the model was not asked for what could not be paid
    assert usd_to_micros(outcome["spent"]["usd"]) == 2_000 * len(asked) <= 10_000
    assert asked == sorted(asked, reverse=True) and asked[-1] < 8_192  # shorter answers, so that more of it is used
    [row] = await stanchion.rows("SELECT * FROM windows WHERE unit = 'micro-usd' AND scope = 'run'")
    assert (row["settled"], row["reserved"], row["overrun"]) == (2_000 * len(asked), 0, 0)
