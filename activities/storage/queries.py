"""Reads named queries from `.sql` files: `-- name: claim` starts a query, `:parameter` is a parameter.

asyncpg prepares each query once per connection.
"""

import re
from pathlib import Path
from typing import Any

import asyncpg

from activities.storage.database import Database, translated_errors

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_PARAMETER = re.compile(r"(?<!:):([a-z_]+)\b")
_COMMENT = re.compile(r"--[^\n]*")


class Query:
    """One SQL statement and the names of its parameters."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.parameters: list[str] = []
        self.sql = _PARAMETER.sub(self._placeholder, _COMMENT.sub("", text)).strip().rstrip(";")

    def _placeholder(self, match: "re.Match[str]") -> str:
        name = match.group(1)
        if name not in self.parameters:
            self.parameters.append(name)
        return f"${self.parameters.index(name) + 1}"

    def _arguments(self, values: dict[str, Any]) -> list[Any]:
        if values.keys() != set(self.parameters):
            raise TypeError(f"query {self.name} takes {sorted(self.parameters)}, not {sorted(values)}")
        return [values[name] for name in self.parameters]

    async def row(self, database: Database, **values: Any) -> asyncpg.Record | None:
        """Execute the query; return its first row, or None. Raises StoreUnavailable."""
        pool = await database.pool()
        database.statements[self.name] += 1
        with translated_errors(database.url):
            return await pool.fetchrow(self.sql, *self._arguments(values))

    async def rows(self, database: Database, **values: Any) -> list[asyncpg.Record]:
        """Execute the query; return all rows. Raises StoreUnavailable."""
        pool = await database.pool()
        database.statements[self.name] += 1
        with translated_errors(database.url):
            return list(await pool.fetch(self.sql, *self._arguments(values)))

    async def on(self, connection: Any, **values: Any) -> list[asyncpg.Record]:
        """Execute the query on this connection, for instance in a transaction; return all rows."""
        return list(await connection.fetch(self.sql, *self._arguments(values)))


class Queries:
    """The queries of one file, by name: `SQL["claim"]`. The file is in the folder of the Python file `beside`."""

    def __init__(self, beside: str, file: str) -> None:
        text = (Path(beside).parent / file).read_text(encoding="utf-8")
        parts = _NAME.split(text)
        self._queries = {name: Query(name, body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}

    def __getitem__(self, name: str) -> Query:
        return self._queries[name]
