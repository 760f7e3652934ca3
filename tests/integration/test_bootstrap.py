"""`bootstrap` on a Temporal and a Postgres that run already: what a deployment does before its workers start."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from activities.agents.versions import Agents
from activities.storage.database import Database
from activities.storage.migrate import schema_status
from tests.harness import databases
from workers.bootstrap import bootstrap
from workers.cli_connection import Session
from workers.services import Services
from workers.services.temporal import list_search_attributes
from workers.settings import Settings
from workflows.search import SEARCH_ATTRIBUTES


@pytest.fixture
async def session(services: Services, client: Client) -> AsyncIterator[Session]:
    """A session with a database that holds nothing yet."""
    url = await databases.create(services.postgres.url)
    opened = Session(client, Database(url), services.temporal)
    yield opened
    await opened.close()
    await databases.drop(services.postgres.url, url)


async def test_deployments_at_once_and_again_leave_one_schema_and_one_version_of_each_agent(session: Session) -> None:
    lines: list[str] = []
    first = await asyncio.gather(*(bootstrap(session, Settings(), lines.append) for _ in range(2)))
    again = await bootstrap(session, Settings(), lines.append)

    applied, known = await schema_status(session.database.url)
    assert applied == known == sum(line.startswith("Applied migration") for line in lines)
    published = {agent.definition.name: agent.version for agent in await Agents(session.database).all()}
    assert "it-support" in published
    assert all({a.definition.name: a.version for a in some} == published for some in (*first, again))
    assert (await list_search_attributes(session.client)).items() >= SEARCH_ATTRIBUTES.items()
