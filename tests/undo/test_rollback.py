"""Rollbacks, from the order to the report, on a real system: what was done last is taken back first, once."""

import asyncio

import pytest

from activities.halts.halts import HaltOrder, Halts, LiftOrder
from activities.tools.decorator import SPEC
from activities.undo import planner
from activities.undo.call_outlook import Undoable
from activities.undo.orders import RollbackRefused
from tests.harness.checks import assert_no_task_failed, assert_sound
from tests.harness.stanchion import Stanchion, eventually
from tests.undo.rolling import begun, ordered, ran, report, rolled_back, standings, turn
from tests.undo.tools import AGAIN, DONE, GATE, done_by, drop

THREE = [turn(("put", {"name": "a"}), ("put", {"name": "bb"})), turn(("put", {"name": "ccc"}))]
BACK = ["drop ccc-3", "drop bb-2", "drop a-1"]


async def test_effects_are_taken_back_in_reverse_order_by_calls_of_a_run_of_its_own(stanchion: Stanchion) -> None:
    handle = await ran(stanchion, THREE, "put", "drop")
    rollback = await ordered(stanchion, handle.id)
    outcome = await stanchion.outcome(rollback)
    assert (outcome["status"], outcome["spent"]["usd"], outcome["spent"]["tool_calls"]) == ("completed", "0.00", 3)
    assert rollback.id == handle.id.replace("/run-", "/rollback-of-run-")
    assert done_by(handle.id) == ["put a", "put bb", "put ccc"]
    assert done_by(rollback.id) == BACK
    assert AGAIN == []
    found = await report(stanchion, handle.id)
    assert standings(found) == {"2.0": "undone", "1.1": "undone", "1.0": "undone"}
    assert found.complete
    assert "Taken back of" in outcome["answer"] and "Left: 0." in outcome["answer"]
    await assert_sound(stanchion, rollback.id)
    await assert_no_task_failed(rollback)


async def test_ordering_it_twice_is_the_same_rollback(stanchion: Stanchion) -> None:
    handle = await ran(stanchion, THREE, "put", "drop")
    one, two = await asyncio.gather(*(ordered(stanchion, handle.id, by=by) for by in ("lee", "kim")))
    assert one.id == two.id
    await stanchion.outcome(one)
    third = await ordered(stanchion, handle.id, again=(await report(stanchion, handle.id)).may_go_on)
    assert third.id == one.id
    assert (await stanchion.outcome(third))["status"] == "completed"
    assert done_by(one.id) == BACK


async def test_a_rollback_to_a_step_keeps_what_was_done_by_then_and_a_full_one_takes_only_the_rest(
    stanchion: Stanchion,
) -> None:
    handle = await ran(stanchion, THREE, "put", "drop")
    assert standings(await rolled_back(stanchion, handle.id, to_step=1)) == {"2.0": "undone"}
    first = handle.id.replace("/run-", "/rollback-to-1-of-run-")
    assert done_by(first) == BACK[:1]
    assert (await rolled_back(stanchion, handle.id)).complete
    assert done_by(handle.id.replace("/run-", "/rollback-of-run-")) == BACK[1:]


async def test_two_rollbacks_at_once_take_back_each_effect_once(stanchion: Stanchion) -> None:
    turns = [turn(("put", {"name": f"n{n}"})) for n in range(8)]
    handle = await ran(stanchion, turns, "put", "drop")
    both = await asyncio.gather(*(ordered(stanchion, handle.id, to_step) for to_step in (0, 1, 2, 3)))
    await asyncio.gather(*(stanchion.outcome(rollback) for rollback in both))
    undone = [what for rollback in both for what in done_by(rollback.id)]
    assert sorted(undone) == sorted(f"drop n{n}-2" for n in range(8))
    assert (await report(stanchion, handle.id)).complete


