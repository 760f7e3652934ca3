"""The ticket desk, in its own Postgres schema. Each change is made once per idempotency key.

The key is stored in the same transaction as the change, so either both exist or neither does.
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
LOCK = 4_810_223_507  # an arbitrary number; concurrent calls of `prepare_desk` wait for each other


async def prepare_desk(dsn: str) -> None:
    """Create the desk's tables and its first tickets. Safe to repeat; existing rows are not changed."""
    async with _connect(dsn) as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        for file in ("desk.sql", "seed.sql"):
            await connection.execute((FOLDER / file).read_text(encoding="utf-8"))


async def read(dsn: str, query: str, **parameters: Any) -> list[dict[str, Any]]:
    """Return the rows of a query in tickets.sql."""
    async with _connect(dsn) as connection:
        return [dict(row) for row in await SQL[query].on(connection, **parameters)]


async def read_one(dsn: str, query: str, **parameters: Any) -> dict[str, Any]:
    """Return the first row of a query in tickets.sql. Raises ToolError if there is none."""
    rows = await read(dsn, query, **parameters)
    if not rows:
        raise ToolError(_not_found_text(parameters))
    return rows[0]


async def change(dsn: str, key: str, query: str, **parameters: Any) -> dict[str, Any]:
    """Make a change once per idempotency key and return its row. A repeat returns the row of the first time.

    Raises ToolError, and changes nothing, if the query finds no row to change.
    """
    async with _connect(dsn) as connection, connection.transaction():
        if not await SQL["take_key"].on(connection, key=key, change=query):
            [first] = await SQL["answer_of"].on(connection, key=key)
            return dict(json.loads(first["answer"]))
        rows = await SQL[query].on(connection, **parameters)
        if not rows:
            raise ToolError(f"{query} changed nothing: {_not_found_text(parameters)} that it applies to")
        await SQL["keep_answer"].on(connection, key=key, answer=json.dumps(dict(rows[0])))
        return dict(rows[0])


def _not_found_text(parameters: dict[str, Any]) -> str:
    kind = next(name for name in ("ticket", "comment") if name in parameters)
    return f"there is no {kind} {parameters[kind]}"


@asynccontextmanager
async def _connect(dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        yield connection
    except asyncpg.UndefinedTableError as error:
        raise ToolError("this database has no ticket desk; prepare_desk makes one") from error
    finally:
        await connection.close()
