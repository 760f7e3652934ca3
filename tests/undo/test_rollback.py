"""Rollbacks, from the order to the report, on a real system: what was done last is taken back first, once."""

from tests.harness.checks import assert_sound
from tests.harness.stanchion import Stanchion
from tests.undo.rolling import ordered, ran, report, standings, turn
from tests.undo.tools import AGAIN, done_by


async def test_effects_are_taken_back_in_reverse_order_by_calls_of_a_run_of_its_own(stanchion: Stanchion) -> None:
    turns = [turn(("put", {"name": "a"}), ("put", {"name": "bb"})), turn(("put", {"name": "ccc"}))]
    handle = await ran(stanchion, turns, "put", "drop")
    rollback = await ordered(stanchion, handle.id)
    outcome = await stanchion.outcome(rollback)
    assert outcome["status"] == "completed", outcome
    assert rollback.id == handle.id.replace("/run-", "/rollback-of-run-")
    assert done_by(handle.id) == ["put a", "put bb", "put ccc"]
    assert done_by(rollback.id) == ["drop ccc-3", "drop bb-2", "drop a-1"]
    assert AGAIN == []
    found = await report(stanchion, handle.id)
    assert standings(found) == {"2.0": "undone", "1.1": "undone", "1.0": "undone"}
    assert found.complete
    await assert_sound(stanchion, rollback.id)
