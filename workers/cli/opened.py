"""What commands share: an open session, and runs found by the end of their name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from temporalio.client import WorkflowHandle

from activities.errors import Permanent
from activities.storage.queries import Queries
from workers.services import Home
from workers.session import Session, connect
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


async def run_id_of(opened: Session, name: str) -> str:
    """The id of the run that `name` names: the id itself, or the end of it after a slash. Raises RunNotFound."""
    found = [row["run_id"] for row in await SQL["find_runs"].rows(opened.database, name=name)]
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
