"""Prepares Temporal and Postgres for workers. Starts nothing; safe to repeat and to run concurrently."""

from activities.agents.versions import Agents, AgentVersion
from activities.runs.engine import engine_of
from activities.runs.lifecycle import SQL
from workers.cli_connection import Session
from workers.database import prepare_database
from workers.services import Progress, register_search_attributes
from workers.settings import Settings
from workers.shipped import prepare_shipped, publish_shipped
from workflows.search import SEARCH_ATTRIBUTES


async def bootstrap(session: Session, settings: Settings, progress: Progress) -> list[AgentVersion]:
    """Install search attributes, tables, the platform's policy and the shipped agents. Returns the agents.

    Raises SearchAttributeConflict, StoreUnavailable, SchemaTooNew and similar errors.
    """
    await register_search_attributes(session.client, SEARCH_ATTRIBUTES)
    for migration in await prepare_database(session.database.url):
        progress(f"Applied migration {migration.version:04d}_{migration.name}")
    own = await engine_of(session.client)
    for row in await SQL["engines"].rows(session.database):
        if row["engine"] != own:
            progress(
                f"{row['runs']} open runs in this database live in another Temporal ({row['engine']}), which alone "
                "continues and closes them. If it is gone for good, `stanchion kill RUN` closes one."
            )
    await prepare_shipped(settings, session.database.url)
    agents = await publish_shipped(Agents(session.database), settings)
    for agent in agents:
        progress(f"Agent {agent.definition.name} ({agent.version[:8]}) uses {agent.definition.model}")
    return agents
