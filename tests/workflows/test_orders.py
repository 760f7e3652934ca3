"""Messages, pauses, halts, cancels and terminations, wherever a run stands."""

import asyncio

import asyncpg
import pytest

from tests.harness.checks import assert_sound, facts
from tests.harness.models import ASKED, HOLD
from tests.harness.stanchion import Stanchion, eventually, unique
from tests.harness.toolbox import RELEASE, WITNESS
from tests.workflows.sender import (
    DONE,
    LOOK,
    SEND,
    SLEEP,
    Systems,
    becomes,
    ended,
    sender,
    sent,
    state_of,
    waiting,
)

# ── messages ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_message_wakes_a_wait_and_reaches_the_transcript_as_the_users(either: Stanchion) -> None:
    handle = await either.start(await either.publish([SLEEP, DONE]))
    await becomes(handle, "sleeping")
    await handle.signal("message", {"text": "it is \x00urgent", "by": "ana"})
    await ended(either, handle, "completed")
    rows = await either.transcript(handle.id)
    [(origin, content)] = [(origin, content) for _, kind, origin, content in rows if kind == "message"]
    assert origin == "user"
    assert "[ana] it is \\ufffdurgent" in content or "[ana] it is \ufffdurgent" in content
    assert "early" in (await either.results(handle.id))["1.0"]


async def test_messages_that_arrive_while_the_model_is_asked_are_read_before_the_run_ends(stanchion: Stanchion) -> None:
    agent = await stanchion.publish("scripted:tests.harness.models:repeats_what_was_said")
    goal = unique("goal")
    HOLD[goal] = asyncio.Event()
    handle = await stanchion.start(agent, goal)

    async def asked() -> bool:
        return ASKED[goal] == 1

    await eventually(asked, "the model is being asked")
    await handle.signal("message", {"text": "one more thing", "by": "ana"})
    await handle.signal("message", {"text": "and another", "by": "bo"})
    await becomes(handle, "running")
    HOLD[goal].set()
    outcome = await ended(stanchion, handle, "completed")
    assert outcome["answer"] == f"{goal}\n\n{goal} | [ana] one more thing | [bo] and another"
    assert outcome["steps"] == 2


# ── pause, halt, cancel, terminate ──────────────────────────────────────────────────────────────────────────────────


async def test_a_paused_run_records_decisions_and_begins_nothing(either: Stanchion) -> None:
    handle, approval_id = await waiting(either, await sender(either))
    await handle.signal("pause", {"by": "ana", "reason": "let me look"})
    await becomes(handle, "paused")
    assert (await either.decide(handle, "approve"))["answer"] == "accepted"
    assert await state_of(either, approval_id) == "approve"
    assert (await handle.query("status"))["waiting_for"] == "resume: let me look"
    assert sent(handle) == 0
    await handle.signal("resume", {"by": "ana"})
    await ended(either, handle, "completed")
    assert sent(handle) == 1
    assert [e["reason"] for e in await facts(either, handle.id, "pause.ordered")] == ["let me look"]


async def test_a_halt_withdraws_the_approval_and_gives_every_call_a_result(either: Stanchion) -> None:
    turn = {"tools": [*LOOK["tools"], *SEND["tools"], *LOOK["tools"]]}
    handle, approval_id = await waiting(either, await either.publish([turn, DONE], "send", "look"))
    await handle.signal("halt", {"by": "ana", "reason": "enough"})
    outcome = await ended(either, handle, "stopped")
    assert outcome["reason"] == "halted: by ana: enough"
    assert await state_of(either, approval_id) == "withdrawn"
    assert list(await either.results(handle.id)) == ["1.0", "1.1", "1.2"]
    assert sent(handle, "1.1") == 0
    assert await either.value("SELECT status FROM runs WHERE run_id = $1", handle.id) == "stopped"


async def test_a_cancel_ends_the_run_as_cancelled(either: Stanchion) -> None:
    handle, approval_id = await waiting(either, await sender(either))
    await handle.cancel()
    await ended(either, handle, "cancelled")
    assert await state_of(either, approval_id) == "withdrawn"
    assert sent(handle) == 0


