"""Named queries from `.sql` files: `-- name: claim` starts one, `:parameter` names what it takes.

A query is described in its file and called by name; asyncpg prepares each once per connection.
"""

import re
from pathlib import Path
from typing import Any

import asyncpg

from activities.storage.database import Database, naming_failures

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_PARAMETER = re.compile(r"(?<!:):([a-z_]+)\b")
_COMMENT = re.compile(r"--[^\n]*")


class Query:
    """One statement and the names of what it takes."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.parameters: list[str] = []
        self.sql = _PARAMETER.sub(self._placeholder, _COMMENT.sub("", text)).strip().rstrip(";")

    def _placeholder(self, match: "re.Match[str]") -> str:
        name = match.group(1)
        if name not in self.parameters:
            self.parameters.append(name)
        return f"${self.parameters.index(name) + 1}"

    def _arguments(self, given: dict[str, Any]) -> list[Any]:
        if given.keys() != set(self.parameters):
            raise TypeError(f"query {self.name} takes {sorted(self.parameters)}, not {sorted(given)}")
        return [given[name] for name in self.parameters]

    async def row(self, database: Database, **given: Any) -> asyncpg.Record | None:
        """The first row, or None. Raises StoreUnavailable."""
        pool = await database.pool()
        database.statements[self.name] += 1
        with naming_failures(database.url):
            return await pool.fetchrow(self.sql, *self._arguments(given))

    async def rows(self, database: Database, **given: Any) -> list[asyncpg.Record]:
        """All rows. Raises StoreUnavailable."""
        pool = await database.pool()
        database.statements[self.name] += 1
        with naming_failures(database.url):
            return list(await pool.fetch(self.sql, *self._arguments(given)))

    async def on(self, connection: Any, **given: Any) -> list[asyncpg.Record]:
        """All rows, on a connection that is already in a transaction."""
        return list(await connection.fetch(self.sql, *self._arguments(given)))


class Queries:
    """The queries of one file, by name: `SQL["claim"]`."""

    def __init__(self, beside: str, file: str) -> None:
        text = (Path(beside).parent / file).read_text(encoding="utf-8")
        parts = _NAME.split(text)
        self._queries = {name: Query(name, body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}

    def __getitem__(self, name: str) -> Query:
        return self._queries[name]
