"""A Slack of each test's own, and replicas of the bot on it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client

from activities.storage.database import Database
from tests.fakes.slack_api import FakeSlack
from tests.harness.stanchion import DEADLINE, Stanchion, eventually
from tests.slack.channel import (
    Starts,
    as_seen,
    settings_for,
)
from workers.cli_connection import Session
from workers.keys import Signer
from workers.services.temporal import TemporalService
from workers.slack.serve import serve


@pytest_asyncio.fixture
async def slack(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeSlack]:
    """A Slack of this test's own; what fails there is tried again soon."""
    monkeypatch.setattr("workers.slack.message_board.RETRY_SECONDS", 0.2)
    monkeypatch.setattr("workers.slack.notifications.RECONNECT_SECONDS", 0.2)
    async with FakeSlack() as fake:
        yield fake


@pytest_asyncio.fixture
async def bots(client: Client, database_url: str, slack: FakeSlack) -> AsyncIterator[Starts]:
    """Starts replicas of the bot: `await bots(http=…, signer=…, poll_seconds=…, **settings)`; where clicks arrive."""
    stop, running, databases = asyncio.Event(), [], []

    async def start(signer: Signer | None = None, poll_seconds: float = 0.3, **more: Any) -> str:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        database = Database(database_url)
        databases.append(database)
        service = TemporalService("", "default", "http://127.0.0.1:8233", None, owned=False)
        work = serve(
            Session(client, database, service),
            settings_for(slack, **more),
            signer,
            stop,
            ready.set_result,
            poll_seconds=poll_seconds,
            ping_seconds=1,
        )
        running.append(asyncio.create_task(work))
        connected = slack.connected
        await asyncio.wait([running[-1], ready], timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            running.pop().result()
        if not more.get("http"):
            await eventually(lambda: as_seen(slack.connected > connected), "the bot is connected")
        return await ready

    yield start
    stop.set()
    await asyncio.wait_for(asyncio.gather(*running), DEADLINE)
    for database in databases:
        await database.close()


@pytest_asyncio.fixture
async def people(stanchion: Stanchion) -> None:
    """Lee and Ann, whose Slack users we know."""
    for name, user in (("lee", "ULEE"), ("ann", "UANN")):
        await stanchion.rows(
            "INSERT INTO principals (tenant, name, slack_user, added_by) VALUES ('default', $1, $2, 'test')", name, user
        )
