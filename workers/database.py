"""Prepares a database for workers: applies migrations and installs the default policy."""

from activities.policy.cedar.store import install_default
from activities.storage.database import Database
from activities.storage.migrate import Migration, upgrade


async def prepare_database(url: str) -> tuple[Migration, ...]:
    """Apply the missing migrations and, if no policy is in force for '*', install the default policy.

    Returns the applied migrations. Safe to repeat and to run concurrently. Raises StoreUnavailable, SchemaTooNew.
    """
    applied = await upgrade(url)
    database = Database(url)
    try:
        await install_default(database)
    finally:
        await database.close()
    return tuple(applied)
