"""What commands that talk to Temporal share: an open session, and the workflow of a run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from temporalio.client import Client, WorkflowHandle

from workers.cli.database_session import NOT_UP, run_id_in
from workers.cli_connection import Session, connect
from workers.plugin import stanchion_plugin
from workers.services import Home, TemporalUnreachable, reach
from workers.services.temporal import find_temporal
from workers.settings import from_environment


@asynccontextmanager
async def session() -> AsyncIterator[Session]:
    """A session with what runs here. Raises TemporalUnreachable, PostgresUnreachable."""
    opened = await connect(Home.locate(), from_environment())
    try:
        yield opened
    finally:
        await opened.close()


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


async def handle_of(opened: Session, name: str) -> WorkflowHandle[Any, Any]:
    """The workflow of a run."""
    return opened.client.get_workflow_handle(await run_id_of(opened, name))
