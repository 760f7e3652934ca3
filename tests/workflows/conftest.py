"""Fixtures of tests of whole runs."""

from collections.abc import Callable

import pytest

from tests.harness.stanchion import Stanchion

Systems = Callable[..., Stanchion]


@pytest.fixture(params=["cached", "uncached"])
async def either(systems: Systems, request: pytest.FixtureRequest) -> Stanchion:
    """A running system, once with the workflow cache and once without: then every turn replays the whole run."""
    return await systems().up(**({} if request.param == "cached" else {"max_cached_workflows": 0}))
