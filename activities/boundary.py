"""Connects activities to Temporal: translates their errors into failures, and sends heartbeats while they wait."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.errors import StanchionError, Transient, clip

SENT_SECONDS = 0.5  # the shortest interval in which a worker forwards heartbeats (workers/worker.py)
IDLE_SECONDS = 5.0  # shorter waits for a worker are part of any activity
BEAT_SECONDS = 1.5  # a quarter of the heartbeat time-out in workflows/options.py: three heartbeats may be lost


class Boundary(Interceptor):
    """Translates the exceptions of activities into Temporal failures whose text is at most about two kilobytes."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """See the base class."""
        return _FailureTranslator(next)


class _FailureTranslator(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await self.next.execute_activity(input)
        except StanchionError as error:
            raise to_application_error(error) from None
        except FailureError:
            raise
        except Exception as error:  # a bug, or an unmapped error of a library: retryable, with a clipped text
            activity.logger.exception("unexpected %s in %s", type(error).__name__, activity.info().activity_type)
            raise ApplicationError(clip(f"{type(error).__name__}: {error}"), type=type(error).__name__) from None


@asynccontextmanager
async def heartbeating() -> AsyncIterator[None]:
    """Send heartbeats in the background, so that Temporal detects a dead worker and can deliver a cancellation."""
    if not activity.in_activity():
        yield
        return
    heartbeats = _HeartbeatTimer()
    try:
        yield
    finally:
        heartbeats.stop()


class _WorkClock:
    """Seconds that all attempts at an activity were at work. Each heartbeat carries them to the next attempt."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        details = activity.info().heartbeat_details if attempt() > 1 else ()
        self._before = details[0] if details and isinstance(details[0], int | float) else 0.0

    @property
    def seconds(self) -> float:
        return float(self._before + time.monotonic() - self._began)


_clock: ContextVar[_WorkClock | None] = ContextVar("work_clock", default=None)


def worked_seconds() -> float:
    """Seconds that this attempt and those before it were at work, as far as their heartbeats arrived."""
    clock = _clock.get()
    return clock.seconds if clock else 0.0


def waited_seconds() -> float:
    """Seconds since this activity was scheduled, by this machine's clock; 0 outside of Temporal."""
    if not activity.in_activity():
        return 0.0
    return max((datetime.now(UTC) - activity.info().scheduled_time).total_seconds(), 0.0)


def idle_seconds() -> float:
    """Seconds since this activity was scheduled in which no attempt was at work; 0 below `IDLE_SECONDS`."""
    idle = waited_seconds() - worked_seconds()
    return round(idle, 3) if idle >= IDLE_SECONDS else 0.0


def _heartbeat() -> None:
    activity.heartbeat(round(worked_seconds(), 3))


class _HeartbeatTimer:
    """Sends a heartbeat and re-arms itself. A timer is cheaper than a task: nothing to start, cancel and await."""

    def __init__(self) -> None:
        _clock.set(_WorkClock())
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_later(BEAT_SECONDS, self._beat)

    def stop(self) -> None:
        self._next.cancel()

    def _beat(self) -> None:
        self._next = self._loop.call_later(BEAT_SECONDS, self._beat)  # re-arm first: the heartbeat may raise
        _heartbeat()


def beats() -> Callable[[], None]:
    """Return a function that sends a heartbeat, at most one every `SENT_SECONDS`. A provider calls it at each event.

    The first heartbeat is delayed too: the SDK sends a first one at once, and a fast answer would not need it.
    """
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if activity.in_activity() and time.monotonic() - last >= SENT_SECONDS:
            last = time.monotonic()
            _heartbeat()

    return beat


def attempt() -> int:
    """The number of the current activity attempt, from 1; always 1 outside of Temporal."""
    return activity.info().attempt if activity.in_activity() else 1


def to_application_error(error: StanchionError) -> ApplicationError:
    """The Temporal failure for `error`: its type name, its clipped text, and whether and when to retry."""
    return ApplicationError(
        clip(str(error)),
        type=type(error).__name__,
        non_retryable=not isinstance(error, Transient),
        next_retry_delay=error.retry_after if isinstance(error, Transient) else None,
    )
