"""The edge between activities and Temporal: failures get their name and a bounded text, waits get a heartbeat."""

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

SENT_SECONDS = 0.5  # the worker sends heartbeats on this often at most (workers/worker.py)
IDLE_SECONDS = 5.0  # shorter waits for a worker are part of any activity
BEAT_SECONDS = 1.5  # a quarter of the heartbeat time-out of workflows/options.py: three may be lost


class Boundary(Interceptor):
    """Translates what activities raise. Nothing longer than a couple of kilobytes reaches a history."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """See the base class."""
        return _NamedFailures(next)


class _NamedFailures(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await self.next.execute_activity(input)
        except StanchionError as error:
            raise to_application_error(error) from None
        except FailureError:
            raise
        except Exception as error:  # a bug, or a library's error nobody named: retryable, but not with its whole text
            activity.logger.exception("unexpected %s in %s", type(error).__name__, activity.info().activity_type)
            raise ApplicationError(clip(f"{type(error).__name__}: {error}"), type=type(error).__name__) from None


@asynccontextmanager
async def heartbeating() -> AsyncIterator[None]:
    """Heartbeats in the background: a dead worker is noticed, and a cancel arrives while something is awaited."""
    if not activity.in_activity():
        yield
        return
    beats = _Beats()
    try:
        yield
    finally:
        beats.stop()


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


class _Beats:
    """A timer that beats and sets itself again. A task would cost each activity its start, cancelling and end."""

    def __init__(self) -> None:
        _clock.set(_WorkClock())
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_later(BEAT_SECONDS, self._beat)

    def stop(self) -> None:
        self._next.cancel()

    def _beat(self) -> None:
        self._next = self._loop.call_later(BEAT_SECONDS, self._beat)  # first, so that one that fails is not the last
        _heartbeat()


def beats() -> Callable[[], None]:
    """A heartbeat for a provider to give at every sign of life; those that nobody would see are not sent.

    The first one is never throttled by the SDK: for an answer that is there at once it would be a request for nothing.
    """
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if activity.in_activity() and time.monotonic() - last >= SENT_SECONDS:
            last = time.monotonic()
            _heartbeat()

    return beat


def attempt() -> int:
    """Which attempt at its activity this is, from 1; outside of Temporal there is one."""
    return activity.info().attempt if activity.in_activity() else 1


def to_application_error(error: StanchionError) -> ApplicationError:
    """The Temporal failure for `error`: its type name, its clipped text, and whether and when to try again."""
    return ApplicationError(
        clip(str(error)),
        type=type(error).__name__,
        non_retryable=not isinstance(error, Transient),
        next_retry_delay=error.retry_after if isinstance(error, Transient) else None,
    )
