"""What a database must hold before a worker starts: the tables, and a policy for everyone."""

from activities.policy.cedar.store import install_default
from activities.storage.database import Database
from activities.storage.migrate import Migration, upgrade


async def prepare_database(url: str) -> tuple[Migration, ...]:
    """Apply the migrations that are missing and, if no policy is in force for '*', put the default one there.

    Returns what was applied. Safe to repeat, also at once. Raises StoreUnavailable, SchemaTooNew.
    """
    applied = await upgrade(url)
    database = Database(url)
    try:
        await install_default(database)
    finally:
        await database.close()
    return tuple(applied)
