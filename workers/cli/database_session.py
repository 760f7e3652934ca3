"""What reading commands share: our tables without Temporal, and runs found by the end of their name.

Temporal's SDK costs most of a second of CPU to import, so nothing here imports it.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from activities.errors import Permanent
from activities.storage.database import Database
from activities.storage.queries import Queries
from workers.services.home import Home
from workers.services.postgres import PostgresUnreachable, find_postgres_url

SQL = Queries(__file__, "cli.sql")
NOT_UP = "nothing is running here; `stanchion up` starts it, or set TEMPORAL_ADDRESS and DATABASE_URL"


class RunNotFound(Permanent):
    """No run of that name."""


def database_url() -> str:
    """Where our tables are: DATABASE_URL, or the embedded server that runs here. Raises PostgresUnreachable."""
    url = find_postgres_url(Home.locate(), os.environ.get("DATABASE_URL") or None)
    if url is None:
        raise PostgresUnreachable(f"no Postgres: {NOT_UP}")
    return url


@asynccontextmanager
async def store() -> AsyncIterator[Database]:
    """Our tables alone, also for what must work while Temporal is away. Raises PostgresUnreachable."""
    database = Database(database_url(), pool_size=1)
    try:
        yield database
    finally:
        await database.close()


async def run_id_in(database: Database, name: str) -> str:
    """The id of the run that `name` names: the id itself, or the end of it after a slash. Raises RunNotFound."""
    found = [row["run_id"] for row in await SQL["find_runs"].rows(database, name=name)]
    if name in found:
        return name
    if len(found) == 1:
        return str(found[0])
    if found:
        raise RunNotFound(f"{name!r} names several runs; say which: {', '.join(found)}")
    raise RunNotFound(f"no run is called {name!r}; `stanchion ls` lists them")