async def test_a_cancel_before_the_first_task_ends_the_run_as_cancelled(systems: Systems) -> None:
    stanchion = systems()
    handle = await stanchion.start(await sender(stanchion))
    await handle.cancel()
    await stanchion.up()
    outcome = await stanchion.outcome(handle)
    assert outcome["status"] == "cancelled"
    assert sent(handle) == 0


@pytest.mark.parametrize("stop", ["cancel", "halt"])
async def test_a_stop_during_a_tool_in_flight_says_that_the_outcome_is_unknown(either: Stanchion, stop: str) -> None:
    name = unique("release")
    turn = {"tools": [{"name": "waits_for_release", "input": {"name": name}}]}
    agent = await either.publish([turn, DONE], "waits_for_release", "take_back")
    handle = await either.start(agent)

    async def in_flight() -> bool:
        return name in RELEASE

    await eventually(in_flight, "the tool runs")
    await (handle.cancel() if stop == "cancel" else handle.signal("halt"))
    await ended(either, handle, "cancelled" if stop == "cancel" else "stopped")
    assert "Outcome unknown" in (await either.results(handle.id))["1.0"]
    assert await either.value("SELECT state FROM effects WHERE run_id = $1", handle.id) == "unknown"
    assert WITNESS[f"{handle.id}/1.0"] == 1


async def test_a_cancel_while_the_model_is_asked_is_not_kept_waiting_by_it(stanchion: Stanchion) -> None:
    agent = await stanchion.publish("scripted:tests.harness.models:repeats_what_was_said")
    goal = unique("goal")
    HOLD[goal] = asyncio.Event()
    handle = await stanchion.start(agent, goal)

    async def asked() -> bool:
        return ASKED[goal] == 1

    await eventually(asked, "the model is being asked")
    await handle.cancel()
    await ended(stanchion, handle, "cancelled")


async def test_a_cancel_while_the_run_is_closing_does_not_change_its_end(either: Stanchion) -> None:
    handle, _ = await waiting(either, await sender(either))
    connection = await asyncpg.connect(either.database_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM runs WHERE run_id = $1 FOR UPDATE", handle.id)  # holds up the close
            await handle.signal("halt", {"by": "ana"})

            async def closing() -> bool:
                blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                return bool(await either.value(f"{blocked} AND datname = current_database()"))

            await eventually(closing, "the run is being closed")
            await handle.cancel()
            await handle.signal("message", {"text": "too late"})
            await handle.signal("pause")
    finally:
        await connection.close()
    outcome = await ended(either, handle, "stopped")
    assert outcome["reason"] == "halted: by ana"


async def test_an_update_that_arrives_with_the_halt_is_answered(stanchion: Stanchion) -> None:
    handle, approval_id = await waiting(stanchion, await sender(stanchion))
    decision = {"approval_id": approval_id, "verdict": "approve", "by": "lee"}
    await stanchion.down()
    await handle.signal("halt")
    deciding = asyncio.create_task(handle.execute_update("decide", decision))
    await stanchion.up()
    await ended(stanchion, handle, "stopped")
    try:
        assert (await deciding)["answer"] in ("not allowed", "accepted")
    except Exception as error:
        assert "completed" in str(error) or "not found" in str(error), error
    assert sent(handle) == 0


async def test_a_terminated_run_is_named_and_closed_by_the_reaper(stanchion: Stanchion) -> None:
    handle, approval_id = await waiting(stanchion, await sender(stanchion))
    living, _ = await waiting(stanchion, await sender(stanchion))
    await handle.terminate("pulled the plug")
    report = await stanchion.client.execute_workflow(
        "ReaperWorkflow", id=unique("reaper"), task_queue=stanchion.settings.task_queue
    )
    assert report["closed"] == [handle.id]
    assert report["checked"] == 2
    await assert_sound(stanchion, handle.id)
    assert await state_of(stanchion, approval_id) == "withdrawn"
    reason = await stanchion.value("SELECT outcome->>'reason' FROM runs WHERE run_id = $1", handle.id)
    assert reason.startswith("terminated")
    await living.signal("halt")
    await ended(stanchion, living, "stopped")
