"""What people and programs may say to a run, at any time, in any order and in any shape."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import (
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.common import RawValue, WorkflowIDConflictPolicy

from activities.agents.versions import AgentVersion
from activities.gateway.digest import approval_id_for
from tests.harness.checks import assert_no_task_failed, assert_sound, facts
from tests.harness.models import ASKED, HOLD
from tests.harness.stanchion import Stanchion, eventually, unique
from tests.harness.toolbox import RELEASE, WITNESS
from workflows.contracts.runs import RolloverCaps

Handle = WorkflowHandle[Any, Any]
Systems = Callable[..., Stanchion]

SEND = {"tools": [{"name": "send", "input": {"to": "bo@acme.example"}}]}
SLEEP = {"tools": [{"name": "wait", "input": {"minutes": 600}}]}
LOOK = {"tools": [{"name": "look", "input": {}}]}
DONE = {"text": "done"}

GARBAGE: list[Any] = [
    None,
    "yes please",
    7,
    True,
    ["approve"],
    {},
    {"approval_id": 7, "verdict": "approve", "by": "lee"},
    {"approval_id": "ap-1", "verdict": "perhaps", "by": "lee"},
    {"approval_id": "ap-1", "verdict": "approve", "by": None},
    {"text": ""},
    {"text": 5, "by": []},
    {"kind": "something.else", "text": "hello"},
    RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b'{"text": ')),
    RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b'{"text": "\\ud800"}')),
    RawValue(Payload(metadata={"encoding": b"binary/unheard-of"}, data=b"\xff")),
]


@pytest.fixture(params=["cached", "uncached"])
async def either(systems: Systems, request: pytest.FixtureRequest) -> Stanchion:
    """A running system, once with the workflow cache and once without: then every turn replays the whole run."""
    return await systems().up(**({} if request.param == "cached" else {"max_cached_workflows": 0}))


async def sender(stanchion: Stanchion, *more: dict[str, Any], **definition: Any) -> AgentVersion:
    """An agent that wants to send something, for which it needs an approval."""
    return await stanchion.publish([SEND, *more, DONE], "send", "look", **definition)


async def waiting(stanchion: Stanchion, agent: AgentVersion, **request: Any) -> tuple[Handle, str]:
    """A run that waits for its approval, and the approval's id."""
    handle = await stanchion.start(agent, **request)
    return handle, (await stanchion.approval(handle))["approval_id"]


def sent(handle: Handle, call_id: str = "1.0") -> int:
    """How often the call was performed."""
    return WITNESS[f"{handle.id}/{call_id}"]


async def state_of(stanchion: Stanchion, approval_id: str) -> str:
    return str(await stanchion.value("SELECT state FROM approvals WHERE approval_id = $1", approval_id))


async def becomes(handle: Handle, word: str) -> None:
    async def look() -> bool:
        return bool((await handle.query("status"))["status"] == word)

    await eventually(look, f"{handle.id} is {word}")


async def ended(stanchion: Stanchion, handle: Handle, status: str) -> dict[str, Any]:
    """The outcome of a run, which left a sound transcript and nothing open."""
    outcome = await stanchion.outcome(handle)
    assert outcome["status"] == status, outcome
    await assert_sound(stanchion, handle.id)
    await assert_no_task_failed(handle)
    assert await stanchion.value("SELECT count(*) FROM approvals WHERE run_id = $1 AND state = 'open'", handle.id) == 0
    return outcome


# ── signals that make no sense ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["decision", "message", "resume", "no-such-signal"])
async def test_garbage_is_dropped_and_the_run_goes_on(either: Stanchion, name: str) -> None:
    handle, approval_id = await waiting(either, await sender(either))
    await handle.signal(name)
    for value in GARBAGE:
        await handle.signal(name, value)
    await handle.signal(name, args=["one argument", "and one more"])
    assert await state_of(either, approval_id) == "open"
    assert (await either.decide(handle, "approve"))["answer"] == "accepted"
    await ended(either, handle, "completed")
    assert sent(handle) == 1


@pytest.mark.parametrize("value", GARBAGE, ids=range(len(GARBAGE)))
async def test_a_halt_stops_the_run_whatever_came_with_it(stanchion: Stanchion, value: Any) -> None:
    handle, approval_id = await waiting(stanchion, await sender(stanchion))
    await handle.signal("halt", value)
    if isinstance(value, RawValue):  # the SDK cannot decode it, and drops it before any code of ours sees it
        await handle.signal("halt")
    outcome = await ended(stanchion, handle, "stopped")
    assert outcome["reason"].startswith("halted")
    assert sent(handle) == 0
    assert await state_of(stanchion, approval_id) == "withdrawn"


