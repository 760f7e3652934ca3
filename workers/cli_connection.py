"""Connects a process to Temporal and Postgres, or raises an error that says which of them is missing."""

from dataclasses import dataclass

from temporalio.client import Client

from activities.storage.database import Database
from workers.cli.database_session import NOT_UP
from workers.plugin import stanchion_plugin
from workers.services import Home, PostgresUnreachable, TemporalUnreachable, reach
from workers.services.postgres import find_postgres_url
from workers.services.temporal import TemporalService, find_temporal
from workers.settings import Settings
from workers.telemetry import tracing_plugins


@dataclass(frozen=True)
class Session:
    """A Temporal client and a database, with the address of the Temporal server."""

    client: Client
    database: Database
    temporal: TemporalService

    async def close(self) -> None:
        """Close the connections to the database."""
        await self.database.close()

    def link(self, run_id: str) -> str | None:
        """Return the URL of the run's page in the Web UI, or None if no Web UI is known."""
        if not self.temporal.ui_url:
            return None
        return f"{self.temporal.ui_url}/namespaces/{self.temporal.namespace}/workflows/{run_id.replace('/', '%2F')}"


async def connect(home: Home, settings: Settings) -> Session:
    """Connect to the servers that the environment or this home names.

    Raises TemporalUnreachable, PostgresUnreachable.
    """
    temporal, url = find_temporal(home), find_postgres_url(home, settings.database_url)
    if temporal is None:
        raise TemporalUnreachable(f"no Temporal: {NOT_UP}")
    if url is None:
        raise PostgresUnreachable(f"no Postgres: {NOT_UP}")
    return await connect_to(temporal, url, settings)


async def connect_to(temporal: TemporalService, database_url: str, settings: Settings) -> Session:
    """Connect to this Temporal and this Postgres. Raises TemporalUnreachable, PostgresUnreachable."""
    await reach(temporal)
    plugins = [stanchion_plugin(), *tracing_plugins(settings)]
    client = await Client.connect(**temporal.connect_config(), plugins=plugins)
    return Session(client, Database(database_url), temporal)
