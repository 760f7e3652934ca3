"""Decisions: at any time, in any order, by anyone, and silence."""

import asyncio

import pytest

from activities.gateway.digest import approval_id_for
from tests.harness.checks import facts
from tests.harness.stanchion import Stanchion
from tests.workflows.sender import (
    SLEEP,
    Systems,
    becomes,
    ended,
    sender,
    sent,
    state_of,
    waiting,
)

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
