"""The loop governor in a real run: told, refused, paused; over roll-overs and restarts; and what a person then does."""

import json
from collections.abc import Callable
from typing import Any

from temporalio.client import WorkflowHandle

from tests.harness.checks import assert_no_task_failed, assert_sound, facts
from tests.harness.stanchion import Stanchion, eventually
from workflows.contracts.runs import RolloverCaps

Handle = WorkflowHandle[Any, Any]
Systems = Callable[..., Stanchion]

DONE = {"text": "done"}


def ask(tool: str, **arguments: Any) -> dict[str, Any]:
    """A turn with one call."""
    return {"tools": [{"name": tool, "input": arguments}]}


POLL = ask("look", what="the export")


async def status(handle: Handle) -> dict[str, Any]:
    found: dict[str, Any] = await handle.query("status")
    return found


async def paused(handle: Handle) -> dict[str, Any]:
    """The status of a run, once it is paused."""

    async def is_paused() -> dict[str, Any] | None:
        found = await status(handle)
        return found if found["status"] == "paused" else None

    found = await eventually(is_paused, f"{handle.id} is paused")
    assert found
    return found


async def notes(stanchion: Stanchion, run_id: str) -> dict[int, str]:
    """The run's own notes in the transcript, by seq."""
    return {
        seq: json.loads(content)[0]["text"]
        for seq, kind, origin, content in await stanchion.transcript(run_id)
        if kind == "note" and origin == "trusted"
    }


async def test_a_loop_is_told_then_refused_then_paused_and_a_person_lets_it_go_on(stanchion: Stanchion) -> None:
    agent = await stanchion.publish([POLL] * 8 + [DONE], "look")
    handle = await stanchion.start(agent)
    assert (await paused(handle))["step"] == 6
    results = await stanchion.results(handle.id)
    assert [key for key, text in results.items() if text == "found the export"] == ["1.0", "2.0"]
    assert all("loop.repeated-call" in results[f"{n}.0"] and "`wait`" in results[f"{n}.0"] for n in (3, 4, 5, 6))
    [(seq, note)] = (await notes(stanchion, handle.id)).items()
    kinds = [kind for _, kind, *_ in await stanchion.transcript(handle.id)]
    assert kinds[:seq] == ["goal", "response", "result", "response", "result"]  # before the step that is refused
    assert "the same look call for the second time" in note and "`wait`" in note
    await handle.signal("resume", {"by": "lee"})
    outcome = await stanchion.outcome(handle)
    assert outcome["status"] == "completed"
    results = await stanchion.results(handle.id)
    assert results["7.0"] == results["8.0"] == "found the export"
    [pause] = await facts(stanchion, handle.id, "pause.ordered")
    assert pause["reason"].startswith("loop.repeated-call: ") and "by" not in pause
    await assert_sound(stanchion, handle.id)
    await assert_no_task_failed(handle)


async def test_a_loop_is_seen_as_early_over_roll_overs(systems: Systems) -> None:
    stanchion = await systems(rollover=RolloverCaps(events=1)).up()
    between = [ask("look", what=f"thing {n}") for n in range(3)]
    agent = await stanchion.publish([*between, *[POLL] * 6, DONE], "look")
    handle = await stanchion.start(agent)
    found = await paused(handle)
    assert found["step"] == 9 and found["rollovers"] >= 2
    results = await stanchion.results(handle.id)
    assert [n for n in range(1, 10) if "loop.repeated-call" in results[f"{n}.0"]] == [6, 7, 8, 9]
    await handle.signal("resume", {"by": "lee"})
    assert (await stanchion.outcome(handle))["status"] == "completed"
    await assert_sound(stanchion, handle.id)


async def test_a_loop_is_seen_as_early_after_all_workers_were_replaced(systems: Systems) -> None:
    first = await systems().up()
    agent = await first.publish([POLL, POLL, ask("send", to="bo@acme.example"), POLL, DONE], "look", "send")
    handle = await first.start(agent)
    await first.approval(handle)
    await first.down()
    second = await systems(task_queue=first.settings.task_queue).up()
    await second.decide(handle, "reject")
    assert (await second.outcome(handle))["status"] == "completed"
    assert "loop.repeated-call" in (await second.results(handle.id))["4.0"]


async def test_a_loop_is_seen_though_no_worker_keeps_the_run_in_its_cache(systems: Systems) -> None:
    stanchion = await systems().up(max_cached_workflows=0)
    handle = await stanchion.start(await stanchion.publish([POLL] * 7, "look"))
    assert (await paused(handle))["step"] == 6
    await handle.signal("halt", {"by": "lee"})
    assert (await stanchion.outcome(handle))["status"] == "stopped"
    await assert_no_task_failed(handle)


async def test_a_poll_with_wait_between_is_let_be(stanchion: Stanchion) -> None:
    turns = [turn for _ in range(4) for turn in (POLL, ask("wait", minutes=0.001))]
    handle = await stanchion.start(await stanchion.publish([*turns, POLL, DONE], "look"))
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert await notes(stanchion, handle.id) == {}
    assert [text for text in (await stanchion.results(handle.id)).values() if "loop." in text] == []


async def test_a_long_walk_through_different_things_is_let_be(stanchion: Stanchion) -> None:
    handle = await stanchion.start(
        await stanchion.publish("scripted:tests.harness.models:looks_for_ever", "look", budget={"tool_calls": 30}),
        on_budget="stop",
    )
    outcome = await stanchion.outcome(handle)
    assert outcome["reason"].startswith("budget.tool_calls")
    assert all("30 tool calls are used" in note for note in (await notes(stanchion, handle.id)).values())


async def test_a_result_says_what_is_new_in_it(stanchion: Stanchion) -> None:
    turns = [POLL, POLL, ask("fetch", size=0), ask("refuses"), DONE]
    handle = await stanchion.start(await stanchion.publish(turns, "look", "fetch", "refuses"))
    await stanchion.outcome(handle)
    rows = await stanchion.rows("SELECT call_id, result FROM effects WHERE run_id = $1 ORDER BY call_id", handle.id)
    found = {row["call_id"]: json.loads(row["result"]) for row in rows}
    assert [found[f"{n}.0"].get("new", True) for n in (1, 2, 3, 4)] == [True, False, False, False]
    assert found["1.0"]["digest"] == found["2.0"]["digest"] != found["3.0"]["digest"]
    assert len(json.dumps(found["1.0"])) < 100


async def test_a_note_is_written_once_though_the_model_had_to_be_asked_again(stanchion: Stanchion) -> None:
    again = POLL | {"error": {"kind": "unreachable", "times": 1, "retry_after": 0.01}}
    handle = await stanchion.start(await stanchion.publish([POLL, POLL, again, DONE], "look"))
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert len(await notes(stanchion, handle.id)) == 1
    await assert_sound(stanchion, handle.id)


async def test_mistakes_pause_the_run_and_a_message_alone_does_not_wake_it(stanchion: Stanchion) -> None:
    turns = [ask(f"invented_{n}") for n in range(5)] + [DONE]
    handle = await stanchion.start(await stanchion.publish(turns, "look"))
    assert (await paused(handle))["step"] == 5
    await handle.signal("message", {"text": "there is only look", "by": "lee"})
    assert (await status(handle))["status"] == "paused"
    await handle.signal("resume", {"by": "lee"})
    assert (await stanchion.outcome(handle))["status"] == "completed"
