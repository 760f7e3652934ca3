"""A model vendor that gives no answer: runs wait for it with their clock stopped, and lose nothing."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio

from activities.model.outage_times import OutageTimes
from activities.model.vendor_outages import SQL
from tests.fakes.anthropic_api import FakeAnthropic, Refused, Streamed, text, tool_use
from tests.harness.checks import assert_sound
from tests.harness.stanchion import Stanchion, eventually
from tests.harness.toolbox import WITNESS
from tests.workflows.sender import Handle, becomes, ended

MODEL = "anthropic:claude-haiku-4-5"
DONE = Streamed((text("done"),))
NOTE = Streamed((tool_use("note", '{"text": "a"}'),), stop_reason="tool_use")
SOON = OutageTimes(threshold=2, quick=60.0, first=0.5, longest=2.0)
LATER = OutageTimes(threshold=2, quick=60.0, first=600.0, longest=6_000.0)


@pytest_asyncio.fixture
async def started(systems: Callable[..., Stanchion], api: FakeAnthropic) -> Callable[..., Any]:
    """Brings a system up that asks this vendor: `await started(SOON)`."""

    async def up(outages: OutageTimes, **settings: Any) -> Stanchion:
        given = {"anthropic_api_key": "k", "anthropic_base_url": api.base_url} | settings
        return await systems(outages=outages, **given).up()

    return up


async def status(handle: Handle) -> dict[str, Any]:
    found: dict[str, Any] = await handle.query("status")
    return found


async def left(stanchion: Stanchion) -> tuple[int, int]:
    """How many outages and waiting runs the tables hold."""
    return (
        await stanchion.value("SELECT count(*) FROM vendor_outages"),
        await stanchion.value("SELECT count(*) FROM vendor_waits"),
    )


async def test_a_vendor_that_asks_for_an_hour_is_waited_for_with_the_clock_stopped_until_someone_resumes(
    started: Any, api: FakeAnthropic
) -> None:
    api.will(NOTE, Refused(429, "rate_limit_error", {"retry-after": "3600"}))
    stanchion = await started(SOON)
    handle = await stanchion.start(await stanchion.publish(MODEL, "note", "take_back"))
    await becomes(handle, "waiting")
    seen = await status(handle)
    assert "anthropic" in seen["waiting_for"] and "ModelRateLimited" in seen["waiting_for"]
    assert seen["spent"]["tool_calls"] == 1 and seen["step"] == 1
    listed = await stanchion.value("SELECT retry_at - now() > '50 minutes' FROM vendor_waits")
    assert listed and len(api.messages) == 2
    api.will(DONE)
    await handle.signal("resume", {"by": "lee"})
    outcome = await ended(stanchion, handle, "completed")
    assert (outcome["answer"], WITNESS[f"{handle.id}/1.0"]) == ("done", 1)
    assert outcome["spent"]["minutes"] < 1
    assert api.messages[1].body["messages"] == api.messages[2].body["messages"]
    assert await left(stanchion) == (0, 0)


async def test_a_run_asks_again_by_itself_and_goes_on_once_the_vendor_is_back(started: Any, api: FakeAnthropic) -> None:
    api.will(*[Refused(529, "overloaded_error")] * 4, DONE)
    stanchion = await started(SOON)
    handle = await stanchion.start(await stanchion.publish(MODEL), budget={"minutes": 1})
    outcome = await ended(stanchion, handle, "completed")
    assert (outcome["answer"], len(api.messages)) == ("done", 5)
    assert await left(stanchion) == (0, 0)
    kinds = [row["kind"] for row in await stanchion.rows("SELECT kind FROM events WHERE run_id = $1", handle.id)]
    assert kinds.count("vendor.away") >= 2


MENDED_BY_PEOPLE = [
    Refused(401, "authentication_error"),
    Refused(402, "billing_error"),
    Refused(403, "permission_error"),
    Refused(400, "invalid_request_error", message="Your credit balance is too low to access the Anthropic API."),
    Refused(400, "invalid_request_error", message="This organization has been disabled."),
    Refused(404, "not_found_error"),
    Refused(407),
    Refused(429, "rate_limit_error", code="enforced_spend_limit_reached"),
    Refused(451),
]


@pytest.mark.parametrize("refused", MENDED_BY_PEOPLE, ids=lambda refused: f"{refused.status} {refused.message[:20]}")
async def test_what_somebody_has_to_mend_pauses_the_run_and_it_goes_on_with_the_same_prompt(
    started: Any, api: FakeAnthropic, refused: Refused
) -> None:
    api.will(NOTE, refused)
    stanchion = await started(LATER)
    handle = await stanchion.start(await stanchion.publish(MODEL, "note", "take_back"))
    await becomes(handle, "paused")
    assert "resume" in (await status(handle))["waiting_for"] and str(refused.status) in str(await status(handle))
    api.will(DONE)
    await handle.signal("resume", {"by": "lee"})
    outcome = await ended(stanchion, handle, "completed")
    assert (outcome["steps"], WITNESS[f"{handle.id}/1.0"], len(api.messages)) == (2, 1, 3)
    assert api.messages[1].body["messages"] == api.messages[2].body["messages"]
    assert await left(stanchion) == (0, 0)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"anthropic_api_key": ""}, "ANTHROPIC_API_KEY"),
        ({"anthropic_api_key": "k\x7fk"}, "ANTHROPIC_API_KEY"),
        ({"anthropic_api_key": "schlüssel"}, "ANTHROPIC_API_KEY"),
        ({"anthropic_base_url": "127.0.0.1:8080"}, "ANTHROPIC_BASE_URL"),
        ({"anthropic_base_url": "http://"}, "ANTHROPIC_BASE_URL"),
        ({"anthropic_base_url": "http://127.0.0.1:99999"}, "ANTHROPIC_BASE_URL"),
    ],
)
async def test_a_setting_that_cannot_work_costs_nothing_and_is_named(
    started: Any, settings: dict[str, Any], named: str
) -> None:
    stanchion = await started(LATER, forbid_real_model_calls=False, **settings)
    handle = await stanchion.start(await stanchion.publish(MODEL))
    await becomes(handle, "paused")
    assert named in (await status(handle))["waiting_for"]
    assert "schl" not in str(await status(handle))
    used = await stanchion.value("SELECT coalesce(sum(reserved + settled), 0) FROM windows WHERE unit = 'micro-usd'")
    assert used == 0
    await handle.terminate()


async def test_white_space_around_a_key_and_an_address_is_no_part_of_them(started: Any, api: FakeAnthropic) -> None:
    api.will(DONE)
    stanchion = await started(SOON, anthropic_api_key=" k\n", anthropic_base_url=f"{api.base_url}\r\n")
    handle = await stanchion.start(await stanchion.publish(MODEL))
    await ended(stanchion, handle, "completed")


async def test_many_runs_ask_a_dead_vendor_a_few_times_and_people_are_told_once(
    started: Any, api: FakeAnthropic
) -> None:
    api.otherwise = Refused(401, "authentication_error")
    stanchion = await started(LATER)
    agent = await stanchion.publish(MODEL)
    first = await stanchion.start(agent)
    await becomes(first, "paused")
    handles = [await stanchion.start(agent) for _ in range(12)]
    for handle in handles:
        await becomes(handle, "paused")
    assert len(api.messages) == 1
    assert await stanchion.value("SELECT count(*) FROM alarms WHERE kind = 'vendor.away'") == 1
    (outage,) = await SQL["outages"].rows(stanchion.parts.database)
    assert (outage["vendor"], outage["runs"]) == ("anthropic", 13)
    api.otherwise = DONE
    await SQL["forget"].rows(stanchion.parts.database, vendor="anthropic")
    for row in await SQL["waiting_runs"].rows(stanchion.parts.database, vendor="anthropic"):
        handle = stanchion.client.get_workflow_handle(row["run_id"])
        await handle.signal("resume", {"by": "lee", "vendor": "anthropic"})
    for handle in (first, *handles):
        await ended(stanchion, handle, "completed")
    assert await left(stanchion) == (0, 0)


async def test_one_call_tries_whether_the_vendor_is_back_and_the_others_wait_for_it(
    started: Any, api: FakeAnthropic
) -> None:
    api.otherwise = Refused(529, "overloaded_error")
    stanchion = await started(OutageTimes(threshold=1, quick=60.0, first=3.0, longest=3.0))
    agent = await stanchion.publish(MODEL)
    handles = [await stanchion.start(agent) for _ in range(8)]
    for handle in handles:
        await becomes(handle, "waiting")
    asked, gate = len(api.messages), asyncio.Event()
    api.otherwise = Streamed((text("done"),), gate=gate)
    await eventually(lambda: _is(len(api.messages) > asked), "somebody tries")
    for handle in handles:
        await becomes_one_of(handle, "waiting", "running")
    assert len(api.messages) == asked + 1  # it is not answered yet, and nobody else has asked
    gate.set()
    for handle in handles:
        await ended(stanchion, handle, "completed")


async def becomes_one_of(handle: Handle, *words: str) -> None:
    assert (await status(handle))["status"] in words


async def _is(value: bool) -> bool:
    return value


async def test_resuming_for_a_vendor_lifts_no_pause_of_a_person(started: Any, api: FakeAnthropic) -> None:
    api.will(Refused(401, "authentication_error"), DONE)
    stanchion = await started(LATER)
    handle = await stanchion.start(await stanchion.publish(MODEL))
    await becomes(handle, "paused")
    await handle.signal("pause", {"by": "kim", "reason": "wait for me"})
    await handle.signal("resume", {"by": "lee", "vendor": "another"})
    await handle.signal("resume", {"by": "lee", "vendor": "anthropic"})
    seen = await status(handle)
    assert seen["status"] == "paused" and "wait for me" in seen["waiting_for"]
    assert len(api.messages) == 1
    await handle.signal("resume", {"by": "kim"})
    await ended(stanchion, handle, "completed")


async def test_a_halt_ends_a_run_that_waits_for_a_vendor(started: Any, api: FakeAnthropic) -> None:
    api.will(Refused(429, "rate_limit_error", {"retry-after": "3600"}))
    stanchion = await started(SOON)
    handle = await stanchion.start(await stanchion.publish(MODEL))
    await becomes(handle, "waiting")
    await handle.signal("halt", {"by": "lee"})
    await ended(stanchion, handle, "stopped")
    await assert_sound(stanchion, handle.id)
    assert await stanchion.value("SELECT count(*) FROM vendor_waits") == 0


async def test_a_worker_with_another_key_is_not_kept_from_asking(
    systems: Callable[..., Stanchion], api: FakeAnthropic
) -> None:
    api.will(Refused(401, "authentication_error"), DONE)
    old = await systems(outages=LATER, anthropic_api_key="old", anthropic_base_url=api.base_url).up()
    first = await old.start(await old.publish(MODEL))
    await becomes(first, "paused")
    new = await systems(outages=LATER, anthropic_api_key="new", anthropic_base_url=api.base_url).up()
    second = await new.start(await new.publish(MODEL))
    await ended(new, second, "completed")
    await first.signal("halt", {})
    await old.outcome(first)
