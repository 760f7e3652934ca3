"""Postgres: the one that DATABASE_URL names, or an embedded one of our own that outlives us.

No message in here shows a password, nor any part of a URL that could hold one.
"""

import asyncio
import signal
import subprocess
import time
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import asyncpg

from workers.services import embedded_postgres
from workers.services.embedded_postgres import SERVICE
from workers.services.home import Home, Progress, Record, ServiceUnavailable
from workers.services.processes import stop, tail_of

OLDEST = 15  # the oldest that this is tested with
STARTS = 5  # after a kill -9 the memory of the old server is busy until its last child has noticed
START_SECONDS = 300.0  # a long crash recovery on a slow disk; a healthy start takes one
EXTERNAL_SECONDS = 15.0  # bridges a restart of a server that runs already
ATTEMPT_SECONDS = 5.0
POLL_SECONDS = 0.1
# Fast shutdown, immediate shutdown (recovers at the next start), and the last resort.
STOP_SIGNALS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))


class PostgresUnreachable(ServiceUnavailable):
    """Postgres does not answer."""


@dataclass(frozen=True)
class PostgresService:
    """A Postgres server. `url` may hold a password: hand it to a driver, show `describe(url)`."""

    url: str
    owned: bool
    version: str
    pid: int | None = None

    def __repr__(self) -> str:
        return f"PostgresService({describe(self.url)}, version {self.version}, owned={self.owned})"


def describe(url: str) -> str:
    """The user, host, port and database of `url`, for people to read; never its password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        sockets = parse_qs(parts.query).get("host", ["?"])
    except ValueError:
        return "the URL given"
    if "@" not in parts.netloc and "@" in url:
        return "the URL given"  # a password with a slash in it was cut at the wrong place
    user = f"{parts.username}@" if parts.username else ""
    return f"{user}{host or sockets[0]}{f':{port}' if port else ''}{parts.path}"


async def ensure_postgres(
    home: Home,
    database_url: str | None,
    progress: Progress,
    *,
    timeout: float = EXTERNAL_SECONDS,
    durable: bool = True,
) -> PostgresService:
    """A Postgres that answers: the one at `database_url`, this home's living one, or a new one on this home's data.

    `timeout` is how many seconds the server at `database_url` gets to answer. A new one of ours that is not `durable`
    is for tests: a power cut may lose its data. Raises `PostgresUnreachable`, with the end of its log if ours died.
    """
    if database_url:
        return PostgresService(database_url, owned=False, version=await reach(database_url, timeout=timeout))
    for _ in range(STARTS):
        record = await _find_or_start(home, progress, durable)
        version = await _until_it_answers(record)
        if version is not None:
            return PostgresService(record.address, owned=True, version=version, pid=record.pid)
        await asyncio.sleep(1.0)
    raise PostgresUnreachable(f"Postgres died while it started:\n{tail_of(home.log(SERVICE))}")


def find_postgres_url(home: Home, database_url: str | None) -> str | None:
    """The URL given, or that of this home's living server; starts and asks nothing."""
    if database_url:
        return database_url
    record = home.living(SERVICE)
    return record.address if record else None


async def reach(url: str, *, timeout: float = EXTERNAL_SECONDS) -> str:
    """The version of the server at `url`, once it answers. Raises `PostgresUnreachable` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return _supported(await _ask(url), url)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            hopeless = isinstance(error, asyncpg.InvalidAuthorizationSpecificationError | ValueError)
            if hopeless or time.monotonic() > deadline:
                # From None: the error below may quote the URL, and a traceback would print it.
                raise PostgresUnreachable(_message(url, error)) from None
        await asyncio.sleep(POLL_SECONDS)


async def stop_postgres(home: Home) -> bool:
    """End the server that this home started, its data flushed; False if none was running."""
    async with home.locked(SERVICE):
        record = home.living(SERVICE)
        if record is not None and not await stop(record.pid, record.is_alive, STOP_SIGNALS):
            raise ServiceUnavailable(f"Postgres (process {record.pid}) did not end.")
        embedded_postgres.clean_up(home)
        return record is not None


async def _find_or_start(home: Home, progress: Progress, durable: bool) -> Record:
    async with home.locked(SERVICE):
        record = home.living(SERVICE) or embedded_postgres.adopt(home)
        if record is None:
            try:
                record = await embedded_postgres.start(home, home.log(SERVICE), progress, durable)
            except (OSError, subprocess.SubprocessError) as error:
                raise PostgresUnreachable(f"Postgres could not be started: {error}") from error
        home.write(SERVICE, record)
        return record


async def _until_it_answers(record: Record) -> str | None:
    """The server's version, or None if its process ended before it answered."""
    deadline = time.monotonic() + START_SECONDS
    while record.is_alive():
        try:
            return await reach(record.address, timeout=min(1.0, deadline - time.monotonic()))
        except PostgresUnreachable:
            if time.monotonic() > deadline:
                raise
    return None


async def _ask(url: str) -> str:
    connection = await asyncpg.connect(url, timeout=ATTEMPT_SECONDS)
    try:
        return str(await connection.fetchval("SHOW server_version", timeout=ATTEMPT_SECONDS))
    finally:
        await connection.close(timeout=ATTEMPT_SECONDS)


def _supported(version: str, url: str) -> str:
    if int(version.split(".")[0]) < OLDEST:
        raise PostgresUnreachable(f"Postgres at {describe(url)} has version {version}; {OLDEST} or newer is needed.")
    return version


def _message(url: str, error: Exception) -> str:
    # A ValueError is about the URL and quotes it; the other errors come from the network or the server.
    reason = "it is not a valid Postgres URL" if isinstance(error, ValueError) else str(error) or type(error).__name__
    return (
        f"Postgres at {describe(url)} does not answer: {reason}. "
        "Check DATABASE_URL (postgresql://user:password@host:port/database), or unset it for a server of our own."
    )
