"""The reaper: runs that cannot close themselves are closed, whatever they died of, and the log says why."""

import asyncio
from datetime import timedelta
from typing import Any

from activities.ledger.ledger import Ledger
from activities.runs.reaper import Reaper
from tests.halts.test_halts import at_work, halt
from tests.harness.checks import assert_sound, facts
from tests.harness.models import ASKED, HOLD
from tests.harness.stanchion import Stanchion, eventually, unique
from tests.harness.toolbox import WITNESS
from workflows.contracts.runs import CloseRequest, RunOutcome

COPIED = """INSERT INTO {table} SELECT (json_populate_record(NULL::{table},
    (to_jsonb(t) || jsonb_build_object('run_id', $2::text))::json)).* FROM {table} t WHERE run_id = $1"""


async def reap(stanchion: Stanchion) -> Any:
    return await stanchion.client.execute_workflow(
        "ReaperWorkflow", id=unique("reaper"), task_queue=stanchion.settings.task_queue
    )


async def test_a_run_that_timed_out_is_closed_with_its_approval_and_the_reason(stanchion: Stanchion) -> None:
    turns = [{"tools": [{"name": "send", "input": {"to": "bo@acme.example"}}]}, {"text": "done"}]
    agent = await stanchion.publish(turns, "send")
    handle = await stanchion.client.start_workflow(
        "AgentWorkflow",
        {"agent": agent.definition.name, "goal": "do it"},
        id=f"agent/{agent.definition.name}/{unique('run')}",
        task_queue=stanchion.settings.task_queue,
        execution_timeout=timedelta(seconds=4),
    )
    await stanchion.approval(handle)

    async def closed() -> bool:
        report = await reap(stanchion)
        return handle.id in report.get("closed", ())

    await eventually(closed, "the reaper found it")
    [end] = await facts(stanchion, handle.id, "run.closed")
    assert (end["ending"]["rule"], end["ending"]["status"]) == ("timed out", "stopped")
    assert await stanchion.value("SELECT state FROM approvals WHERE run_id = $1", handle.id) == "withdrawn"
    await assert_sound(stanchion, handle.id)


async def test_a_run_that_temporal_lost_is_closed_and_its_claim_is_in_doubt(stanchion: Stanchion) -> None:
    handle, _ = await at_work(stanchion)
    lost = unique("lost")  # the tables hold a run that no server ever heard of
    for table in ("runs", "calls", "effects", "transcript"):
        await stanchion.rows(COPIED.format(table=table), handle.id, lost)
    report = await reap(stanchion)
    assert lost in report["closed"]
    [doubt] = await facts(stanchion, lost, "outcome.unknown")
    [end] = await facts(stanchion, lost, "run.closed")
    assert end["ending"]["rule"] == "lost" and doubt["reason"].startswith("the run ended: lost")
    assert await stanchion.value("SELECT state FROM effects WHERE run_id = $1", lost) == "unknown"
    await handle.terminate()


async def test_a_dead_run_that_cannot_be_closed_does_not_keep_the_others_open(stanchion: Stanchion) -> None:
    dead = [(await at_work(stanchion))[0] for _ in range(2)]
    for handle in dead:
        await handle.terminate()
    first = min(handle.id for handle in dead)

    async def close(request: CloseRequest) -> RunOutcome:
        if request.run_id == first:
            raise ValueError("it cannot be closed")
        return await stanchion.parts.runs.close(request)

    report = await Reaper(stanchion.parts.database).reap(stanchion.client, close)
    assert set(report.closed) == {handle.id for handle in dead} - {first}
    assert (await Reaper(stanchion.parts.database).reap(stanchion.client, stanchion.parts.runs.close)).closed == (
        first,
    )


async def test_the_halt_of_a_run_that_has_ended_is_in_force_no_more(stanchion: Stanchion) -> None:
    handle, _ = await at_work(stanchion)
    await halt(stanchion, "run", handle.id)
    await stanchion.outcome(handle)
    assert await stanchion.value("SELECT count(*) FROM halts WHERE lifted_at IS NULL") == 1
    await stanchion.rows("UPDATE runs SET closed_at = now() - interval '2 minutes' WHERE run_id = $1", handle.id)
    assert "ended" not in await reap(stanchion)  # it had ended by itself
    assert await stanchion.value("SELECT count(*) FROM halts WHERE lifted_at IS NULL") == 0
    assert WITNESS[f"{handle.id}/1.0"] == 1


