"""What `run --watch` says of a run that stands still: what it waits for, and what somebody types to end that."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from activities.halts.halts import HaltOrder, Halts, LiftOrder
from activities.halts.notify_runs import notify_halted, notify_lifted
from tests.harness.stanchion import Stanchion, eventually
from workers.cli.runs.runs import follow
from workers.cli_connection import Session

pytestmark = pytest.mark.slow

Said = Callable[[str], Any]
SENDS: list[dict[str, Any]] = [{"tools": [{"name": "send", "input": {"to": "bo@acme.example"}}]}, {"text": "done"}]


@asynccontextmanager
async def followed(
    stanchion: Stanchion, handle: WorkflowHandle[Any, Any], capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[tuple[Said, list[str]]]:
    """A run that somebody follows; what waits until a line was said, and all that was said."""
    opened = Session(stanchion.client, stanchion.parts.database, None)  # type: ignore[arg-type]
    watch, said = asyncio.ensure_future(follow(opened, handle)), [""]

    async def heard(words: str) -> None:
        async def there() -> bool:
            said[0] += capsys.readouterr().err
            return words in said[0]

        await eventually(there, f"{words!r} was said", 30)

    try:
        yield heard, said
        await asyncio.wait_for(watch, 60)
    finally:
        watch.cancel()
    said[0] += capsys.readouterr().err


async def test_whoever_follows_a_run_is_told_once_what_answers_its_approval(
    stanchion: Stanchion, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = await stanchion.start(await stanchion.publish(SENDS, "send"))
    asked = (await stanchion.approval(handle))["answer_with"]
    async with followed(stanchion, handle, capsys) as (heard, said):
        await heard(f"`{asked}` answers")
        await stanchion.decide(handle, "approve")
    assert said[0].count(asked) == 1 and said[0].count("send: it needs approval") == 1
    assert "paused" not in said[0]


async def test_whoever_follows_a_run_in_a_loop_is_told_what_the_loop_is(
    stanchion: Stanchion, capsys: pytest.CaptureFixture[str]
) -> None:
    look = {"tools": [{"name": "look", "input": {"what": "the export"}}]}
    handle = await stanchion.start(await stanchion.publish([look] * 6 + [{"text": "done"}], "look"))
    async with followed(stanchion, handle, capsys) as (heard, said):
        await heard("lets it go on")
        await handle.signal("resume", {"by": "lee"})
    assert "paused: loop.repeated-call: " in said[0] and f"`stanchion resume {handle.id}` lets it go on" in said[0]


async def test_whoever_follows_a_run_is_told_once_why_it_is_paused_and_what_lets_it_go_on(
    stanchion: Stanchion, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = await stanchion.start(await stanchion.publish(SENDS, "send"), tenant="acme")
    await stanchion.approval(handle)
    await handle.signal("pause", {"by": "lee", "reason": "let me look"})
    async with followed(stanchion, handle, capsys) as (heard, said):
        await heard(f"paused\n  `stanchion resume {handle.id}` lets it go on")
        await handle.signal("resume", {"by": "lee"})
        halts = Halts(stanchion.parts.database, stanchion.parts.authority)
        notice = (await halts.order(HaltOrder(scope="tenant", target="acme", by="lee"))).notice
        await eventually(lambda: notify_halted(stanchion.client, notice), "it was told")  # the list of runs lags behind
        await heard(f"{notice.halt_id} still halts it: `stanchion resume --tenant acme` lifts that")
        await halts.lift(LiftOrder(halt_id=notice.halt_id, by="kim"))
        await notify_lifted(stanchion.client, notice, "kim")
        await stanchion.decide(handle, "approve")
    assert said[0].count("paused\n  `") == 1 and said[0].count("let me look") == 1
    assert said[0].count("still halts it") == 1
