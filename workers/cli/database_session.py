"""Opens the database and finds runs by name, for commands that only read tables.

Importing Temporal's SDK takes most of a second, so this module does not import it.
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
    """There is no run of that name."""


def database_url() -> str:
    """Return DATABASE_URL, or the URL of this home's running server. Raises PostgresUnreachable."""
    url = find_postgres_url(Home.locate(), os.environ.get("DATABASE_URL") or None)
    if url is None:
        raise PostgresUnreachable(f"no Postgres: {NOT_UP}")
    return url


@asynccontextmanager
async def open_database() -> AsyncIterator[Database]:
    """Open the database without Temporal, so that a command also works while Temporal is down.

    Raises PostgresUnreachable.
    """
    database = Database(database_url(), pool_size=1)
    try:
        yield database
    finally:
        await database.close()


async def find_run_id(database: Database, name: str) -> str:
    """Return the id of the run whose id is `name`, or ends in a slash and `name`. Raises RunNotFound."""
    run_ids = [row["run_id"] for row in await SQL["find_runs"].rows(database, name=name)]
    if name in run_ids:
        return name
    if len(run_ids) == 1:
        return str(run_ids[0])
    if run_ids:
        raise RunNotFound(f"{name!r} names several runs; say which: {', '.join(run_ids)}")
    raise RunNotFound(f"no run is called {name!r}; `stanchion ls` lists them")
