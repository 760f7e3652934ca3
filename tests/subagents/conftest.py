"""Two agents: one that hands work on, and one that takes it."""

import pytest

from tests.harness.door import Door
from tests.subagents.handing import BUDGET


@pytest.fixture
async def helper(door: Door) -> str:
    return await door.publish("look", "fetch", "note", "take_back", "send", grants=None)


@pytest.fixture
async def boss(door: Door, helper: str) -> str:
    return await door.publish("look", "fetch", "note", "take_back", "send", delegates=[helper], budget=BUDGET)
