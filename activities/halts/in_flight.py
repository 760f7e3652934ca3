"""Watches the calls in flight in one worker process, and cancels those that a new halt covers.

It listens for notifications on its own connection, and polls the table twice a second as well, so that a lost
notification or a dead listener delays a cancellation by at most half a second. The watch only cancels. That no effect
begins after a halt has committed is guaranteed by the claim, with or without a watch.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncpg
import structlog

from activities.halts.halts import SQL
from activities.storage.database import UNAVAILABLE, Database, StoreUnavailable
from workflows.contracts.halts import HaltNotice

CHANNEL = "stanchion_halts"
LOOK_SECONDS = 0.5  # between polls; half the time that a stop may take, and each poll is one small indexed read
ANSWER_SECONDS = 2.0  # a connection that does not answer for longer counts as lost, even if TCP keeps it open
RELISTEN_SECONDS = (0.05, 0.2, 0.5, 1.0, 2.0)  # between attempts to listen; polling goes on meanwhile

T = TypeVar("T")
log = structlog.get_logger("stanchion.halts")


class StoppedByHalt(Exception):
    """A halt covers this work, so that it was not begun, or was cancelled."""

    def __init__(self, halt: HaltNotice) -> None:
        super().__init__(str(halt))
        self.halt = halt


@dataclass(frozen=True)
class InFlightCall:
    """A tool call or (without a tool) a model call in flight, with its run and the runs above that."""

    run_id: str
    agent: str
    tenant: str
    tool: str | None = None
    call_id: str | None = None
    runs_above: frozenset[str] = frozenset()
    agents_above: frozenset[str] = frozenset()

    @classmethod
    def of(cls, run_id: str, row: Any, tool: str | None = None, call_id: str | None = None) -> "InFlightCall":
        """Build it from a row with the run's agent, tenant, lineage and agents above."""
        above = frozenset(row["lineage"] or ()), frozenset(row["agents_above"] or ())
        return cls(run_id, row["agent"], row["tenant"], tool, call_id, *above)

    def covered_by(self, halt: HaltNotice) -> bool:
        """Whether the halt's scope contains this call."""
        match halt.scope:
            case "fleet":
                return True
            case "run":
                return self.run_id == halt.target or halt.target in self.runs_above
            case "agent":
                return self.agent == halt.target or halt.target in self.agents_above
            case "tenant":
                return self.tenant == halt.target
            case "tool":
                return self.tool == halt.target


StopHook = Callable[[InFlightCall, HaltNotice], Awaitable[None] | None]


@dataclass(eq=False)
class _Entry:
    call: InFlightCall
    task: "asyncio.Task[Any]"
    halt: HaltNotice | None = None  # the halt that cancelled it


