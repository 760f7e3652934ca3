"""The off switch while Temporal is stopped, or takes connections and answers nothing: it needs Postgres alone."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client

from activities.drills import drill
from activities.halts.halts import Halt, HaltOrder, Halts
from tests.halts.test_halts import at_work, halt
from tests.harness.checks import assert_sound
from tests.harness.stanchion import Stanchion, eventually
from workers.plugin import stanchion_plugin
from workers.services import Home, ensure_temporal, reach, register_search_attributes, stop_services
from workers.services.temporal import stop_temporal
from workflows.contracts.drills import HARD_SECONDS, DrillRequest
from workflows.search import SEARCH_ATTRIBUTES

pytestmark = pytest.mark.slow

FROZEN_SECONDS = 3.0  # far longer than a stop may take, shorter than the drill looks


@pytest_asyncio.fixture
async def own_temporal(tmp_path_factory: Any) -> AsyncIterator[tuple[Home, Client]]:
    """A Temporal of this test's own, which it may stop."""
    home = Home(Path(tmp_path_factory.mktemp("own")))
    client = await started(home)
    yield home, client
    await stop_services(home)


async def started(home: Home) -> Client:
    service = await ensure_temporal(
        home, search_attributes=SEARCH_ATTRIBUTES, prefer_default_ports=False, progress=lambda line: None
    )
    await register_search_attributes(await reach(service), SEARCH_ATTRIBUTES)
    return await Client.connect(service.address, plugins=[stanchion_plugin()])


async def test_with_temporal_stopped_what_is_in_flight_is_cut_short_and_the_run_ends_once_it_is_back(
    own_temporal: tuple[Home, Client], database_url: str
) -> None:
    home, client = own_temporal
    stanchion = await Stanchion.make(client, database_url).up()
    try:
        ending, _ = await at_work(stanchion)
        pausing, _ = await at_work(stanchion, "blocks_once", tenant="acme")
        await stop_temporal(home)
        await halt(stanchion, "run", ending.id)
        await halt(stanchion, "tenant", "acme")

        async def nothing_in_flight() -> bool:
            return not stanchion.parts.watch.in_flight

        await eventually(nothing_in_flight, "all is cut short", HARD_SECONDS)
        await started(home)
        assert (await stanchion.outcome(ending))["reason"] == "halted: by lee: enough"

        async def paused() -> bool:
            return bool((await pausing.query("status"))["status"] == "paused")

        await eventually(paused, "the tenant's run is paused")
        await assert_sound(stanchion, ending.id)
    finally:
        await stanchion.close()


async def test_a_drill_of_every_kind_of_work_passes_though_temporal_freezes_before_the_halt_and_thaws_after_it(
    own_temporal: tuple[Home, Client], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, client = own_temporal
    record = home.living("temporal")
    assert record
    ordered, tell = Halts.order, drill.notify_halted

    async def order_once_frozen(self: Halts, order: HaltOrder) -> Halt:
        os.kill(record.pid, signal.SIGSTOP)
        return await ordered(self, order)

    async def tell_once_thawed(of: Client, notice: Any) -> int:
        await asyncio.sleep(FROZEN_SECONDS)
        os.kill(record.pid, signal.SIGCONT)
        return await tell(of, notice)

    monkeypatch.setattr(Halts, "order", order_once_frozen)
    monkeypatch.setattr(drill, "notify_halted", tell_once_thawed)
    stanchion = await Stanchion.make(client, database_url).up()
    try:
        request = DrillRequest(runs=12, watch_seconds=HARD_SECONDS + FROZEN_SECONDS)
        report = await stanchion.parts.drills.play(client, request)
        assert report.passed, report.why
        assert report.late_effects == 0 and report.max_seconds <= HARD_SECONDS
    finally:
        os.kill(record.pid, signal.SIGCONT)
        await stanchion.close()
