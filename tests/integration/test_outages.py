"""A database that goes away: nothing is lost, and nothing is done twice."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.harness.checks import facts
from tests.harness.models import ASKED, HOLD
from tests.harness.proxy import Proxy
from tests.harness.stanchion import Stanchion, eventually, unique
from tests.harness.toolbox import RELEASE, WITNESS
from tests.integration.ends import DONE, Handle, calls, ended

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    """The way to this test's database."""
    proxy = await Proxy(database_url).up()
    yield proxy
    await proxy.down()


@pytest_asyncio.fixture
async def remote(stanchion: Stanchion, proxy: Proxy) -> AsyncIterator[Stanchion]:
    """A system whose workers reach Postgres through the proxy, on a queue of its own."""
    system = Stanchion.make(stanchion.client, proxy.url)
    yield system
    await system.close()


async def retrying(handle: Handle) -> bool:
    """An activity of the run failed and will be tried again."""
    description = await handle.describe()
    return any(a.attempt > 1 for a in description.raw_description.pending_activities)


async def test_a_run_that_is_started_while_postgres_is_away_begins_once_it_is_back(
    stanchion: Stanchion, remote: Stanchion, proxy: Proxy
) -> None:
    agent = await stanchion.publish([calls("note", text="a"), DONE], "note", "take_back")
    await proxy.down()
    await remote.up()
    handle = await remote.start(agent)
    await eventually(lambda: retrying(handle), "the run waits for Postgres")
    await proxy.up()
    await ended(stanchion, handle, "completed")
    assert WITNESS[f"{handle.id}/1.0"] == 1


async def test_postgres_goes_away_while_the_model_is_asked_and_nothing_is_lost(
    stanchion: Stanchion, remote: Stanchion, proxy: Proxy
) -> None:
    agent = await stanchion.publish("scripted:tests.harness.models:repeats_what_was_said")
    await remote.up()
    goal = unique("goal")
    HOLD[goal] = asyncio.Event()
    handle = await remote.start(agent, goal)

    async def asked() -> bool:
        return ASKED[goal] == 1

    await eventually(asked, "the model is being asked")
    proxy.cut()
    await handle.signal("message", {"text": "still there?"})
    HOLD[goal].set()
    await eventually(lambda: retrying(handle), "the answer could not be stored")
    proxy.mend()
    outcome = await ended(stanchion, handle, "completed")
    assert outcome["answer"] == f"{goal}\n\n{goal} | still there?"  # the first answer was overtaken by the message


async def test_postgres_goes_away_during_an_irreversible_effect_and_its_result_is_kept(
    stanchion: Stanchion, remote: Stanchion, proxy: Proxy
) -> None:
    """The result is known: it is written when Postgres is back, and no person is asked what happened."""
    name = unique("release")
    agent = await stanchion.publish([calls("waits_for_release", name=name), DONE], "waits_for_release", "take_back")
    await remote.up()
    handle = await remote.start(agent)

    async def in_flight() -> bool:
        return name in RELEASE

    await eventually(in_flight, "the tool runs")
    proxy.cut()
    RELEASE[name].set()
    await asyncio.sleep(
        1.5
    )  # longer than the first tries to settle take: not to wait for something, but to let it fail
    proxy.mend()
    await ended(stanchion, handle, "completed")
    assert await stanchion.results(handle.id) == {"1.0": "released"}
    assert await stanchion.value("SELECT count(*) FROM approvals WHERE run_id = $1", handle.id) == 0
    assert await facts(stanchion, handle.id, "result.late") == []
    assert WITNESS[f"{handle.id}/1.0"] == 1


async def test_postgres_goes_away_while_a_person_decides_and_the_decision_counts_once_it_is_back(
    stanchion: Stanchion, remote: Stanchion, proxy: Proxy
) -> None:
    agent = await stanchion.publish([calls("send", to="bo@acme.example"), DONE], "send")
    await remote.up()
    handle = await remote.start(agent)
    open_one = await remote.approval(handle)
    proxy.cut()
    decision = {"approval_id": open_one["approval_id"], "verdict": "approve", "by": "lee"}
    deciding = asyncio.create_task(handle.execute_update("decide", decision))
    await eventually(lambda: retrying(handle), "the decision cannot be stored")
    proxy.mend()
    assert (await deciding)["answer"] == "accepted"
    await ended(stanchion, handle, "completed")
    assert WITNESS[f"{handle.id}/1.0"] == 1
