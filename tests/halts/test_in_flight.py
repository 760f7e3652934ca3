"""The watch of a worker: what is in flight is cut short without Temporal, and without a single notification."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest_asyncio
from temporalio.client import Client

from activities.halts.halts import HaltOrder, Halts
from activities.halts.in_flight import HaltWatch, InFlightCall, StoppedByHalt
from activities.storage.database import Database
from tests.harness.proxy import Proxy
from tests.harness.stanchion import Stanchion, eventually, unique
from workers.plugin import stanchion_plugin
from workers.services import Services
from workflows.contracts.drills import HARD_SECONDS, DrillRequest

Systems = Callable[..., Stanchion]
FLIGHT = InFlightCall("agent/a/1", "a", "acme", "send", "1.0")


@pytest_asyncio.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    made = await Proxy(database_url).up()
    yield made
    await made.down()


@pytest_asyncio.fixture
async def watch(database_url: str, proxy: Proxy) -> AsyncIterator[HaltWatch]:
    """A watch that listens through the proxy, and looks past it."""
    database = Database(database_url)
    made = HaltWatch(database, listen_url=proxy.url)
    yield made
    await made.close()
    await database.close()


async def listening(watch: HaltWatch, wanted: bool = True) -> None:
    async def so() -> bool:
        return watch.listens is wanted

    await eventually(so, f"listens: {wanted}")


async def cut_short(flight: "asyncio.Task[Any]") -> StoppedByHalt:
    """What stopped it, within the time that a stop may take at most."""
    done, _ = await asyncio.wait([flight], timeout=HARD_SECONDS)
    assert done, "it was not cut short"
    error = flight.exception()
    assert isinstance(error, StoppedByHalt)
    return error


async def order(watch: HaltWatch, scope: Any, target: str = "") -> None:
    await Halts(watch.database).order(HaltOrder(scope=scope, target=target, by="lee"))


async def test_a_notification_cuts_short_what_is_in_flight(watch: HaltWatch) -> None:
    flight = asyncio.create_task(watch.over(FLIGHT, asyncio.sleep(60)))
    await listening(watch)
    await order(watch, "fleet")
    assert (await cut_short(flight)).halt.scope == "fleet"
    assert watch.in_flight == ()


async def test_a_halt_of_something_else_leaves_it_alone(watch: HaltWatch) -> None:
    flight = asyncio.create_task(watch.over(FLIGHT, asyncio.sleep(60)))
    others = (("run", "agent/a/2"), ("agent", "b"), ("tool", "look"), ("tenant", "other"))
    for scope, target in others:
        await order(watch, scope, target)

    async def seen() -> bool:
        return len(watch.active) == len(others)

    await eventually(seen, "it saw them all")
    assert not flight.done()
    flight.cancel()


async def test_a_watch_that_hears_nothing_sees_a_halt_all_the_same(watch: HaltWatch, proxy: Proxy) -> None:
    proxy.cut()
    flight = asyncio.create_task(watch.over(FLIGHT, asyncio.sleep(60)))
    await order(watch, "tenant", "acme")
    assert (await cut_short(flight)).halt.target == "acme"
    assert not watch.listens and proxy.turned_away > 0


async def test_a_watch_listens_again_once_it_can(watch: HaltWatch, proxy: Proxy) -> None:
    flight = asyncio.create_task(watch.over(FLIGHT, asyncio.sleep(60)))
    await listening(watch)
    proxy.cut()
    await listening(watch, False)
    proxy.mend()
    await listening(watch)
    await order(watch, "run", FLIGHT.run_id)
    assert (await cut_short(flight)).halt.scope == "run"


async def test_a_connection_that_has_gone_silent_is_given_up_and_replaced(watch: HaltWatch, proxy: Proxy) -> None:
    """No end of it is ever seen: a cable that was pulled, a firewall that forgot."""
    flight = asyncio.create_task(watch.over(FLIGHT, asyncio.sleep(60)))
    await listening(watch)
    proxy.silence()
    await order(watch, "agent", "another")  # seen by looking, past the silent connection

    async def seen() -> bool:
        return len(watch.active) == 1

    await eventually(seen, "it saw the halt", HARD_SECONDS)
    await listening(watch, False)
    proxy.mend()
    await listening(watch)
    await order(watch, "tenant", "acme")
    assert (await cut_short(flight)).halt.scope == "tenant"


async def test_what_takes_off_under_a_halt_that_was_seen_is_stopped_at_once(watch: HaltWatch) -> None:
    await order(watch, "tool", "send")
    watch.start()

    async def seen() -> bool:
        return len(watch.active) == 1

    await eventually(seen, "it saw the halt")
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()

    assert (await cut_short(asyncio.create_task(watch.over(FLIGHT, work())))).halt.scope == "tool"
    assert not begun.is_set()


async def test_a_cancel_from_outside_is_no_halt(watch: HaltWatch) -> None:
    flight = asyncio.create_task(watch.over(FLIGHT, asyncio.sleep(60)))
    await asyncio.sleep(0)
    flight.cancel()
    await asyncio.wait([flight])
    assert flight.cancelled()


async def test_a_drill_passes_with_half_of_the_workers_cut_off_from_notifications(
    systems: Systems, services: Services, proxy: Proxy
) -> None:
    queue = unique("shared")
    hears, deaf = systems(task_queue=queue), systems(task_queue=queue)
    deaf.client = await Client.connect(services.temporal.address, plugins=[stanchion_plugin()])  # a worker of its own
    deaf.parts.watch.listen_url = proxy.url
    proxy.cut()
    await hears.up()
    await deaf.up()
    report = await hears.parts.drills.play(hears.client, DrillRequest(runs=12))
    assert report.passed, report.why
    assert not deaf.parts.watch.listens and hears.parts.watch.listens


async def test_a_watch_that_is_called_in_the_moment_it_is_closed_is_closed(database_url: str) -> None:
    database, called = Database(database_url), asyncio.Event()
    watch = HaltWatch(database, _poll_now=called)

    async def waits() -> bool:
        return bool(called._waiters)  # type: ignore[attr-defined]

    for steps in range(4):
        looking = asyncio.create_task(watch._poll_for_ever())
        await eventually(waits, "it has looked, and waits to be called")
        called.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        looking.cancel()
        done, _ = await asyncio.wait([looking], timeout=HARD_SECONDS)
        assert done, "a cancel that came with the call was swallowed"
    await database.close()
