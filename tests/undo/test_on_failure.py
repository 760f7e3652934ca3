"""`on_failure: undo`: a run that fails takes back what it did; one that a person ends does not."""

import pytest

from activities.agents.definition import DefinitionInvalid
from activities.undo.orders import RollbackRefused
from tests.harness.checks import assert_no_task_failed
from tests.harness.stanchion import Stanchion
from tests.undo.rolling import begun, ran, turn
from tests.undo.tools import done_by

PUTS = [turn(("put", {"name": name})) for name in ("a", "bb", "ccc")]


async def test_a_run_that_a_limit_stops_takes_back_what_it_did(stanchion: Stanchion) -> None:
    handle = await begun(stanchion, PUTS, "put", "drop", on_failure="undo", on_budget="stop", budget={"tool_calls": 2})
    outcome = await stanchion.outcome(handle)
    assert (outcome["status"], outcome["reason"].split(":")[0]) == ("stopped", "budget.tool_calls")
    rollback = stanchion.client.get_workflow_handle(handle.id.replace("/run-", "/rollback-of-run-"))
    assert (await stanchion.outcome(rollback))["status"] == "completed"
    assert (done_by(handle.id), done_by(rollback.id)) == (["put a", "put bb"], ["drop bb-2", "drop a-1"])
    [row] = await stanchion.rows("SELECT by, proof, reason FROM rollbacks")
    assert (row["by"], row["proof"]) == ("ana", "definition")
    await assert_no_task_failed(handle)
    assert await stanchion.value("SELECT requester FROM runs WHERE run_id = $1", rollback.id) == "ana"


async def test_a_run_that_fails_takes_back_what_it_did_and_one_that_completes_does_not(stanchion: Stanchion) -> None:
    turns = [PUTS[0], {"error": {"kind": "garbled", "times": 99, "retry_after": 0.1}}]
    failed = await ran(stanchion, turns, "put", "drop", on_failure="undo")
    rollback = stanchion.client.get_workflow_handle(failed.id.replace("/run-", "/rollback-of-run-"))
    await stanchion.outcome(rollback)
    assert done_by(rollback.id) == ["drop a-1"]
    fine = await ran(stanchion, PUTS, "put", "drop", on_failure="undo")
    assert await stanchion.value("SELECT count(*) FROM rollbacks WHERE of_run = $1", fine.id) == 0


@pytest.mark.parametrize("how", ["halt", "cancel"])
async def test_who_ends_a_run_says_himself_whether_it_is_taken_back(stanchion: Stanchion, how: str) -> None:
    turns = [PUTS[0], turn(("send", {"to": "bo@acme.example"}))]
    handle = await begun(stanchion, turns, "put", "drop", "send", on_failure="undo")
    await stanchion.approval(handle)
    await (handle.signal("halt", {"by": "lee"}) if how == "halt" else handle.cancel())
    await stanchion.outcome(handle)
    assert await stanchion.value("SELECT count(*) FROM rollbacks") == 0


async def test_a_run_that_failed_before_it_did_anything_starts_no_rollback(stanchion: Stanchion) -> None:
    turns = [{"error": {"kind": "garbled", "times": 99, "retry_after": 0.1}}]
    handle = await ran(stanchion, turns, "put", "drop", on_failure="undo")
    assert await stanchion.value("SELECT count(*) FROM rollbacks") == 0
    assert (await stanchion.outcome(handle))["status"] == "failed"


async def test_a_rollback_that_cannot_be_started_changes_nothing_about_how_the_run_ended(
    stanchion: Stanchion, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(*_: object) -> None:
        raise RollbackRefused("not now")

    monkeypatch.setattr(stanchion.parts.undo._planner, "report", refuses)
    handle = await begun(stanchion, PUTS, "put", "drop", on_failure="undo", on_budget="stop", budget={"tool_calls": 1})
    outcome = await stanchion.outcome(handle)
    assert outcome["reason"].startswith("budget.tool_calls")


async def test_an_agent_that_takes_back_needs_the_tools_that_do(stanchion: Stanchion) -> None:
    with pytest.raises(DefinitionInvalid, match="put is undone by 'drop'; name it among its tools"):
        await begun(stanchion, PUTS, "put", on_failure="undo")
    with pytest.raises(DefinitionInvalid, match="none of its tools declares an undo"):
        await begun(stanchion, PUTS, "send", on_failure="undo")
