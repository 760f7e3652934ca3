"""Opens sessions with Temporal and Postgres, and finds the workflow of a run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from temporalio.client import Client, WorkflowHandle

from workers.cli.database_session import NOT_UP, find_run_id
from workers.cli_connection import Session, connect
from workers.plugin import stanchion_plugin
from workers.services import Home, TemporalUnreachable, reach
from workers.services.temporal import find_temporal
from workers.settings import from_environment


@asynccontextmanager
async def open_session() -> AsyncIterator[Session]:
    """Open a session with Temporal and Postgres. Raises TemporalUnreachable, PostgresUnreachable."""
    session = await connect(Home.locate(), from_environment())
    try:
        yield session
    finally:
        await session.close()


async def connect_temporal(seconds: float) -> Client:
    """Connect to Temporal, which must answer within `seconds`. Raises TemporalUnreachable."""
    service = find_temporal(Home.locate())
    if service is None:
        raise TemporalUnreachable(f"no Temporal: {NOT_UP}")
    await reach(service, timeout=seconds)
    return await Client.connect(**service.connect_config(), plugins=[stanchion_plugin()])


async def find_run_handle(session: Session, name: str) -> WorkflowHandle[Any, Any]:
    """Return the workflow handle of a run, which is found as `find_run_id` does. Raises RunNotFound."""
    return session.client.get_workflow_handle(await find_run_id(session.database, name))
