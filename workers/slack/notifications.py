"""Wakes the bot when Postgres sends a NOTIFY. Polling makes up for lost notifications, a few seconds later."""

import asyncio
import contextlib

import asyncpg
import structlog

CHANNEL = "stanchion_approvals"
RECONNECT_SECONDS = 2.0  # wait after the listening connection was lost
CONNECT_SECONDS = 10.0

log = structlog.get_logger("stanchion.slack")


class WakeEvent:
    """An event that one task waits for. Several `set` calls before a `wait` count as one."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake the waiting task: approvals or alarms may have changed."""
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Wait until the event is set, at most `seconds`, and clear it."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)
        self._event.clear()


async def listen(database_url: str, wake: WakeEvent) -> None:
    """Set `wake` for every notification, for ever. Reconnects after a loss, and then sets `wake` once."""
    while True:
        try:
            connection = await asyncpg.connect(database_url, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("slack.listen.unreachable", error=type(error).__name__)
        else:
            await _listen_until_lost(connection, wake)
        await asyncio.sleep(RECONNECT_SECONDS)


async def _listen_until_lost(connection: asyncpg.Connection, wake: WakeEvent) -> None:
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    try:
        await connection.add_listener(CHANNEL, lambda *_: wake.set())
        wake.set()
        await lost.wait()
        log.warning("slack.listen.lost")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        log.warning("slack.listen.lost", error=type(error).__name__)
    finally:
        connection.terminate()
