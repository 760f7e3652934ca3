"""What commands share: an open session, and runs found by the end of their name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from temporalio.client import Client, WorkflowHandle

from activities.errors import Permanent
from activities.storage.database import Database
from activities.storage.queries import Queries
from workers.plugin import stanchion_plugin
from workers.services import Home, PostgresUnreachable, TemporalUnreachable, reach
from workers.services.postgres import find_postgres_url
from workers.services.temporal import find_temporal
from workers.session import NOT_UP, Session, connect
from workers.settings import from_environment

SQL = Queries(__file__, "cli.sql")


class RunNotFound(Permanent):
    """No run of that name."""


@asynccontextmanager
async def session() -> AsyncIterator[Session]:
    """A session with what runs here. Raises TemporalUnreachable, PostgresUnreachable."""
    opened = await connect(Home.locate(), from_environment())
    try:
        yield opened
    finally:
        await opened.close()


@asynccontextmanager
async def store() -> AsyncIterator[Database]:
    """Our tables alone, for what must work while Temporal is away. Raises PostgresUnreachable."""
    url = find_postgres_url(Home.locate(), from_environment().database_url)
    if url is None:
        raise PostgresUnreachable(f"no Postgres: {NOT_UP}")
    database = Database(url)
    try:
        yield database
    finally:
        await database.close()


async def temporal(seconds: float) -> Client:
    """A client of the Temporal that runs here, if it answers within that time. Raises TemporalUnreachable."""
    service = find_temporal(Home.locate())
    if service is None:
        raise TemporalUnreachable(f"no Temporal: {NOT_UP}")
    await reach(service, timeout=seconds)
    return await Client.connect(**service.connect_config(), plugins=[stanchion_plugin()])


async def run_id_of(opened: Session, name: str) -> str:
    """The id of the run that `name` names: the id itself, or the end of it after a slash. Raises RunNotFound."""
    return await run_id_in(opened.database, name)


async def run_id_in(database: Database, name: str) -> str:
    """As `run_id_of`, with our tables alone."""
    found = [row["run_id"] for row in await SQL["find_runs"].rows(database, name=name)]
    if name in found:
        return name
    if len(found) == 1:
        return str(found[0])
    if found:
        raise RunNotFound(f"{name!r} names several runs; say which: {', '.join(found)}")
    raise RunNotFound(f"no run is called {name!r}; `stanchion ls` lists them")


async def handle_of(opened: Session, name: str) -> WorkflowHandle[Any, Any]:
    """The workflow of a run."""
    return opened.client.get_workflow_handle(await run_id_of(opened, name))