async def test_a_pause_without_an_argument_pauses_and_a_resume_without_one_resumes(either: Stanchion) -> None:
    handle, _ = await waiting(either, await sender(either))
    await handle.signal("pause")
    await becomes(handle, "paused")
    await handle.signal("resume")
    await becomes(handle, "waiting")
    await either.decide(handle, "approve")
    await ended(either, handle, "completed")


@pytest.mark.parametrize("value", GARBAGE[:-3], ids=range(len(GARBAGE) - 3))
async def test_a_malformed_update_is_refused_and_changes_nothing(stanchion: Stanchion, value: Any) -> None:
    handle, approval_id = await waiting(stanchion, await sender(stanchion))
    if isinstance(value, dict) and value.get("verdict") == "approve":
        value = value | {"approval_id": approval_id, "by": ""}
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("decide", value)
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("decide")
    assert await state_of(stanchion, approval_id) == "open"
    await handle.signal("halt")
    await ended(stanchion, handle, "stopped")


async def test_a_name_with_a_nul_is_refused_at_the_door(stanchion: Stanchion) -> None:
    handle, approval_id = await waiting(stanchion, await sender(stanchion))
    decision = {"approval_id": approval_id, "verdict": "approve", "by": "l\x00ee"}
    await handle.signal("decision", decision)
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("decide", decision)
    assert (await stanchion.decide(handle, "approve"))["answer"] == "accepted"
    await ended(stanchion, handle, "completed")


async def test_a_decision_too_large_to_carry_is_refused_at_the_door(stanchion: Stanchion) -> None:
    handle, approval_id = await waiting(stanchion, await sender(stanchion))
    huge = {"approval_id": approval_id, "verdict": "edit", "by": "lee", "arguments": {"to": "x" * 1_900_000}}
    await handle.signal("decision", huge)
    await handle.signal("decision", huge)
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("decide", huge)
    assert (await stanchion.decide(handle, "approve"))["answer"] == "accepted"
    await ended(stanchion, handle, "completed")


async def test_a_flood_of_orders_and_messages_never_outgrows_what_temporal_carries(stanchion: Stanchion) -> None:
    agent = await stanchion.publish([SLEEP, DONE])
    handle = await stanchion.start(agent)
    await becomes(handle, "sleeping")
    await handle.signal("pause", {"by": "ana"})
    await becomes(handle, "paused")
    for _ in range(15):
        most = [handle.signal("message", {"text": "\x01" * 16_000, "by": "ana"}) for _ in range(10)]
        most += [handle.signal("pause", {"reason": "\x01" * 2_000}) for _ in range(20)]
        await asyncio.gather(*most)
    await handle.signal("resume", {"by": "ana"})
    await ended(stanchion, handle, "completed")
    assert [kind for _, kind, _, _ in await stanchion.transcript(handle.id)].count("message") > 3


# ── decisions ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_decision_that_comes_before_its_approval_does_not_count(systems: Systems) -> None:
    stanchion = systems()
    agent = await sender(stanchion)
    handle = await stanchion.start(agent)
    approval_id = approval_id_for(handle.id, "1.0", "call", None)
    await handle.signal("decision", {"approval_id": approval_id, "verdict": "approve", "by": "lee"})
    await stanchion.up()
    assert (await stanchion.approval(handle))["approval_id"] == approval_id
    assert sent(handle) == 0
    assert (await stanchion.decide(handle, "approve"))["answer"] == "accepted"
    await ended(stanchion, handle, "completed")
    assert sent(handle) == 1


async def test_a_decision_about_an_unknown_approval_is_not_allowed(either: Stanchion) -> None:
    handle, _ = await waiting(either, await sender(either))
    wrong = {"approval_id": "ap-000000000000", "verdict": "approve", "by": "lee"}
    await handle.signal("decision", wrong)
    receipt = await handle.execute_update("decide", wrong)
    assert receipt["answer"] == "not allowed"
    await handle.signal("halt")
    await ended(either, handle, "stopped")
    assert sent(handle) == 0


