"""The help desk as it ships, on a database and an accounts service of the test's own."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from activities.agents.definition import read_definition
from activities.agents.versions import resolve
from activities.identity.principals import Principals
from agents.it_support.desk import prepare_desk
from tests.agents.desk import AGENT, TENANT, AccountsProcess, accounts_process
from tests.harness.stanchion import Stanchion
from workers.shipped import playable


@pytest.fixture
async def accounts(tmp_path: Path) -> AsyncIterator[AccountsProcess]:
    async with accounts_process(tmp_path) as process:
        yield process


@pytest.fixture
async def it_support(systems: Callable[..., Stanchion], database_url: str, accounts: AccountsProcess) -> Stanchion:
    """The agent, played by its script; lee is of IT, ida leads it, and mo is of neither."""
    await prepare_desk(database_url)
    settings = {"desk_dsn": database_url, "accounts_url": accounts.url}
    stanchion = await systems(tool_settings=settings).up()
    rehearsed = playable(read_definition(AGENT), stanchion.settings)
    await stanchion.parts.agents.publish(resolve(rehearsed, str(AGENT.parent)))
    principals = Principals(stanchion.parts.database)
    for name, roles in (
        ("lee@acme.example", ["it"]),
        ("mo@acme.example", ["finance"]),
        ("ida@acme.example", ["it-lead"]),
    ):
        await principals.add(TENANT, name, roles, None, "test")
    return stanchion
