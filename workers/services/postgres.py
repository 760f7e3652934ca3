"""Finds, starts and stops Postgres: the server that DATABASE_URL names, or an embedded server of this home.

An embedded server keeps running after the process that started it. No message of this module shows a password, or a
part of a URL that may contain one.
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

OLDEST = 15  # the oldest tested major version
STARTS = 5  # after a kill -9, the old server's shared memory stays in use until its last child process has ended
START_SECONDS = 300.0  # for a long crash recovery on a slow disk; a normal start takes one second
EXTERNAL_SECONDS = 15.0  # enough for a restart of an external server
ATTEMPT_SECONDS = 5.0
POLL_SECONDS = 0.1
# Fast shutdown; immediate shutdown, which needs recovery at the next start; kill.
STOP_SIGNALS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))


class PostgresUnreachable(ServiceUnavailable):
    """Postgres does not answer."""


@dataclass(frozen=True)
class PostgresService:
    """A Postgres server. `url` may contain a password, so show people `describe(url)` instead."""

    url: str
    owned: bool
    version: str
    pid: int | None = None

    def __repr__(self) -> str:
        return f"PostgresService({describe(self.url)}, version {self.version}, owned={self.owned})"


def describe(url: str) -> str:
    """Return the user, host, port and database of `url` as text, without its password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        sockets = parse_qs(parts.query).get("host", ["?"])
    except ValueError:
        return "the URL given"
    if "@" not in parts.netloc and "@" in url:
        return "the URL given"  # a slash in the password: urlsplit has split the URL in the middle of the password
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
    """Return a Postgres that answers: the server at `database_url`, else this home's server, started if necessary.

    `timeout` is how many seconds the server at `database_url` has to answer. `durable=False` is for tests: a power cut
    may lose data of a new embedded server. Raises `PostgresUnreachable`, with the end of the log if our server died.
    """
    if database_url:
        return PostgresService(database_url, owned=False, version=await reach(database_url, timeout=timeout))
    for _ in range(STARTS):
        record = await _find_or_start(home, progress, durable)
        version = await _wait_until_it_answers(record)
        if version is not None:
            return PostgresService(record.address, owned=True, version=version, pid=record.pid)
        await asyncio.sleep(1.0)
    raise PostgresUnreachable(f"Postgres died while it started:\n{tail_of(home.log(SERVICE))}")


def find_postgres_url(home: Home, database_url: str | None) -> str | None:
    """Return `database_url`, or the URL of this home's running server, or None. Starts nothing, connects to nothing."""
    if database_url:
        return database_url
    record = home.living(SERVICE)
    return record.address if record else None


async def reach(url: str, *, timeout: float = EXTERNAL_SECONDS) -> str:
    """Wait until the server at `url` answers and return its version.

    Raises `PostgresUnreachable` after `timeout` seconds, or at once if the URL or the password is wrong.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            return _require_supported(await _query_version(url), url)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            is_permanent = isinstance(error, asyncpg.InvalidAuthorizationSpecificationError | ValueError)
            if is_permanent or time.monotonic() > deadline:
                # `from None`, because the original error may contain the URL and a traceback would print it.
                raise PostgresUnreachable(_unreachable_text(url, error)) from None
        await asyncio.sleep(POLL_SECONDS)


async def stop_postgres(home: Home) -> bool:
    """Stop the server that this home started, with its data flushed. Returns False if none was running."""
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


async def _wait_until_it_answers(record: Record) -> str | None:
    """Return the server's version, or None if its process ended before it answered."""
    deadline = time.monotonic() + START_SECONDS
    while record.is_alive():
        try:
            return await reach(record.address, timeout=min(1.0, deadline - time.monotonic()))
        except PostgresUnreachable:
            if time.monotonic() > deadline:
                raise
    return None


async def _query_version(url: str) -> str:
    connection = await asyncpg.connect(url, timeout=ATTEMPT_SECONDS)
    try:
        return str(await connection.fetchval("SHOW server_version", timeout=ATTEMPT_SECONDS))
    finally:
        await connection.close(timeout=ATTEMPT_SECONDS)


def _require_supported(version: str, url: str) -> str:
    if int(version.split(".")[0]) < OLDEST:
        raise PostgresUnreachable(f"Postgres at {describe(url)} has version {version}; {OLDEST} or newer is needed.")
    return version


def _unreachable_text(url: str, error: Exception) -> str:
    # The text of a ValueError contains the URL; the other errors come from the network or the server.
    reason = "it is not a valid Postgres URL" if isinstance(error, ValueError) else str(error) or type(error).__name__
    return (
        f"Postgres at {describe(url)} does not answer: {reason}. "
        "Check DATABASE_URL (postgresql://user:password@host:port/database), or unset it to use an embedded server."
    )
