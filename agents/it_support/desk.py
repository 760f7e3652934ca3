"""The ticket desk: a schema of its own in Postgres. Every change is made once per idempotency key.

The key is stored in the transaction of the change, so that both exist or neither does.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from activities.storage.queries import Queries
from activities.tools import ToolError

FOLDER = Path(__file__).parent
SQL = Queries(__file__, "tickets.sql")
LOCK = 4_810_223_507  # any fixed number: two preparations at once wait for each other


async def prepare_desk(dsn: str) -> None:
    """Create the desk's tables and its first tickets. Safe to repeat: what is there stays as it is."""
    async with _connected(dsn) as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        for file in ("desk.sql", "seed.sql"):
            await connection.execute((FOLDER / file).read_text(encoding="utf-8"))


async def read(dsn: str, query: str, **given: Any) -> list[dict[str, Any]]:
    """The rows of a query in tickets.sql."""
    async with _connected(dsn) as connection:
        return [dict(row) for row in await SQL[query].on(connection, **given)]


async def read_one(dsn: str, query: str, **given: Any) -> dict[str, Any]:
    """The row of a query in tickets.sql. Raises ToolError if there is none."""
    rows = await read(dsn, query, **given)
    if not rows:
        raise ToolError(_nothing(given))
    return rows[0]


async def change(dsn: str, key: str, query: str, **given: Any) -> dict[str, Any]:
    """What the change returned; under a key that was used before, what it returned then.

    Raises ToolError, and changes nothing, if it finds no row to change.
    """
    async with _connected(dsn) as connection, connection.transaction():
        if not await SQL["take_key"].on(connection, key=key, change=query):
            [before] = await SQL["answer_of"].on(connection, key=key)
            return dict(json.loads(before["answer"]))
        rows = await SQL[query].on(connection, **given)
        if not rows:
            raise ToolError(f"{query} changed nothing: {_nothing(given)} that it applies to")
        await SQL["keep_answer"].on(connection, key=key, answer=json.dumps(dict(rows[0])))
        return dict(rows[0])


def _nothing(given: dict[str, Any]) -> str:
    what = next(name for name in ("ticket", "comment") if name in given)
    return f"there is no {what} {given[what]}"


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        yield connection
    except asyncpg.UndefinedTableError as error:
        raise ToolError("this database has no ticket desk; prepare_desk makes one") from error
    finally:
        await connection.close()
