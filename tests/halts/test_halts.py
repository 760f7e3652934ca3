"""Halts through the public door: runs at work, an order, and what happens to them."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from activities.halts.halts import Halt, HaltOrder, Halts, LiftOrder, LiftRefused
from activities.halts.in_flight import InFlightCall
from activities.identity.principals import Principals
from activities.identity.signatures import new_key, sign
from tests.harness.checks import assert_no_task_failed, assert_sound, facts
from tests.harness.stanchion import Stanchion, eventually, unique
from tests.harness.toolbox import RELEASE, WITNESS
from workers.keys import Signer
from workflows.contracts.halts import HaltNotice
from workflows.contracts.reviews import ReviewRequest

Handle = WorkflowHandle[Any, Any]


def halts(system: Stanchion) -> Halts:
    return Halts(system.parts.database, system.parts.authority)


async def halt(system: Stanchion, scope: Any, target: str = "", by: str = "lee", reason: str = "enough") -> Halt:
    return await halts(system).order(HaltOrder(scope=scope, target=target, by=by, reason=reason))


async def at_work(
    system: Stanchion, tool: str = "waits_for_release", more: dict[str, Any] | None = None, **request: Any
) -> tuple[Handle, str]:
    """A run whose tool is at work until the name that is returned is released."""
    name = unique("held")
    turns = [{"tools": [{"name": tool, "input": {"name": name, **(more or {})}}]}, {"text": "done"}]
    handle = await system.start(await system.publish(turns, tool, "take_back"), **request)

    async def working() -> bool:
        return name in RELEASE

    await eventually(working, "the tool is at work")
    return handle, name


async def word(handle: Handle, wanted: str) -> None:
    async def there() -> bool:
        return bool((await handle.query("status"))["status"] == wanted)

    await eventually(there, f"{handle.id} is {wanted}")


async def test_a_halted_run_ends_while_its_tool_is_at_work_though_nobody_told_temporal(stanchion: Stanchion) -> None:
    handle, _ = await at_work(stanchion)
    ordered = await halt(stanchion, "run", handle.id)
    outcome = await stanchion.outcome(handle)
    assert (outcome["status"], outcome["reason"]) == ("stopped", "halted: by lee: enough")
    assert [effect["call_id"] for effect in ordered.in_flight] == ["1.0"]
    [left] = await halts(stanchion).in_flight(ordered.notice.halt_id)
    assert (left.tool, left.contract, left.outcome) == ("waits_for_release", "irreversible", "unknown")
    await assert_sound(stanchion, handle.id)
    await assert_no_task_failed(handle)


@pytest.mark.parametrize("scope", ["agent", "tenant", "fleet"])
async def test_a_halt_of_many_runs_pauses_those_at_work_and_they_go_on_where_they_were_once_it_is_lifted(
    stanchion: Stanchion, scope: str
) -> None:
    handle, name = await at_work(stanchion, "blocks_once", tenant="acme")
    target = {"agent": handle.id.split("/")[1], "tenant": "acme", "fleet": ""}[scope]
    ordered = await halt(stanchion, scope, target)
    await word(handle, "paused")
    assert (await handle.query("status"))["waiting_for"].startswith(f"the lifting of {ordered.notice.halt_id}: ")
    for by in ("lee", "kim")[: ordered.people]:
        lifting = await halts(stanchion).lift(LiftOrder(halt_id=ordered.notice.halt_id, by=by))
    assert lifting.lifted
    await handle.signal("resume", {"halt": ordered.notice.halt_id})
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert (await stanchion.results(handle.id))["1.0"] == "attempt 2"  # the same key, once more
    await assert_sound(stanchion, handle.id)
    await assert_no_task_failed(handle)
    assert name


async def test_a_halted_tool_is_refused_with_the_reason_and_the_run_goes_on(stanchion: Stanchion) -> None:
    await halt(stanchion, "tool", "note", reason="it writes nonsense")
    turns = [{"tools": [{"name": "note", "input": {"text": "a"}}]}, {"text": "done"}]
    handle = await stanchion.start(await stanchion.publish(turns, "note", "take_back"))
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert "Not performed (halt.tool): tool note was halted by lee: it writes nonsense" in str(
        await stanchion.results(handle.id)
    )
    assert WITNESS[f"{handle.id}/1.0"] == 0


async def test_a_tool_that_is_halted_at_work_is_asked_about_where_nobody_knows(stanchion: Stanchion) -> None:
    handle, _ = await at_work(stanchion)
    await halt(stanchion, "tool", "waits_for_release")
    assert (await stanchion.approval(handle))["about"] == "unknown"
    await stanchion.decide(handle, "did-not")
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert "lee says it did not happen" in (await stanchion.results(handle.id))["1.0"]


@pytest.mark.parametrize(
    ("tool", "more", "contract", "outcome"),
    [
        ("waits_but_checkable", {"happens": True}, "checkable", "done"),
        ("waits_but_checkable", {"happens": False}, "checkable", "not done"),
        ("looks_until_released", {}, "pure", "not done"),
        ("blocks_once", {}, "idempotent", "unknown"),
        ("waits_for_release", {}, "irreversible", "unknown"),
    ],
)
@pytest.mark.parametrize("scope", ["run", "tool"])
async def test_what_was_in_flight_is_settled_by_its_contract_and_listed(
    stanchion: Stanchion, tool: str, more: dict[str, Any], contract: str, outcome: str, scope: str
) -> None:
    handle, _ = await at_work(stanchion, tool, more)
    ordered = await halt(stanchion, scope, handle.id if scope == "run" else tool)
    if scope == "tool" and outcome == "unknown":
        await stanchion.decide(handle, "happened")
        outcome = "done"
    await stanchion.outcome(handle)
    [left] = await halts(stanchion).in_flight(ordered.notice.halt_id)
    assert (left.contract, left.outcome) == (contract, outcome)
    assert WITNESS[f"{handle.id}/1.0"] <= 1
    await assert_sound(stanchion, handle.id)
    await assert_no_task_failed(handle)


async def test_a_probe_that_says_no_leaves_a_paused_call_to_be_performed_after_the_lift(stanchion: Stanchion) -> None:
    handle, name = await at_work(stanchion, "waits_but_checkable", {"happens": False})
    ordered = await halt(stanchion, "fleet")
    await word(handle, "paused")
    assert await stanchion.results(handle.id) == {}
    RELEASE[name].set()
    for by in ("lee", "kim"):
        await halts(stanchion).lift(LiftOrder(halt_id=ordered.notice.halt_id, by=by))
    await handle.signal("resume", {"halt": ordered.notice.halt_id})
    assert (await stanchion.outcome(handle))["status"] == "completed"
    assert await stanchion.results(handle.id) == {"1.0": "released"}


async def test_no_model_is_asked_for_a_halted_run(stanchion: Stanchion) -> None:
    await halt(stanchion, "tenant", "acme")
    handle = await stanchion.start(await stanchion.publish([{"text": "done"}]), tenant="acme")
    await word(handle, "paused")
    assert await stanchion.value("SELECT count(*) FROM steps WHERE run_id = $1", handle.id) == 0
    other = await stanchion.run(await stanchion.publish([{"text": "done"}]), tenant="other")
    assert other["status"] == "completed"


async def test_resuming_a_run_by_hand_does_not_get_it_past_a_halt(stanchion: Stanchion) -> None:
    await halt(stanchion, "tenant", "acme")
    handle = await stanchion.start(await stanchion.publish([{"text": "done"}]), tenant="acme")
    await word(handle, "paused")
    await handle.signal("resume", {"by": "ana"})

    async def twice() -> bool:
        return len(await facts(stanchion, handle.id, "planned")) == 0 and bool(
            (await handle.query("status"))["status"] == "paused"
        )

    await eventually(twice, "paused again")
    assert await stanchion.value("SELECT count(*) FROM steps WHERE run_id = $1", handle.id) == 0


async def test_one_person_cannot_lift_a_halt_of_the_fleet_and_two_can(stanchion: Stanchion) -> None:
    ordered = await halt(stanchion, "fleet")
    lift = LiftOrder(halt_id=ordered.notice.halt_id, by="lee")
    assert not (await halts(stanchion).lift(lift)).lifted
    assert not (await halts(stanchion).lift(lift.model_copy(update={"by": " LEE "}))).lifted
    assert len(await halts(stanchion).active()) == 1
    both = await halts(stanchion).lift(lift.model_copy(update={"by": "kim"}))
    assert both.lifted and both.by == ("lee", "kim")
    assert await halts(stanchion).active() == []


async def test_the_word_of_somebody_who_was_revoked_since_lifts_no_halt_of_the_fleet(stanchion: Stanchion) -> None:
    people = Principals(stanchion.parts.database)
    for name in ("lee", "kim", "mo"):
        await people.add("*", name, [], None, "root")
    ordered = await halts(stanchion).order(HaltOrder(scope="fleet", by="lee"))
    lift = LiftOrder(halt_id=ordered.notice.halt_id, by="mo")
    assert not (await halts(stanchion).lift(lift)).lifted
    await people.revoke("*", "mo")
    one = await halts(stanchion).lift(lift.model_copy(update={"by": "kim"}))
    assert not one.lifted and one.by == ("kim",)
    assert (await halts(stanchion).lift(lift.model_copy(update={"by": "lee"}))).by == ("kim", "lee")
    assert await halts(stanchion).active() == []


async def test_an_order_to_lift_counts_no_more_once_its_key_is_revoked_and_anew_with_another(
    stanchion: Stanchion,
) -> None:
    people, old, new = Principals(stanchion.parts.database), Signer.of(new_key()), Signer.of(new_key())
    await people.add("*", "mo", [], None, "root")
    for signer in (old, new):
        await people.add_key(signer.public, "person", "*", "mo", "root")
    ordered = await halts(stanchion).order(HaltOrder(scope="fleet", by="lee"))

    async def lifted(by: str, signer: Signer | None = None) -> bool:
        order = LiftOrder(halt_id=ordered.notice.halt_id, by=by)
        if signer:
            order = order.model_copy(update={"key": signer.key_id, "at": datetime.now(UTC)})
            order = order.model_copy(update={"signature": sign(signer.private, order.statement())})
        return (await halts(stanchion).lift(order)).lifted

    assert not await lifted("mo", old)
    await people.revoke_key(old.key_id)
    assert not await lifted("kim")
    assert await lifted("mo", new)


async def test_where_signatures_count_nobody_lifts_without_one(systems: Any) -> None:
    system = systems(dangerously_accept_unsigned_decisions=False)
    ordered = await halt(system, "agent", "it-support")  # stopping needs none
    assert ordered.proof == "unsigned"
    with pytest.raises(LiftRefused, match="not signed"):
        await halts(system).lift(LiftOrder(halt_id=ordered.notice.halt_id, by="lee"))
    assert len(await halts(system).active()) == 1


async def test_two_lifts_at_once_lift_a_halt_of_the_fleet(stanchion: Stanchion) -> None:
    for _ in range(10):
        ordered = await halt(stanchion, "fleet")
        lifts = [LiftOrder(halt_id=ordered.notice.halt_id, by=by) for by in ("lee", "kim")]
        done = await asyncio.gather(*(halts(stanchion).lift(lift) for lift in lifts))
        assert sorted(one.lifted for one in done) == [False, True]
    assert await halts(stanchion).active() == []


async def test_two_halts_and_a_lift_at_once_leave_the_halt_that_nobody_lifted(stanchion: Stanchion) -> None:
    for _ in range(10):
        first = await halt(stanchion, "agent", "a")
        _, second, third = await asyncio.gather(
            halts(stanchion).lift(LiftOrder(halt_id=first.notice.halt_id, by="kim")),
            halt(stanchion, "agent", "a"),
            halt(stanchion, "tenant", "t"),
        )
        left = {one.notice.halt_id for one in await halts(stanchion).active()}
        assert left == {second.notice.halt_id, third.notice.halt_id}
        for one in (second, third):
            await halts(stanchion).lift(LiftOrder(halt_id=one.notice.halt_id, by="kim"))


async def test_whoever_holds_something_is_told_at_once_what_was_stopped(stanchion: Stanchion) -> None:
    told: list[tuple[InFlightCall, HaltNotice]] = []

    async def hook(flight: InFlightCall, notice: HaltNotice) -> None:
        told.append((flight, notice))

    def broken(flight: InFlightCall, notice: HaltNotice) -> None:
        raise RuntimeError("a hook that fails")

    stanchion.parts.watch.on_stop(broken)
    stanchion.parts.watch.on_stop(hook)
    handle, _ = await at_work(stanchion)
    ordered = await halt(stanchion, "run", handle.id)
    await stanchion.outcome(handle)
    [(flight, notice)] = told
    assert (flight.run_id, flight.call_id, notice.halt_id) == (handle.id, "1.0", ordered.notice.halt_id)


async def test_no_reviewer_is_asked_for_a_halted_run(stanchion: Stanchion) -> None:
    yes = [{"text": '{"verdict": "approve", "reason": "fine"}'}]
    reviewer = (await stanchion.publish(yes)).definition.name
    rules = {"tools": {"send": {"people": 2, "reviewer": reviewer}}}
    turns = [{"tools": [{"name": "send", "input": {"to": "bo@acme.example"}}]}, {"text": "done"}]
    handle = await stanchion.start(await stanchion.publish(turns, "send", approvals=rules))
    await stanchion.approval(handle)
    await halt(stanchion, "run", handle.id)
    [row] = await stanchion.rows("SELECT approval_id FROM approvals WHERE run_id = $1", handle.id)
    await stanchion.rows("DROP TRIGGER reviews_append_only ON reviews")
    await stanchion.rows("DELETE FROM reviews")
    request = ReviewRequest(run_id=handle.id, approval_id=row["approval_id"])
    given = await stanchion.parts.reviews.give(request)
    assert given.verdict == "none" and "was halted by lee" in given.reason
    await handle.signal("halt")
