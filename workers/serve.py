"""Runs the workers of one process until it is asked to stop, then lets calls in flight finish."""

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

DRILL_KEY = "drill"  # signs the reports of scheduled drills; `stanchion keys new drill --surface` makes it


async def serve(
    session: Session, settings: Settings, roles: Sequence[Role], ready: Callable[[], None], stop: asyncio.Event
) -> None:
    """Run `roles` until `stop` is set. If a worker fails, raises its error."""
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
    """Set `stop` at the first Ctrl-C or SIGTERM. A second one has its default effect."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):

        def on_signal(number: signal.Signals = number) -> None:
            loop.remove_signal_handler(number)
            stop.set()

        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, on_signal)


def flush_and_exit(code: int) -> None:
    """Flush all output and end the process at once, because the SDK's threads sometimes abort a normal exit."""
    telemetry.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
