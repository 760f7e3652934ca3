"""Being woken: NOTIFY from Postgres rings a bell. A lost notification costs a few seconds, never an approval."""

import asyncio
import contextlib

import asyncpg
import structlog

CHANNEL = "stanchion_approvals"
AGAIN_SECONDS = 2.0  # after the connection that listens was lost
CONNECT_SECONDS = 10.0

log = structlog.get_logger("stanchion.slack")


class WakeEvent:
    """Rung by whoever knows of news; heard once, however often it was rung."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """There may be news."""
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        """Until it rings, and at most so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), seconds)
        self._rung.clear()


async def listen(database_url: str, bell: WakeEvent) -> None:
    """Ring for every notification, for ever. A lost connection is made anew, and rings for what was missed."""
    while True:
        try:
            connection = await asyncpg.connect(database_url, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("slack.listen.unreachable", error=type(error).__name__)
        else:
            await _until_lost(connection, bell)
        await asyncio.sleep(AGAIN_SECONDS)


async def _until_lost(connection: asyncpg.Connection, bell: WakeEvent) -> None:
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    try:
        await connection.add_listener(CHANNEL, lambda *_: bell.ring())
        bell.ring()
        await lost.wait()
        log.warning("slack.listen.lost")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        log.warning("slack.listen.lost", error=type(error).__name__)
    finally:
        connection.terminate()
