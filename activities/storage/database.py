"""The pool of connections to Postgres, and the one place where its failures get a name."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from activities.errors import Permanent, Transient

COMMAND_SECONDS = 20  # a statement that takes longer is stuck; the activity's own time-out is 30 s
POOL_SIZE = 10  # of Postgres's default 100: room for several workers; two cores cannot use more

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
    """Postgres cannot be reached or does not answer; it may come back."""


class SchemaMissing(Permanent):
    """The database has no tables of ours, or older ones; run `stanchion db upgrade`."""


class Database:
    """A pool that is opened at first use, so that a worker starts while Postgres is away and works once it is back."""

    def __init__(self, url: str, *, pool_size: int = POOL_SIZE) -> None:
        self._url = url
        self._pool_size = pool_size
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()
        self.statements: Counter[str] = Counter()  # named queries that were sent, by name

    @property
    def url(self) -> str:
        """The URL, password included: for connecting, never for showing."""
        return self._url

    async def pool(self) -> asyncpg.Pool:
        """The pool. Raises StoreUnavailable."""
        if self._pool is None:
            async with self._opening:
                if self._pool is None:
                    with_names = {"application_name": "stanchion"}
                    with naming_failures(self._url):
                        self._pool = await asyncpg.create_pool(
                            self._url,
                            min_size=1,
                            max_size=self._pool_size,
                            command_timeout=COMMAND_SECONDS,
                            timeout=10,
                            server_settings=with_names,
                            reset=_nothing_to_reset,
                        )
        return self._pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A connection in a transaction. Raises StoreUnavailable."""
        pool = await self.pool()
        with naming_failures(self._url):
            async with pool.acquire() as connection, connection.transaction():
                yield connection

    @asynccontextmanager
    async def together(self) -> "AsyncIterator[Database]":
        """This database, all of whose statements are one transaction. Raises StoreUnavailable."""
        async with self.transaction() as connection:
            one = Database(self._url)
            one.statements = self.statements
            one._pool = connection  # it has the two methods of a pool that queries use
            yield one

    async def close(self) -> None:
        """Close the pool; waits at most a few seconds for statements in flight."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), 5)
        except (TimeoutError, *UNAVAILABLE):
            pool.terminate()


async def _nothing_to_reset(connection: object) -> None:
    """Instead of asyncpg's RESET ALL and its kin, a second round trip after every statement.

    No statement here changes its session (no SET, LISTEN, cursor or session lock); an open transaction is rolled back
    by asyncpg all the same.
    """


class naming_failures:
    """Turns what asyncpg raises when Postgres is away into StoreUnavailable, and a missing table into SchemaMissing."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
            raise SchemaMissing(f"{error}: run `stanchion db upgrade`") from error
        if isinstance(error, UNAVAILABLE):
            raise StoreUnavailable(f"Postgres at {place(self._url)}: {error or type(error).__name__}") from error


def place(url: str) -> str:
    """Where `url` points, without user and password."""
    parts = urlsplit(url)
    if parts.hostname:
        return f"{parts.hostname}:{parts.port or 5432}{parts.path}"
    return f"{parts.query.removeprefix('host=') or 'localhost'}{parts.path}"