async def used(stanchion: Stanchion, unit: str, run_id: str | None = None) -> tuple[int, int]:
    """What is settled and what is reserved of a unit: of a run's own window, or of the tenant's."""
    [row] = await stanchion.rows(
        "SELECT sum(settled)::int, sum(reserved)::int FROM windows "
        "WHERE unit = $1 AND scope = $2 AND ($3 = '' OR key = $3)",
        unit,
        "run" if run_id else "tenant",
        run_id or "",
    )
    return (row[0], row[1])


async def test_what_a_dead_run_held_is_counted_where_something_may_have_happened_and_freed_where_nothing_did(
    stanchion: Stanchion,
) -> None:
    acted, _ = await at_work(stanchion)
    looked, _ = await at_work(stanchion, "looks_until_released")
    goal = unique("goal")
    HOLD[goal] = asyncio.Event()
    asking = await stanchion.start(await stanchion.publish("scripted:tests.harness.models:repeats_what_was_said"), goal)

    async def asked() -> bool:
        return ASKED[goal] > 0

    await eventually(asked, "a model is being asked")
    ceiling = (await used(stanchion, "tokens", asking.id))[1]
    assert ceiling > 0 and await used(stanchion, "slots") == (0, 3)
    dead = (acted, looked, asking)
    for handle in dead:
        await handle.terminate(reason="somebody was in a hurry")
    assert set((await reap(stanchion))["closed"]) == {handle.id for handle in dead}
    assert await used(stanchion, "slots") == (0, 0)
    for handle in dead:
        [end] = await facts(stanchion, handle.id, "run.closed")
        assert end["ending"]["rule"] == "terminated"
        assert (await used(stanchion, "minutes", handle.id))[1] == 0
    assert await used(stanchion, "calls", acted.id) == (0, 1)  # nobody knows, so it counts
    assert await used(stanchion, "calls", looked.id) == (0, 0)  # a read that was cut off did nothing
    assert await used(stanchion, "tokens", asking.id) == (ceiling, 0)  # the vendor may have billed it
    await Ledger(stanchion.parts.database).reconcile()
    left = await stanchion.rows("SELECT hold_id, state FROM holds WHERE state IN ('reserved', 'lost')")
    assert [tuple(row) for row in left] == [(f"{acted.id}/1.0", "lost")]
    HOLD[goal].set()


async def test_a_terminated_run_is_found_in_one_pass_though_it_is_not_in_the_batch(stanchion: Stanchion) -> None:
    turns = [{"tools": [{"name": "send", "input": {"to": "bo@acme.example"}}]}, {"text": "done"}]
    agent = await stanchion.publish(turns, "send")
    first, second = await stanchion.start(agent), await stanchion.start(agent)
    for handle in (first, second):
        await stanchion.approval(handle)
    await stanchion.rows("UPDATE runs SET checked_at = now() - interval '3 days' WHERE run_id = $1", second.id)
    await second.terminate()
    reaper = Reaper(stanchion.parts.database, batch=1)

    async def found() -> bool:  # Temporal's list is late by a moment
        await stanchion.rows("UPDATE runs SET checked_at = '-infinity' WHERE run_id = $1", first.id)
        report = await reaper.reap(stanchion.client, stanchion.parts.runs.close)
        assert first.id not in report.closed
        return second.id in report.closed

    await eventually(found, "the reaper found the terminated run")
    await first.terminate()


async def test_a_reaper_judges_the_runs_of_its_own_temporal_only(stanchion: Stanchion) -> None:
    handle = await stanchion.start(await stanchion.publish([{"tools": [{"name": "wait", "input": {"minutes": 600}}]}]))
    other = unique("other")  # a run of another Temporal, which this one has never heard of

    async def asleep() -> bool:
        return bool((await handle.query("status"))["status"] == "sleeping")

    await eventually(asleep, "the run sleeps")
    assert "/" in await stanchion.value("SELECT engine FROM runs WHERE run_id = $1", handle.id)
    await stanchion.rows(COPIED.format(table="runs"), handle.id, other)
    await stanchion.rows("UPDATE runs SET engine = 'another/default' WHERE run_id = $1", other)
    assert other not in (await reap(stanchion)).get("closed", ())
    await stanchion.rows("UPDATE runs SET engine = '' WHERE run_id = $1", other)
    assert other in (await reap(stanchion)).get("closed", ())
    await handle.signal("halt", {})
    await stanchion.outcome(handle)
