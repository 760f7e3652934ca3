"""A run meets everything that a model vendor can do to it, and a restart of all workers: each effect happens once."""

from collections.abc import Callable
from typing import Any

from activities.model.outage_times import OutageTimes
from tests.fakes.anthropic_api import FakeAnthropic, Raw, Refused, Streamed, text, tool_use
from tests.harness.checks import assert_no_task_failed, assert_sound
from tests.harness.stanchion import Stanchion, eventually
from tests.harness.toolbox import WITNESS
from tests.workflows.sender import becomes

SOON = OutageTimes(threshold=2, quick=60.0, first=0.5, longest=2.0)
MODEL = "anthropic:claude-haiku-4-5"


def note(name: str) -> Streamed:
    """The model writes a note."""
    return Streamed((tool_use("note", f'{{"text": "{name}"}}'),), stop_reason="tool_use")


async def test_a_run_outlives_a_dead_vendor_a_rotated_key_a_used_up_balance_and_a_restart_of_all_workers(
    systems: Callable[..., Stanchion], api: FakeAnthropic
) -> None:
    settings: dict[str, Any] = {"anthropic_api_key": "k", "anthropic_base_url": api.base_url, "outages": SOON}
    stanchion = await systems(**settings).up()
    api.will(
        note("one"),
        *[Refused(529, "overloaded_error")] * 3,  # it comes back by itself
        note("two"),
        Refused(401, "authentication_error"),  # somebody rotates the key
        note("three"),
        Raw(b"\xff not a stream"),
        Refused(400, "invalid_request_error", message="Your credit balance is too low to access the Anthropic API."),
        note("four"),
        Refused(429, "rate_limit_error", {"retry-after": "3600"}),  # for an hour; everything restarts meanwhile
        Streamed((text("done"),)),
    )
    agent = await stanchion.publish(MODEL, "note", "take_back")
    handle = await stanchion.start(agent, budget={"minutes": 1, "usd": "0.50"})
    for _ in ("key", "balance"):
        await becomes(handle, "paused")
        await handle.signal("resume", {"by": "lee", "vendor": "anthropic"})
        await becomes_not(handle, "paused")
    await becomes(handle, "waiting")
    await stanchion.down()
    again = await systems(task_queue=stanchion.settings.task_queue, **settings).up()
    assert "ModelRateLimited" in (await handle.query("status"))["waiting_for"]
    await handle.signal("resume", {"by": "lee", "vendor": "anthropic"})
    outcome = await again.outcome(handle)
    assert (outcome["status"], outcome["answer"], outcome["spent"]["tool_calls"]) == ("completed", "done", 4)
    happened = {key: count for key, count in WITNESS.items() if key.startswith(handle.id)}
    assert happened == {f"{handle.id}/{step}.0": 1 for step in (1, 2, 3, 4)}
    assert await again.value("SELECT count(*) FROM vendor_outages") == 0
    await assert_sound(again, handle.id)
    await assert_no_task_failed(handle)


async def becomes_not(handle: Any, word: str) -> None:
    """The run is something else."""

    async def look() -> bool:
        return bool((await handle.query("status"))["status"] != word)

    await eventually(look, f"{handle.id} is not {word} any more")
