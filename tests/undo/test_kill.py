"""kill -9 in the middle of a rollback: nothing is taken back twice, and what nobody knows is asked about."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.crash.victims import doomed
from tests.crash.witness import Witness, witnessing
from tests.harness.checks import assert_no_task_failed, assert_sound
from tests.harness.stanchion import Stanchion, unique
from tests.undo import crash_tools
from tests.undo.rolling import DONE, Handle, ordered, report, standings, turn
from workers.services import Services

pytestmark = pytest.mark.slow

PATIENCE = 120.0
CONTRACTS = ("idempotent", "checkable", "irreversible")


@dataclass
class Place:
    """A system, the witness, and workers in processes of their own that die where they are told to."""

    witness: Witness
    system: Stanchion
    temporal: str
    folder: Path
    victims: list[asyncio.subprocess.Process]

    async def done(self, contract: str, times: int = 2) -> Handle:
        """A run that acted so often, whose effects a tool of that contract takes back; its worker is gone."""
        name = f"back_by_{contract}"
        script = [*(turn((name, {"number": n})) for n in range(times)), DONE]
        agent = await self.system.publish(script, name, contract, "undo", module=crash_tools.MODULE)
        await self.system.up()
        handle = await self.system.start(agent)
        await self.system.outcome(handle)
        await self.system.down()
        return handle

    async def dies(self, at: str) -> None:
        """A worker takes over, and dies there."""
        marker = self.folder / unique("marker")
        died = await doomed(self.system, self.temporal, self.witness, at, marker)
        self.victims.append(died)
        assert await asyncio.wait_for(died.wait(), PATIENCE) == -signal.SIGKILL


@pytest_asyncio.fixture
async def places(
    systems: Callable[..., Stanchion], services: Services, tmp_path: Path
) -> AsyncIterator[Callable[[], Place]]:
    victims: list[asyncio.subprocess.Process] = []
    async with witnessing() as witness:

        def make() -> Place:
            system = systems(tool_settings={"witness": witness.url})
            return Place(witness, system, services.temporal.address, tmp_path, victims)

        yield make
        for victim in victims:
            if victim.returncode is None:
                victim.kill()
                await victim.wait()


@pytest.mark.parametrize("at", ["before-claim", "after-claim", "after-effect", "after-settle"])
async def test_killed_anywhere_in_an_undo_each_effect_is_taken_back_once(places: Callable[[], Place], at: str) -> None:
    async def check(place: Place, contract: str) -> None:
        handle = await place.done(contract)
        rollback = await ordered(place.system, handle.id)
        await place.dies(at)
        await place.system.up()
        if contract == "irreversible" and at in ("after-claim", "after-effect"):
            assert (await place.system.approval(rollback))["about"] == "unknown"
            await place.system.decide(rollback, "happened" if at == "after-effect" else "did-not", by="kim")
        outcome = await place.system.outcome(rollback)
        assert outcome["status"] == "completed", outcome
        keys = [f"{rollback.id}/{step}.0" for step in (1, 2)]
        assert {key: place.witness.effects[key] for key in keys} == dict.fromkeys(keys, 1)
        assert set(standings(await report(place.system, handle.id)).values()) == {"undone"}
        assert await place.system.value("SELECT count(*) FROM undos WHERE by_run = $1", rollback.id) == 2
        await assert_sound(place.system, rollback.id)
        await assert_no_task_failed(rollback)

    await asyncio.gather(*(check(places(), contract) for contract in CONTRACTS))
