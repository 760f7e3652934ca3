"""An activity that waits gives signs of life from start to end, and none afterwards."""

import asyncio
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities import boundary
from activities.boundary import heartbeating


class Heard:
    """The heartbeats of one activity; `enough` is set after three."""

    def __init__(self) -> None:
        self.count = 0
        self.enough = asyncio.Event()

    def __call__(self, *details: Any) -> None:
        self.count += 1
        if self.count >= 3:
            self.enough.set()


@pytest.fixture
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boundary, "BEAT_SECONDS", 0.01)


async def ended(heard: Heard) -> bool:
    """Nothing beats any more: a timer that was set by now would have beaten before one that is set later."""
    before, later = heard.count, asyncio.Event()
    asyncio.get_running_loop().call_later(3 * boundary.BEAT_SECONDS, later.set)
    await later.wait()
    return heard.count == before


async def test_an_activity_beats_while_it_waits_and_not_once_it_is_over(quick_beats: None) -> None:
    environment, heard = ActivityEnvironment(), Heard()
    environment.on_heartbeat = heard

    async def waits() -> None:
        async with heartbeating():
            await heard.enough.wait()

    await asyncio.wait_for(environment.run(waits), 10)
    assert heard.count >= 3
    assert await ended(heard)


async def test_an_activity_that_fails_beats_no_more(quick_beats: None) -> None:
    environment, heard = ActivityEnvironment(), Heard()
    environment.on_heartbeat = heard

    async def fails() -> None:
        async with heartbeating():
            await heard.enough.wait()
            raise ValueError("as it happens")

    with pytest.raises(ValueError, match="as it happens"):
        await asyncio.wait_for(environment.run(fails), 10)
    assert await ended(heard)


async def test_a_beat_that_fails_is_not_the_last(quick_beats: None) -> None:
    environment, heard = ActivityEnvironment(), Heard()
    failures: list[dict[str, Any]] = []

    def fails_once(*details: Any) -> None:
        heard(*details)
        if heard.count == 1:
            raise RuntimeError("the worker is busy")

    environment.on_heartbeat = fails_once
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))

    async def waits() -> None:
        async with heartbeating():
            await heard.enough.wait()

    await asyncio.wait_for(environment.run(waits), 10)
    assert [str(failure["exception"]) for failure in failures] == ["the worker is busy"]


async def test_outside_of_an_activity_nothing_beats() -> None:
    async with heartbeating():
        pass
