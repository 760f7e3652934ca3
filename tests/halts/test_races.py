"""Halts that race with what people and processes do at the same moment: decisions, kills, a Postgres that goes away."""

import asyncio
import random
from typing import Any

import pytest

from activities.halts.halts import Halt, HaltOrder, Halts
from activities.halts.notify_runs import notify_halted
from tests.halts.test_halts import halts
from tests.harness.checks import assert_sound
from tests.harness.proxy import Proxy
from tests.harness.stanchion import Stanchion, eventually
from tests.harness.toolbox import WITNESS
from workers.worker import build
from workflows.contracts.drills import DrillReport, DrillRequest

pytestmark = pytest.mark.slow

SENDS = [{"tools": [{"name": "send", "input": {"to": "bo@acme.example"}}]}, {"text": "done"}]
NOTES = 8


async def test_an_approval_and_a_halt_at_once_perform_before_the_halt_or_not_at_all(stanchion: Stanchion) -> None:
    agent = await stanchion.publish(SENDS, "send")
    handles = [await stanchion.start(agent) for _ in range(8)]
    for handle in handles:
        await stanchion.approval(handle)
    dice = random.Random(7)

    async def approved(handle: Any) -> None:
        await asyncio.sleep(dice.random() * 0.1)
        await stanchion.decide(handle, "approve")

    async def halted(run_id: str) -> Halt:
        await asyncio.sleep(dice.random() * 0.1)
        return await halts(stanchion).order(HaltOrder(scope="run", target=run_id, by="lee"))

    deciding = [asyncio.create_task(approved(handle)) for handle in handles]
    ordered = await asyncio.gather(*(halted(handle.id) for handle in handles))
    for handle, halt in zip(handles, ordered, strict=True):
        await notify_halted(stanchion.client, halt.notice)
        assert (await stanchion.outcome(handle))["status"] in ("stopped", "completed", "cancelled")
    await asyncio.gather(*deciding, return_exceptions=True)  # some runs had ended before their answer came
    for handle, halt in zip(handles, ordered, strict=True):
        claims = await stanchion.rows("SELECT at FROM events WHERE run_id = $1 AND kind = 'call.claimed'", handle.id)
        assert all(claim["at"] <= halt.at for claim in claims)
        assert WITNESS[f"{handle.id}/1.0"] <= len(claims) <= 1
        await assert_sound(stanchion, handle.id)


async def test_a_decoy_that_somebody_kills_during_a_drill_is_closed_and_the_drill_goes_on(
    stanchion: Stanchion,
) -> None:
    playing = asyncio.create_task(stanchion.parts.drills.play(stanchion.client, DrillRequest(runs=6)))

    async def at_work() -> str | None:
        if playing.done():
            await playing  # and raise what it died of
        run_id: str | None = await stanchion.value(
            "SELECT run_id FROM effects WHERE tool = 'work_in_a_process' AND state = 'claimed' "
            "AND EXISTS (SELECT FROM halts)"
        )
        return run_id

    killed = await eventually(at_work, "a decoy is at work under the halt")
    await stanchion.client.get_workflow_handle(killed).terminate(reason="killed in the middle of a drill")
    report: DrillReport = await playing
    assert report.passed, report.why
    await stanchion.client.execute_workflow(
        "ReaperWorkflow", id=f"reaper-of-{report.drill_id}", task_queue=stanchion.settings.task_queue
    )
    assert await stanchion.value("SELECT count(*) FROM runs WHERE status = 'open'") == 0
    assert await Halts(stanchion.parts.database).active() == []


async def test_while_postgres_is_away_a_run_at_work_begins_nothing_and_then_goes_on_where_it_was(
    systems: Any, database_url: str
) -> None:
    proxy = await Proxy(database_url).up()
    stanchion = systems()
    stanchion.parts = build(stanchion.settings, proxy.url)
    try:
        turns = [{"tools": [{"name": "note", "input": {"text": f"note {n}"}}]} for n in range(NOTES)]
        agent = await stanchion.publish([*turns, {"text": "done"}], "note", "take_back")
        await stanchion.up()
        handle = await stanchion.start(agent)

        def noted() -> int:
            return sum(WITNESS[f"{handle.id}/{step}.0"] for step in range(1, NOTES + 1))

        async def begun() -> bool:
            return noted() >= 2

        await eventually(begun, "it has begun")
        proxy.cut()
        before = noted()

        async def tried() -> bool:
            return proxy.turned_away >= 10

        await eventually(tried, "it tried to go on")
        assert noted() <= before + 1  # one may have been claimed before Postgres went away
        proxy.mend()
        assert (await stanchion.outcome(handle))["status"] == "completed"
        assert noted() == NOTES
        await assert_sound(stanchion, handle.id)
    finally:
        proxy.mend()
        await stanchion.close()
        await proxy.down()
