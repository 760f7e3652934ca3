"""A run goes on in fresh histories, whatever it is doing or waiting for."""

import asyncio
from collections.abc import Callable

from tests.harness.stanchion import Stanchion, eventually
from workflows.contracts.runs import RolloverCaps


async def test_a_paused_run_goes_on_in_a_fresh_history_and_stays_paused(systems: Callable[..., Stanchion]) -> None:
    system = await systems(rollover=RolloverCaps(events=1)).up()
    agent = await system.publish(
        [{"tools": [{"name": "wait", "input": {"minutes": 60}}]}, {"text": "done"}], name="paused-for-long"
    )
    handle = await system.start(agent)

    async def sleeping() -> bool:
        return bool((await handle.query("status"))["status"] == "sleeping")

    await eventually(sleeping, "the run sleeps")
    await handle.signal("pause", {"by": "lee"})
    for number in range(20):  # each is an event or more: the history comes of age while the run is paused
        await handle.signal("message", {"text": f"still there? {number}"})
        await asyncio.sleep(0.02)

    async def rolled_over() -> bool:
        return bool((await handle.query("status"))["rollovers"] >= 1)

    await eventually(rolled_over, "the paused run rolled over")
    assert (await handle.query("status"))["status"] == "paused"
    await handle.signal("resume", {"by": "lee"})
    assert (await system.outcome(handle))["status"] == "completed"
    said = [content for _, kind, _, content in await system.transcript(handle.id) if kind == "message"]
    assert [f"still there? {number}" in text for number, text in enumerate(said)] == [True] * 20