async def test_an_approval_given_many_times_at_once_counts_once(either: Stanchion) -> None:
    handle, approval_id = await waiting(either, await sender(either, SLEEP))
    yes = {"approval_id": approval_id, "verdict": "approve"}
    receipts = await asyncio.gather(
        *(handle.execute_update("decide", yes | {"by": name}) for name in ("lee", "kim", "lee", "max")),
        *(handle.signal("decision", yes | {"by": name}) for name in ("lee", "kim")),
    )
    answers = [receipt["answer"] for receipt in receipts if receipt]
    assert set(answers) <= {"accepted", "already decided"}
    await becomes(handle, "sleeping")
    late = await handle.execute_update("decide", yes | {"by": "zoe"})
    assert late["answer"] == "already decided"
    assert await either.value("SELECT count(*) FROM decisions WHERE approval_id = $1", approval_id) == 1
    await handle.signal("message", {"text": "go on"})
    await ended(either, handle, "completed")
    assert sent(handle) == 1


async def test_an_approval_after_a_rejection_changes_nothing(either: Stanchion) -> None:
    handle, approval_id = await waiting(either, await sender(either, SLEEP))
    yes = {"approval_id": approval_id, "verdict": "approve", "by": "kim"}
    assert (await either.decide(handle, "reject", reason="wrong customer"))["answer"] == "accepted"
    assert (await handle.execute_update("decide", yes))["answer"] == "already decided"
    await becomes(handle, "sleeping")
    assert (await handle.execute_update("decide", yes))["answer"] == "already decided"
    await handle.signal("message", {"text": "go on"})
    await ended(either, handle, "completed")
    assert sent(handle) == 0
    assert "wrong customer" in (await either.results(handle.id))["1.0"]


async def test_a_response_reaches_the_model_instead_of_the_effect(stanchion: Stanchion) -> None:
    handle, _ = await waiting(stanchion, await sender(stanchion))
    await stanchion.decide(handle, "respond", reason="use the other address")
    await ended(stanchion, handle, "completed")
    assert sent(handle) == 0
    assert (await stanchion.results(handle.id))["1.0"] == "use the other address"


async def test_an_edit_replaces_the_arguments(stanchion: Stanchion) -> None:
    handle, _ = await waiting(stanchion, await sender(stanchion))
    await stanchion.decide(handle, "edit", arguments={"to": "kim@acme.example", "text": "hi"})
    await ended(stanchion, handle, "completed")
    assert (await stanchion.results(handle.id))["1.0"] == "sent to kim@acme.example"
    [*_, given] = await facts(stanchion, handle.id, "verdict.given")
    assert given["reason"] == "edited by lee"


async def test_an_edit_that_does_not_fit_is_vetted_and_refused_and_is_not_the_models_mistake(
    stanchion: Stanchion,
) -> None:
    handle, _ = await waiting(stanchion, await sender(stanchion))
    await stanchion.decide(handle, "edit", arguments={"to": 5, "bcc": "eve"})
    await ended(stanchion, handle, "completed")
    assert sent(handle) == 0
    [*_, given] = await facts(stanchion, handle.id, "verdict.given")
    assert (given["verdict"], given["rule"]) == ("deny", "approval.edit-invalid")


async def test_an_edit_without_arguments_is_not_allowed_and_the_approval_stays_open(stanchion: Stanchion) -> None:
    handle, approval_id = await waiting(stanchion, await sender(stanchion))
    assert (await stanchion.decide(handle, "edit"))["answer"] == "not allowed"
    assert await state_of(stanchion, approval_id) == "open"
    assert (await stanchion.decide(handle, "approve"))["answer"] == "accepted"
    await ended(stanchion, handle, "completed")


@pytest.mark.parametrize("verdict", ["happened", "did-not", "stop"])
async def test_an_answer_to_another_question_is_not_allowed(stanchion: Stanchion, verdict: str) -> None:
    handle, _ = await waiting(stanchion, await sender(stanchion))
    assert (await stanchion.decide(handle, verdict))["answer"] == "not allowed"
    await handle.signal("halt")
    await ended(stanchion, handle, "stopped")
    assert sent(handle) == 0


async def test_who_asked_for_a_run_never_approves_it(stanchion: Stanchion) -> None:
    handle, approval_id = await waiting(stanchion, await sender(stanchion), requester="Ana@acme.example")
    for same in ("Ana@acme.example", "ana@ACME.example", "  ana@acme.example "):
        assert (await stanchion.decide(handle, "approve", by=same))["answer"] == "not allowed"
    assert await state_of(stanchion, approval_id) == "open"
    assert (await stanchion.decide(handle, "approve", by="lee"))["answer"] == "accepted"
    await ended(stanchion, handle, "completed")
    assert sent(handle) == 1