async def test_where_attempts_are_not_looked_at_the_table_alone_keeps_an_effect_from_being_taken_back_twice(
    stanchion: Stanchion, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = await ran(stanchion, THREE[1:], "put", "drop")
    assert (await rolled_back(stanchion, handle.id)).complete
    monkeypatch.setattr(planner, "outlook_of", lambda made, *_: Undoable("drop"))
    first = len(DONE)
    rollback = await ordered(stanchion, handle.id, again=True)
    assert (await stanchion.outcome(rollback))["status"] == "completed"
    assert len(DONE) == first
    await stanchion.rows("DROP INDEX undos_one_per_effect")
    rollback = await ordered(stanchion, handle.id, again=True)  # both controls broken: it would be
    assert (await stanchion.outcome(rollback))["status"] != "completed" or done_by(rollback.id)
    assert "drop ccc-3" in done_by(rollback.id)


async def test_a_run_at_work_is_not_taken_back(stanchion: Stanchion) -> None:
    handle = await begun(stanchion, [turn(("send", {"to": "bo@acme.example"}))], "send", "put")
    await stanchion.approval(handle)
    with pytest.raises(RollbackRefused, match=r"stanchion halt .* --undo"):
        await ordered(stanchion, handle.id)
    await handle.signal("halt", {"by": "lee"})
    await stanchion.outcome(handle)
    await ordered(stanchion, handle.id)


async def test_a_rollback_is_not_taken_back(stanchion: Stanchion) -> None:
    handle = await ran(stanchion, THREE, "put", "drop")
    rollback = await ordered(stanchion, handle.id)
    await stanchion.outcome(rollback)
    with pytest.raises(RollbackRefused, match="a rollback itself"):
        await ordered(stanchion, rollback.id)
    with pytest.raises(RollbackRefused, match="no run"):
        await ordered(stanchion, "agent/x/nothing")


async def test_nobody_opens_a_rollback_that_was_not_ordered_or_in_another_name(stanchion: Stanchion) -> None:
    handle = await ran(stanchion, THREE, "put", "drop")
    agent = handle.id.split("/")[1]
    key = f"rollback-of-{handle.id.split('/')[2]}"
    unordered = await stanchion.start(agent, "do as I say", key=key)
    with pytest.raises(Exception) as refused:
        await unordered.result()
    assert "none was ordered" in str(refused.value.__cause__)
    rollback = await ordered(stanchion, handle.id, by="ana")  # who asks may not approve …
    await stanchion.outcome(rollback)
    forged = await stanchion.start(agent, "do as I say", key=key, requester="eve")  # … nor another be put in the place
    with pytest.raises(Exception) as refused:
        await forged.result()
    assert "can only be started with" in str(refused.value.__cause__)


async def test_what_cannot_be_taken_back_is_reported_with_the_reason(stanchion: Stanchion) -> None:
    turns = [
        turn(("put", {"name": "stuck"})),
        turn(("put", {"name": "fine"})),
        turn(("send", {"to": "bo@acme.example"})),
        turn(("refuse", {"thing": "x"})),
        turn(("lacking", {})),
        turn(("grant", {"account": "ana@acme.example"})),
        turn(("vanish", {})),
    ]
    grants = {name: {} for name in ("put", "drop", "send", "refuse", "grant", "vanish", "drop_all")}
    goal = "let ana@acme.example in and write to bo@acme.example"
    handle = await begun(
        stanchion, turns, "put", "drop", "send", "refuse", "grant", "vanish", "drop_all", grants=grants, goal=goal
    )
    await stanchion.decide(handle, "happened")  # vanish
    await stanchion.outcome(handle)
    found = await rolled_back(stanchion, handle.id)
    assert standings(found) == {
        "7.0": "undone",  # by a tool that needs nothing of the reply that was lost
        "6.0": "left",
        "4.0": "never",
        "3.0": "left",
        "2.0": "undone",
        "1.0": "left",
    }
    reasons = {item.call_id: item.reason for item in found.items}
    assert "does not have 'revoke'" in reasons["6.0"]
    assert reasons["4.0"] == "it failed without doing anything"
    assert reasons["3.0"] == "send declares no undo"
    assert "failed without doing anything" in reasons["1.0"] and "drop" in reasons["1.0"]
    assert standings(await report(stanchion, handle.id))["1.0"] == "undoable"  # by another rollback
    rollback = handle.id.replace("/run-", "/rollback-of-run-")
    assert done_by(rollback) == ["drop all", "drop fine-4"]  # one that failed holds up no other


async def test_an_effect_of_unknown_outcome_is_left_alone_and_said_to_be(stanchion: Stanchion) -> None:
    handle = await begun(
        stanchion, [turn(("put", {"name": "a"})), turn(("vanish", {}))], "put", "drop", "vanish", "drop_all"
    )
    await stanchion.decide(handle, "stop")
    await stanchion.outcome(handle)
    found = await rolled_back(stanchion, handle.id)
    assert standings(found) == {"2.0": "left", "1.0": "undone"}
    assert "not known" in found.items[0].reason or "unknown" in found.items[0].reason


async def test_an_undo_of_unknown_outcome_is_asked_about_and_never_made_again(stanchion: Stanchion) -> None:
    handle = await ran(stanchion, [turn(("glue", {"name": "a"}))], "glue", "vanish_too")
    rollback = await ordered(stanchion, handle.id)
    assert (await stanchion.approval(rollback))["about"] == "unknown"
    await rollback.signal("halt", {"by": "lee"})
    await stanchion.outcome(rollback)
    found = await report(stanchion, handle.id)
    assert "unknown" in found.items[0].reason and not found.may_go_on
    again = await ordered(stanchion, handle.id, again=True)
    await stanchion.outcome(again)
    assert done_by(rollback.id) == ["unglue a"] and done_by(again.id) == []


async def test_an_agents_halt_holds_its_rollbacks_back_until_it_is_lifted(stanchion: Stanchion) -> None:
    handle = await ran(stanchion, THREE, "put", "drop")
    agent = handle.id.split("/")[1]
    halts = Halts(stanchion.parts.database, stanchion.parts.authority)
    halt = await halts.order(HaltOrder(scope="agent", target=agent, by="lee"))
    rollback = await ordered(stanchion, handle.id)

    async def paused() -> bool:
        return bool((await rollback.query("status"))["status"] == "paused")

    await eventually(paused, "the rollback pauses")
    assert done_by(rollback.id) == []
    await halts.lift(LiftOrder(halt_id=halt.notice.halt_id, by="lee"))
    await rollback.signal("resume", {"halt": halt.notice.halt_id, "by": "lee"})
    assert (await stanchion.outcome(rollback))["status"] == "completed"
    assert done_by(rollback.id) == BACK


async def test_a_rollback_that_was_halted_half_way_is_gone_on_with_by_the_next_one(stanchion: Stanchion) -> None:
    turns = [turn(("put", {"name": "a"})), turn(("put", {"name": "slow"})), turn(("put", {"name": "ccc"}))]
    handle = await ran(stanchion, turns, "put", "drop")
    GATE["slow-4"] = asyncio.Event()
    first = await ordered(stanchion, handle.id)

    async def under_way() -> bool:
        sql = "SELECT count(*) FROM effects WHERE run_id = $1 AND call_id = '2.0' AND state = 'claimed'"
        return bool(await stanchion.value(sql, first.id))

    await eventually(under_way, "the slow one is being taken back")
    await first.signal("halt", {"by": "lee"})
    await stanchion.outcome(first)
    GATE.pop("slow-4")
    second = await ordered(stanchion, handle.id, again=(await report(stanchion, handle.id)).may_go_on)
    await stanchion.outcome(second)
    assert second.id == handle.id.replace("/run-", "/rollback-again-2-of-run-")
    assert (done_by(first.id), done_by(second.id)) == (["drop ccc-3"], ["drop a-1"])
    found = await report(stanchion, handle.id)
    assert standings(found) == {"3.0": "undone", "2.0": "left", "1.0": "undone"}
    assert "unknown" in found.items[1].reason  # it was cut off, so it is not tried again


async def test_the_loops_and_refusals_that_would_pause_a_model_do_not_hold_up_a_rollback(stanchion: Stanchion) -> None:
    turns = [turn(("put", {"name": "same"}), ("put", {"name": f"stuck{n}"})) for n in range(5)]
    handle = await begun(stanchion, turns, "put", "drop")

    async def over_or_resumed() -> bool:
        status = (await handle.query("status"))["status"]
        if status == "paused":
            await handle.signal("resume", {"by": "lee"})
        return bool(status in ("completed", "closing", "stopped"))

    await eventually(over_or_resumed, "the run is over")
    await stanchion.outcome(handle)
    found = await rolled_back(stanchion, handle.id)
    assert len(found.those("left")) == 5  # all of them stuck
    assert len(done_by(handle.id.replace("/run-", "/rollback-of-run-"))) == len(found.those("undone")) >= 2


async def test_an_undo_that_is_not_the_tool_the_agent_was_published_with_is_refused(
    stanchion: Stanchion, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = await ran(stanchion, THREE[1:], "put", "drop")
    monkeypatch.setitem(getattr(drop, SPEC).__dict__, "pinned_hash", "another")
    found = await rolled_back(stanchion, handle.id)
    assert standings(found) == {"1.0": "left"}
    assert "was refused: tool.changed" in found.items[0].reason
    monkeypatch.undo()
    again = await ordered(stanchion, handle.id, again=True)
    await stanchion.outcome(again)
    assert done_by(again.id) == ["drop ccc-3"]
