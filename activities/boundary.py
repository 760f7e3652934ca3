"""The edge between activities and Temporal: failures get their name and a bounded text, waits get a heartbeat."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.errors import StanchionError, Transient, clip

SENT_SECONDS = 0.5  # the worker sends heartbeats on this often at most (workers/worker.py)
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


class _Beats:
    """A timer that beats and sets itself again. A task would cost each activity its start, cancelling and end."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_later(BEAT_SECONDS, self._beat)

    def stop(self) -> None:
        self._next.cancel()

    def _beat(self) -> None:
        self._next = self._loop.call_later(BEAT_SECONDS, self._beat)  # first, so that one that fails is not the last
        activity.heartbeat()


def beats() -> Callable[[], None]:
    """A heartbeat for a provider to give at every sign of life; those that nobody would see are not sent.

    The first one is never throttled by the SDK: for an answer that is there at once it would be a request for nothing.
    """
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if activity.in_activity() and time.monotonic() - last >= SENT_SECONDS:
            last = time.monotonic()
            activity.heartbeat()

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