async def test_an_unsigned_decision_is_refused_where_unsigned_ones_are_switched_off(systems: Systems) -> None:
    stanchion = await systems(dangerously_accept_unsigned_decisions=False).up()
    handle, approval_id = await waiting(stanchion, await sender(stanchion))
    receipt = await stanchion.decide(handle, "approve")
    assert (receipt["answer"], "not signed" in receipt["reason"]) == ("not allowed", True)
    await handle.signal("decision", {"approval_id": approval_id, "verdict": "approve", "by": "lee"})
    receipt = await stanchion.decide(handle, "approve", signature="made up", key="k")
    assert receipt["answer"] == "not allowed"
    assert await state_of(stanchion, approval_id) == "open"
    await handle.signal("halt")
    await ended(stanchion, handle, "stopped")
    assert sent(handle) == 0


# ── expiry ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_unanswered_approval_denies_the_call_and_the_run_goes_on(either: Stanchion) -> None:
    agent = await sender(either, SLEEP, approvals={"expire_minutes": 0.02})
    handle = await either.start(agent)
    await becomes(handle, "sleeping")
    approval_id = approval_id_for(handle.id, "1.0", "call", None)
    late = await handle.execute_update("decide", {"approval_id": approval_id, "verdict": "approve", "by": "lee"})
    assert late["answer"] == "expired"
    assert await state_of(either, approval_id) == "expired"
    await handle.signal("message", {"text": "go on"})
    await ended(either, handle, "completed")
    assert sent(handle) == 0
    assert "approval.expired" in (await either.results(handle.id))["1.0"]


async def test_an_approval_that_races_its_expiry_either_counts_or_does_not(stanchion: Stanchion) -> None:
    agent = await sender(stanchion, approvals={"expire_minutes": 0.02})

    async def race(delay: float) -> None:
        handle = await stanchion.start(agent)
        open_one = await stanchion.approval(handle)
        await asyncio.sleep(delay)  # the very thing that is tested: somewhere around the moment of expiry
        decision = {"approval_id": open_one["approval_id"], "verdict": "approve", "by": "lee"}
        try:
            answer = (await handle.execute_update("decide", decision))["answer"]
        except Exception as error:  # the run was over before the decision arrived
            answer = type(error).__name__
        await ended(stanchion, handle, "completed")
        result = (await stanchion.results(handle.id))["1.0"]
        assert sent(handle) == (1 if result.startswith("sent") else 0)
        assert answer == "accepted" or "approval.expired" in result

    await asyncio.gather(*(race(0.9 + number * 0.06) for number in range(8)))


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
    assert outcome["answer"] == f"{goal} | [ana] one more thing | [bo] and another"
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


# ── over continue-as-new ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def rolling(systems: Systems) -> Stanchion:
    """A running system whose runs go on in a fresh history as soon as they may."""
    return await systems(rollover=RolloverCaps(events=30)).up()


async def first_history_full(handle: Handle) -> None:
    """Fill the history beyond the caps, so that the run rolls over where it stands."""
    before = (await handle.query("status"))["rollovers"]
    for _ in range(35):
        await handle.signal("resume")

    async def rolled() -> bool:
        return bool((await handle.query("status"))["rollovers"] > before)

    await eventually(rolled, "the run rolled over")


async def test_a_long_run_goes_on_over_many_histories_and_misses_nothing(rolling: Stanchion) -> None:
    agent = await rolling.publish(
        "scripted:tests.harness.models:looks_for_ever", "look", budget={"tool_calls": 20, "steps": 50}, on_budget="stop"
    )
    handle = await rolling.start(agent)
    outcome = await ended(rolling, handle, "stopped")
    assert outcome["reason"].startswith("budget.tool_calls")
    assert outcome["spent"]["tool_calls"] == 20
    assert (await handle.query("status"))["rollovers"] >= 2
    description = await handle.describe()
    assert {attribute.key.name for attribute in description.typed_search_attributes} >= {"AgentName", "AgentStatus"}


