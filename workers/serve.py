"""Serving: one process that runs workers until it is told to stop, and then lets what is in flight finish."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from workers import keys, telemetry
from workers.cli_connection import Session
from workers.schedules import ensure_reaper
from workers.services import Home
from workers.settings import Settings
from workers.worker import Role, build, work

DRILL_KEY = "drill"  # `stanchion keys new drill --surface` makes one: drills on a schedule are signed with it


async def serve(
    session: Session, settings: Settings, roles: Sequence[Role], ready: Callable[[], None], stop: asyncio.Event
) -> None:
    """Run `roles` until `stop` is set. Raises what a worker died of."""
    parts = build(settings, session.database.url)
    if signer := keys.find(Home.locate(), DRILL_KEY):
        parts.drills.sign_with(signer.statement)
    try:
        if "operations" in roles:
            await ensure_reaper(session.client, settings.task_queue)
        await work(session.client, settings, parts, roles, stop, ready)
    finally:
        await parts.close()


def stop_on_signals(stop: asyncio.Event) -> None:
    """Ctrl-C and SIGTERM ask for a clean stop; a second one is left to the default."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):

        def asked(number: signal.Signals = number) -> None:
            loop.remove_signal_handler(number)
            stop.set()

        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, asked)


def leave(code: int) -> None:
    """End the process at once, everything flushed: the SDK's threads sometimes abort an orderly interpreter exit."""
    telemetry.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