@dataclass(eq=False)
class HaltWatch:
    """Cancels the calls in flight in this process that a halt covers. Starts with the first call.

    `listen_url`: the database URL to listen on, if not the pool's: a connection pooler may not forward notifications.
    """

    database: Database
    listen_url: str | None = None
    _entries: set[_Entry] = field(default_factory=set)
    _hooks: list[StopHook] = field(default_factory=list)
    _hook_tasks: set["asyncio.Task[None]"] = field(default_factory=set)  # hooks that are still running
    _active: tuple[HaltNotice, ...] = ()
    _poll_now: asyncio.Event = field(default_factory=asyncio.Event)  # set by a notification, to poll at once
    _listening: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: "asyncio.Task[None] | None" = None

    @property
    def active(self) -> tuple[HaltNotice, ...]:
        """The halts in force at the last poll."""
        return self._active

    @property
    def in_flight(self) -> tuple[InFlightCall, ...]:
        """The calls in flight in this process."""
        return tuple(entry.call for entry in self._entries)

    @property
    def listens(self) -> bool:
        """Whether it listens for notifications at the moment."""
        return self._listening.is_set()

    def on_stop(self, hook: StopHook) -> Callable[[], None]:
        """Register `hook(call, halt)`, to be called for every call that is cancelled. Returns a function to unregister.

        A hook ends what a cancellation does not end, such as a sandbox or an open connection.
        """
        self._hooks.append(hook)
        return lambda: self._hooks.remove(hook)

    async def over(self, call: InFlightCall, work: Coroutine[Any, Any, T]) -> T:
        """Await the `work` of `call`. Raises StoppedByHalt if a halt cancelled it; other cancellations pass through."""
        self.start()
        task = asyncio.create_task(work)
        entry = _Entry(call, task)
        self._entries.add(entry)
        try:
            for halt in self._active:
                self._stop(entry, halt)
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if entry.halt is None or (current and current.cancelling()):
                raise
            raise StoppedByHalt(entry.halt) from None
        finally:
            self._entries.discard(entry)

    def start(self) -> None:
        """Start to watch, unless it does already."""
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop watching."""
        loop, self._loop = self._loop, None
        if loop:
            loop.cancel()
            with suppress(asyncio.CancelledError):
                await loop

    # ── watching ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _watch(self) -> None:
        polling = asyncio.create_task(self._poll_for_ever())
        try:
            await self._listen_for_ever()
        finally:
            polling.cancel()
            with suppress(asyncio.CancelledError):
                await polling

    async def _poll_for_ever(self) -> None:
        """Poll after each notification, and at least every LOOK_SECONDS."""
        has_failed = False
        while True:
            self._poll_now.clear()
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    self._apply(await SQL["active"].rows(self.database))
                has_failed = False
            except (StoreUnavailable, TimeoutError) as error:  # claims fail then too
                if not has_failed:
                    log.warning("cannot look for halts", reason=str(error) or type(error).__name__)
                has_failed = True
            except Exception:
                log.exception("looking for halts failed")
            with suppress(TimeoutError):  # not wait_for: before Python 3.12 it can swallow a cancellation
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._poll_now.wait()

    async def _listen_for_ever(self) -> None:
        failures = 0
        while True:
            try:
                await self._listen()
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                if self._listening.is_set() or not failures:
                    log.warning("does not hear of halts; it looks", reason=str(error) or type(error).__name__)
            failures = 0 if self._listening.is_set() else failures + 1
            self._listening.clear()
            await asyncio.sleep(RELISTEN_SECONDS[min(failures, len(RELISTEN_SECONDS) - 1)])

    async def _listen(self) -> None:
        """Listen until the connection is lost, or no longer answers."""
        connection = await asyncpg.connect(self.listen_url or self.database.url, timeout=ANSWER_SECONDS)
        try:
            await connection.add_listener(CHANNEL, lambda *_: self._poll_now.set())
            self._listening.set()
            self._poll_now.set()  # poll for halts that were ordered before it listened
            while not connection.is_closed():
                await connection.fetchval("SELECT 1", timeout=ANSWER_SECONDS)
                await asyncio.sleep(ANSWER_SECONDS)
        finally:
            connection.terminate()

    def _apply(self, rows: list[Any]) -> None:
        self._active = tuple(
            HaltNotice(halt_id=r["halt_id"], scope=r["scope"], target=r["target"], by=r["by"], reason=r["reason"])
            for r in rows
        )
        for halt in self._active:
            for entry in list(self._entries):
                self._stop(entry, halt)

    # ── stopping ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _stop(self, entry: _Entry, halt: HaltNotice) -> None:
        """Cancel a call that the halt covers. Only once: it may be storing a result after the first cancellation."""
        if entry.halt is not None or not entry.call.covered_by(halt):
            return
        entry.halt = halt
        entry.task.cancel()
        for hook in self._hooks:
            task = asyncio.create_task(_call_hook(hook, entry.call, halt))
            self._hook_tasks.add(task)
            task.add_done_callback(self._hook_tasks.discard)


async def _call_hook(hook: StopHook, call: InFlightCall, halt: HaltNotice) -> None:
    """Call a hook and log its error, so that the other hooks are called too."""
    try:
        result = hook(call, halt)
        if inspect.isawaitable(result):
            await result
    except Exception:
        log.exception("a stop hook failed", run_id=call.run_id, call_id=call.call_id)