async def test_a_run_rolls_over_while_it_waits_for_an_approval(rolling: Stanchion) -> None:
    handle, approval_id = await waiting(rolling, await sender(rolling))
    await first_history_full(handle)
    assert [a["approval_id"] for a in await handle.query("approvals")] == [approval_id]
    assert (await rolling.decide(handle, "approve"))["answer"] == "accepted"
    await ended(rolling, handle, "completed")
    assert sent(handle) == 1


async def test_an_approval_still_expires_in_a_later_history(rolling: Stanchion) -> None:
    agent = await sender(rolling, approvals={"expire_minutes": 0.1})
    handle, _ = await waiting(rolling, agent)
    await first_history_full(handle)
    await ended(rolling, handle, "completed")
    assert sent(handle) == 0


async def test_a_run_rolls_over_while_it_sleeps_and_still_wakes(rolling: Stanchion) -> None:
    nap = {"tools": [{"name": "wait", "input": {"minutes": 0.1}}]}
    handle = await rolling.start(await rolling.publish([nap, SLEEP, DONE]))
    await becomes(handle, "sleeping")
    await first_history_full(handle)

    async def second_sleep() -> bool:
        return bool((await handle.query("status"))["step"] == 2)

    await eventually(second_sleep, "the nap is over")
    await becomes(handle, "sleeping")
    await handle.signal("message", {"text": "wake up"})
    await ended(rolling, handle, "completed")
    assert "The wait is over" in (await rolling.results(handle.id))["1.0"]


async def test_a_run_rolls_over_while_it_is_paused_and_stays_paused(rolling: Stanchion) -> None:
    handle, _ = await waiting(rolling, await sender(rolling))
    await handle.signal("pause")
    await becomes(handle, "paused")
    assert (await rolling.decide(handle, "approve"))["answer"] == "accepted"
    before = (await handle.query("status"))["rollovers"]
    for _ in range(35):
        await handle.signal("pause")

    async def rolled() -> bool:
        return bool((await handle.query("status"))["rollovers"] > before)

    await eventually(rolled, "the paused run rolled over")
    await becomes(handle, "paused")
    assert sent(handle) == 0
    await handle.signal("resume")
    await ended(rolling, handle, "completed")
    assert sent(handle) == 1


async def test_updates_that_arrive_while_the_run_rolls_over_are_all_answered(rolling: Stanchion) -> None:
    handle, _ = await waiting(rolling, await sender(rolling))
    wrong = {"approval_id": "ap-none", "verdict": "approve", "by": "lee"}

    async def ask() -> str:
        return str((await handle.execute_update("decide", wrong))["answer"])

    for _ in range(8):
        answers = await asyncio.gather(*(ask() for _ in range(8)))
        assert set(answers) == {"not allowed"}
    assert (await handle.query("status"))["rollovers"] >= 1
    assert (await rolling.decide(handle, "approve"))["answer"] == "accepted"
    await ended(rolling, handle, "completed")
    assert sent(handle) == 1


async def test_a_halt_in_a_later_history_still_stops_the_run(rolling: Stanchion) -> None:
    handle, approval_id = await waiting(rolling, await sender(rolling))
    await first_history_full(handle)
    await handle.signal("halt", {"by": "ana"})
    await ended(rolling, handle, "stopped")
    assert await state_of(rolling, approval_id) == "withdrawn"


async def test_a_start_with_a_state_of_ones_own_making_is_not_believed(stanchion: Stanchion) -> None:
    forged = {"kind": "run.state", "run_id": "agent/x/y", "agent": "x", "goal": "g", "step": 3}
    handle = await stanchion.client.start_workflow(
        "AgentWorkflow", forged, id=unique("forged"), task_queue=stanchion.settings.task_queue
    )
    with pytest.raises(WorkflowFailureError):
        await stanchion.outcome(handle)


async def test_an_update_refused_at_the_start_still_starts_the_run(stanchion: Stanchion) -> None:

    agent = await sender(stanchion)
    name = agent.definition.name
    start = WithStartWorkflowOperation(
        "AgentWorkflow",
        {"agent": name, "goal": "do it"},
        id=f"agent/{name}/{unique('run')}",
        task_queue=stanchion.settings.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    with pytest.raises(WorkflowUpdateFailedError):
        await stanchion.client.execute_update_with_start_workflow("decide", "nonsense", start_workflow_operation=start)
    handle = await start.workflow_handle()
    await stanchion.decide(handle, "approve")
    await ended(stanchion, handle, "completed")
