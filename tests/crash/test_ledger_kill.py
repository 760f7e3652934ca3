"""kill -9 of workers while many runs want more than their tenant may use: what happened is what was allowed."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from activities.ledger.ledger import SQL, Ledger
from tests.activities.spending import assert_held
from tests.crash import tools
from tests.crash.victims import doomed
from tests.crash.witness import Witness, witnessing
from tests.harness.checks import assert_sound
from tests.harness.stanchion import Stanchion, eventually, unique
from workers.services import Services

PATIENCE = 600.0  # seconds; interpreters start, die and are found dead, on a machine that may be busy
RUNS, CALLS, CAP = 100, 2, 10


@dataclass
class Place:
    """A system that is not up yet, and workers in processes of their own that die where they are told to."""

    witness: Witness
    system: Stanchion
    temporal: str
    folder: Path
    victims: list[asyncio.subprocess.Process]

    async def victim(self, die_at: str) -> None:
        """A worker that dies the first time it gets there."""
        marker = self.folder / unique("marker")
        self.victims.append(await doomed(self.system, self.temporal, self.witness, die_at, marker))

    async def died(self) -> None:
        """All of them are dead, by their own hand."""
        ends = await asyncio.wait_for(asyncio.gather(*(victim.wait() for victim in self.victims)), PATIENCE)
        assert ends == [-signal.SIGKILL] * len(ends)

    async def cap(self, most: int) -> None:
        """So many calls a day for the tenant of all runs."""
        place = {"tenant": "default", "scope": "tenant", "key": "*", "unit": "calls", "class": "write", "period": "day"}
        await SQL["set_cap"].row(self.system.parts.database, cap=most, by="lee", **place)

    async def window(self) -> tuple[int, int]:
        """(settled, reserved) of the tenant's day."""
        [row] = await self.system.rows(
            "SELECT settled, reserved FROM windows WHERE scope = 'tenant' AND class = 'write'"
        )
        return row["settled"], row["reserved"]


@pytest_asyncio.fixture
async def place(systems: Callable[..., Stanchion], services: Services, tmp_path: Path) -> AsyncIterator[Place]:
    async with witnessing() as witness:
        system = systems(tool_settings={"witness": witness.url})
        made = Place(witness, system, services.temporal.address, tmp_path, [])
        yield made
        for victim in made.victims:
            if victim.returncode is None:
                victim.kill()
                await victim.wait()


async def test_workers_killed_in_the_middle_neither_lose_nor_overspend_what_a_tenant_may_use(place: Place) -> None:
    await place.cap(CAP)
    turns = [{"tools": [{"name": "idempotent", "input": {"number": n}} for n in range(CALLS)]}, {"text": "done"}]
    agent = await place.system.publish(turns, "idempotent", "undo", module=tools.MODULE)
    for point in ("after-claim", "after-effect", "after-settle"):
        await place.victim(point)
    handles = await asyncio.gather(*(place.system.start(agent) for _ in range(RUNS)))
    await place.died()
    await place.system.up()
    outcomes = await asyncio.wait_for(asyncio.gather(*(handle.result() for handle in handles)), PATIENCE)
    assert {outcome["status"] for outcome in outcomes} == {"completed"}
    assert sum(place.witness.effects.values()) == CAP == len(place.witness.effects)
    rows = await place.system.rows(
        "SELECT result::json ->> 'rule' AS rule, left(result::text, 300) AS result FROM effects"
    )
    refused = Counter(row["rule"] for row in rows if row["rule"])
    assert refused == {"budget.calls.tenant.day": RUNS * CALLS - CAP}, [row["result"] for row in rows if row["rule"]]
    assert await place.window() == (CAP, 0)
    await assert_held(place.system)
    await asyncio.gather(*(assert_sound(place.system, handle.id) for handle in handles[:10]))


async def test_a_hold_whose_owner_died_is_counted_until_someone_says_what_happened(place: Place) -> None:
    await place.cap(1)
    turns = [{"tools": [{"name": "irreversible", "input": {}}]}, {"text": "done"}]
    agent = await place.system.publish(turns, "irreversible", "undo", module=tools.MODULE)
    await place.victim("after-claim")
    lost = await place.system.start(agent)
    await place.died()
    await place.system.up()
    await place.system.approval(lost)
    await place.system.rows("UPDATE holds SET expires_at = now() - interval '1 second' WHERE hold_id LIKE '%/1.0'")
    assert await Ledger(place.system.parts.database).reconcile() == 1
    assert await place.system.value("SELECT state FROM holds WHERE hold_id LIKE '%/1.0'") == "lost"
    assert await place.window() == (0, 1)
    other = await place.system.start(agent)
    assert (await place.system.outcome(other))["status"] == "completed"
    assert "budget.calls.tenant.day" in (await place.system.results(other.id))["1.0"]
    await place.system.decide(lost, "did-not")  # so it is tried again, on the hold that is there
    assert (await place.system.outcome(lost))["status"] == "completed"
    assert place.witness.effects == {f"{lost.id}/1.0": 1}
    assert await place.window() == (1, 0)
    await assert_held(place.system)


async def test_what_nobody_ever_explained_stays_counted_when_the_run_is_over(place: Place) -> None:
    await place.cap(1)
    turns = [{"tools": [{"name": "irreversible", "input": {}}]}, {"text": "done"}]
    agent = await place.system.publish(turns, "irreversible", "undo", module=tools.MODULE)
    await place.victim("after-claim")
    handle = await place.system.start(agent)
    await place.died()
    await handle.terminate()
    await place.system.up()
    queue = place.system.settings.task_queue

    async def reaped() -> bool:
        await place.system.client.execute_workflow("ReaperWorkflow", id=unique("reaper"), task_queue=queue)
        return bool(await place.system.value("SELECT status <> 'open' FROM runs WHERE run_id = $1", handle.id))

    await eventually(reaped, "the run is reaped")
    states = await place.system.rows("SELECT hold_id, state FROM holds WHERE run_id = $1", handle.id)
    found = {row["hold_id"].removeprefix(f"{handle.id}/"): row["state"] for row in states}
    assert found == {"slot": "settled", "step:1": "settled", "1.0": "lost"}
    assert await place.window() == (0, 1)
    assert await place.system.value("SELECT sum(reserved) FROM windows WHERE unit = 'slots'") == 0
