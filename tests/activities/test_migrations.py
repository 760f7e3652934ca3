"""Migrations: each applied once, whoever asks, and never over a schema that is not what it should be."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from activities.errors import Permanent
from activities.storage import migrate
from activities.storage.database import Database, SchemaMissing, StoreUnavailable
from activities.storage.migrate import MigrationChanged, SchemaTooNew, known_migrations, schema_status, upgrade
from activities.storage.queries import Query
from tests.harness import databases
from workers.services import Services


@pytest_asyncio.fixture
async def empty_url(services: Services) -> AsyncIterator[str]:
    """A database without tables."""
    url = await databases.create(services.postgres.url)
    yield url
    await databases.drop(services.postgres.url, url)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of migrations for this test: one table, then a slow second."""
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (n integer);", encoding="utf-8")
    (tmp_path / "0002_second.sql").write_text(
        "SELECT pg_sleep(0.1); CREATE TABLE second (n integer); INSERT INTO second VALUES (1);", encoding="utf-8"
    )
    (tmp_path / "notes.sql").write_text("nonsense", encoding="utf-8")
    monkeypatch.setattr(migrate, "FOLDER", tmp_path)
    return tmp_path


async def value(url: str, sql: str) -> Any:
    """One value from a database."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def test_the_migrations_that_are_brought_are_numbered_without_gaps() -> None:
    assert [m.version for m in known_migrations()] == list(range(1, len(known_migrations()) + 1))


async def test_a_migration_is_applied_once_and_in_order(empty_url: str, folder: Path) -> None:
    assert await schema_status(empty_url) == (0, 2)
    assert [m.name for m in await upgrade(empty_url)] == ["first", "second"]
    assert await upgrade(empty_url) == ()
    assert await schema_status(empty_url) == (2, 2)
    assert await value(empty_url, "SELECT count(*) FROM second") == 1


async def test_upgrades_at_once_wait_for_each_other(empty_url: str, folder: Path) -> None:
    applied = await asyncio.gather(*(upgrade(empty_url) for _ in range(6)))
    assert sorted(len(migrations) for migrations in applied) == [0, 0, 0, 0, 0, 2]
    assert await value(empty_url, "SELECT count(*) FROM second") == 1


async def test_a_migration_that_fails_leaves_nothing_of_itself(empty_url: str, folder: Path) -> None:
    broken = folder / "0003_broken.sql"
    broken.write_text("CREATE TABLE third (n integer); SELECT no_such_column;", encoding="utf-8")
    with pytest.raises(SchemaMissing):
        await upgrade(empty_url)
    assert await schema_status(empty_url) == (2, 3)
    assert await value(empty_url, "SELECT to_regclass('third')::text") is None
    broken.write_text("CREATE TABLE third (n integer);", encoding="utf-8")
    assert [m.version for m in await upgrade(empty_url)] == [3]


async def test_a_migration_that_was_changed_afterwards_is_refused(empty_url: str, folder: Path) -> None:
    await upgrade(empty_url)
    with (folder / "0001_first.sql").open("a", encoding="utf-8") as file:
        file.write("\n-- changed")
    (folder / "0003_third.sql").write_text("CREATE TABLE third (n integer);", encoding="utf-8")
    with pytest.raises(MigrationChanged, match="0001_first") as refusal:
        await upgrade(empty_url)
    assert isinstance(refusal.value, Permanent)
    assert await value(empty_url, "SELECT to_regclass('third')::text") is None


async def test_a_schema_of_a_later_version_is_refused(empty_url: str, folder: Path) -> None:
    await upgrade(empty_url)
    (folder / "0002_second.sql").unlink()
    with pytest.raises(SchemaTooNew, match="at migration 2, this version knows 1"):
        await upgrade(empty_url)


async def test_the_lock_is_free_again_after_a_refusal(empty_url: str, folder: Path) -> None:
    await upgrade(empty_url)
    changed = folder / "0001_first.sql"
    text = changed.read_text(encoding="utf-8")
    changed.write_text(text + " ", encoding="utf-8")
    with pytest.raises(MigrationChanged):
        await upgrade(empty_url)
    changed.write_text(text, encoding="utf-8")
    assert await asyncio.wait_for(upgrade(empty_url), 20) == ()


async def test_tables_that_are_not_there_are_named_with_what_to_do(empty_url: str) -> None:
    database = Database(empty_url)
    try:
        with pytest.raises(SchemaMissing, match="stanchion db upgrade"):
            await Query("q", "SELECT * FROM runs").rows(database)
    finally:
        await database.close()


async def test_a_postgres_that_is_away_is_transient_and_its_password_is_not_told() -> None:
    url = "postgresql://me:hunter2@127.0.0.1:1/none"
    for refused in (upgrade(url), schema_status(url), Query("q", "SELECT 1").rows(Database(url))):
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1/none") as refusal:
            await refused
        assert "hunter2" not in str(refusal.value)
