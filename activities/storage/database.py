"""`Database`, a pool of connections to Postgres, and the translation of asyncpg's errors into ours."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from activities.errors import Permanent, Transient

COMMAND_SECONDS = 20  # a statement that takes longer counts as stuck; the activities' time-out is 30 s
POOL_SIZE = 10  # Postgres allows 100 by default, which is enough for several workers; two cores cannot use more

UNAVAILABLE = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)


class StoreUnavailable(Transient):
    """Postgres cannot be reached, or does not answer; a retry may succeed."""


class SchemaMissing(Permanent):
    """The database lacks Stanchion's tables, or has an older version of them; run `stanchion db upgrade`."""


class Database:
    """A pool that is opened at its first use, so that a worker can start while Postgres is down."""

    def __init__(self, url: str, *, pool_size: int = POOL_SIZE) -> None:
        self._url = url
        self._pool_size = pool_size
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()
        self.statements: Counter[str] = Counter()  # number of executions of each named query

    @property
    def url(self) -> str:
        """The URL with its password. Never display it; `place` gives the part without the password."""
        return self._url

    async def pool(self) -> asyncpg.Pool:
        """The pool, opened if it is not yet. Raises StoreUnavailable."""
        if self._pool is None:
            async with self._opening:
                if self._pool is None:
                    session_settings = {"application_name": "stanchion"}
                    with translated_errors(self._url):
                        self._pool = await asyncpg.create_pool(
                            self._url,
                            min_size=1,
                            max_size=self._pool_size,
                            command_timeout=COMMAND_SECONDS,
                            timeout=10,
                            server_settings=session_settings,
                            reset=_skip_reset,
                        )
        return self._pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A connection in a transaction. Raises StoreUnavailable."""
        pool = await self.pool()
        with translated_errors(self._url):
            async with pool.acquire() as connection, connection.transaction():
                yield connection

    @asynccontextmanager
    async def together(self) -> "AsyncIterator[Database]":
        """A Database whose statements all run in one transaction of this one. Raises StoreUnavailable."""
        async with self.transaction() as connection:
            in_transaction = Database(self._url)
            in_transaction.statements = self.statements
            in_transaction._pool = connection  # a connection has the pool's methods that queries use
            yield in_transaction

    async def close(self) -> None:
        """Close the pool; wait at most 5 seconds for statements in flight."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), 5)
        except (TimeoutError, *UNAVAILABLE):
            pool.terminate()


async def _skip_reset(connection: object) -> None:
    """Replaces asyncpg's reset of a released connection (RESET ALL and others), which costs a second round trip.

    It is not needed: no statement of ours changes its session (no SET, LISTEN, cursor or session lock), and asyncpg
    still rolls back an open transaction.
    """


class translated_errors:
    """Translates asyncpg's errors: lost or refused connections to StoreUnavailable, missing tables to SchemaMissing."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
            raise SchemaMissing(f"{error}: run `stanchion db upgrade`") from error
        if isinstance(error, UNAVAILABLE):
            raise StoreUnavailable(f"Postgres at {place(self._url)}: {error or type(error).__name__}") from error


def place(url: str) -> str:
    """The host, port and database of `url`, without user and password."""
    parts = urlsplit(url)
    if parts.hostname:
        return f"{parts.hostname}:{parts.port or 5432}{parts.path}"
    return f"{parts.query.removeprefix('host=') or 'localhost'}{parts.path}"
