"""Applies numbered SQL migrations in order, each in its own transaction, under one advisory lock."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from activities.errors import Permanent
from activities.storage.database import translated_errors

FOLDER = Path(__file__).parent / "migrations"
LOCK = 7_305_412_201  # an arbitrary fixed number; concurrent upgrades wait for each other

HISTORY_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


class MigrationChanged(Permanent):
    """An applied migration was changed later; restore its file, and write a new migration instead."""


class SchemaTooNew(Permanent):
    """A newer version of Stanchion has upgraded the database; use that version."""


@dataclass(frozen=True)
class Migration:
    """A migration file `NNNN_name.sql`."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the file's text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def known_migrations() -> tuple[Migration, ...]:
    """All migrations of this version of Stanchion, in order."""
    files = sorted(FOLDER.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    return tuple(Migration(version=int(f.stem[:4]), name=f.stem[5:], sql=f.read_text(encoding="utf-8")) for f in files)


async def upgrade(url: str) -> tuple[Migration, ...]:
    """Apply and return the missing migrations. Raises StoreUnavailable, MigrationChanged, SchemaTooNew."""
    with translated_errors(url):
        connection = await asyncpg.connect(url, timeout=20)
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
            await connection.execute(HISTORY_TABLE)
            missing = await _missing_migrations(connection)
            for migration in missing:
                async with connection.transaction():
                    await connection.execute(migration.sql)
                    await connection.execute(
                        "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
                        migration.version,
                        migration.name,
                        migration.checksum,
                    )
            return missing
        finally:
            await connection.close()


async def schema_status(url: str) -> tuple[int, int]:
    """The number of applied migrations, and the number that this version knows. Raises StoreUnavailable."""
    with translated_errors(url):
        connection = await asyncpg.connect(url, timeout=20)
        try:
            if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
                return 0, len(known_migrations())
            return await connection.fetchval("SELECT count(*) FROM schema_migrations"), len(known_migrations())
        finally:
            await connection.close()


async def _missing_migrations(connection: asyncpg.Connection) -> tuple[Migration, ...]:
    applied = {row["version"]: row["checksum"] for row in await connection.fetch("SELECT * FROM schema_migrations")}
    migrations = known_migrations()
    if applied and max(applied) > max(m.version for m in migrations):
        raise SchemaTooNew(f"the database is at migration {max(applied)}, this version knows {migrations[-1].version}")
    for migration in migrations:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise MigrationChanged(
                f"migration {migration.version:04d}_{migration.name} was changed after it was applied"
            )
    return tuple(m for m in migrations if m.version not in applied)
