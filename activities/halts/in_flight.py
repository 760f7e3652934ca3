"""Watches the calls in flight in one worker process, and cancels those that a new halt covers.

It listens on a connection of its own and looks at the table twice a second besides, so a notification that got lost, or
a listener that hears nothing any more, costs half a second. It starts nothing and permits nothing: that no effect
begins once a halt has committed is the claim's business, whether or not anyone watches.
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
LOOK_SECONDS = 0.5  # half of what a stop may take; one small indexed read
ANSWER_SECONDS = 2.0  # a connection that is silent for longer is lost, whatever TCP thinks of it
RELISTEN_SECONDS = (0.05, 0.2, 0.5, 1.0, 2.0)  # between attempts; looking goes on meanwhile, through the pool

T = TypeVar("T")
log = structlog.get_logger("stanchion.halts")


class StoppedByHalt(Exception):
    """A halt covers this work: it was not begun, or it was cut short."""

    def __init__(self, halt: HaltNotice) -> None:
        super().__init__(str(halt))
        self.halt = halt


@dataclass(frozen=True)
class InFlightCall:
    """Who is in flight: a tool call, or (without a tool) a model call; and for whom, if it was delegated."""

    run_id: str
    agent: str
    tenant: str
    tool: str | None = None
    call_id: str | None = None
    runs_above: frozenset[str] = frozenset()
    agents_above: frozenset[str] = frozenset()

    @classmethod
    def of(cls, run_id: str, row: Any, tool: str | None = None, call_id: str | None = None) -> "InFlightCall":
        """From a row of its run."""
        above = frozenset(row["lineage"] or ()), frozenset(row["agents_above"] or ())
        return cls(run_id, row["agent"], row["tenant"], tool, call_id, *above)

    def covered_by(self, halt: HaltNotice) -> bool:
        """Whether the halt's scope holds it."""
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
    flight: InFlightCall
    task: "asyncio.Task[Any]"
    halt: HaltNotice | None = None  # what cut it short


@dataclass(eq=False)
class HaltWatch:
    """Cuts short what is in flight here and covered by a halt. Starts by itself with the first flight.

    `listen_url`: where to listen, if not where the pool is: a pooler before Postgres may pass no notifications on.
    """

    database: Database
    listen_url: str | None = None
    _airborne: set[_Entry] = field(default_factory=set)
    _hooks: list[StopHook] = field(default_factory=list)
    _hooked: set["asyncio.Task[None]"] = field(default_factory=set)  # hooks at work
    _active: tuple[HaltNotice, ...] = ()
    _called: asyncio.Event = field(default_factory=asyncio.Event)  # a notification came
    _listening: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: "asyncio.Task[None] | None" = None

    @property
    def active(self) -> tuple[HaltNotice, ...]:
        """The halts in force when it last looked."""
        return self._active

    @property
    def in_flight(self) -> tuple[InFlightCall, ...]:
        """What is in flight here."""
        return tuple(each.flight for each in self._airborne)

    @property
    def listens(self) -> bool:
        """Whether it hears notifications at the moment."""
        return self._listening.is_set()

    def on_stop(self, hook: StopHook) -> Callable[[], None]:
        """Have `hook(flight, halt)` called at once for everything that is cut short: whoever holds something that runs
        on without us (a sandbox, an open connection) ends it there. Returns what takes the hook back."""
        self._hooks.append(hook)
        return lambda: self._hooks.remove(hook)

    async def over(self, flight: InFlightCall, work: Coroutine[Any, Any, T]) -> T:
        """Do `work`, watched over. Raises Stopped if a halt cut it short; a cancel from outside goes its usual way."""
        self.start()
        task = asyncio.create_task(work)
        airborne = _Entry(flight, task)
        self._airborne.add(airborne)
        try:
            for halt in self._active:
                self._stop(airborne, halt)
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if airborne.halt is None or (current and current.cancelling()):
                raise
            raise StoppedByHalt(airborne.halt) from None
        finally:
            self._airborne.discard(airborne)

    def start(self) -> None:
        """Begin to watch, if it does not already."""
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop watching."""
        loop, self._loop = self._loop, None
        if loop:
            loop.cancel()
            with suppress(asyncio.CancelledError):
                await loop

    # ── seeing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _watch(self) -> None:
        looking = asyncio.create_task(self._look_for_ever())
        try:
            await self._listen_for_ever()
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking

    async def _look_for_ever(self) -> None:
        """Look whenever called, and twice a second anyway."""
        blind = False
        while True:
            self._called.clear()
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    self._see(await SQL["active"].rows(self.database))
                blind = False
            except (StoreUnavailable, TimeoutError) as error:  # no claim succeeds then either
                if not blind:
                    log.warning("cannot look for halts", reason=str(error) or type(error).__name__)
                blind = True
            except Exception:
                log.exception("looking for halts failed")
            with suppress(TimeoutError):  # wait_for swallows a cancel that comes with the call (Python < 3.12)
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._called.wait()

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
        """Listen until the connection is lost. A connection that no longer answers is lost too."""
        connection = await asyncpg.connect(self.listen_url or self.database.url, timeout=ANSWER_SECONDS)
        try:
            await connection.add_listener(CHANNEL, lambda *_: self._called.set())
            self._listening.set()
            self._called.set()  # what was ordered while nobody listened
            while not connection.is_closed():
                await connection.fetchval("SELECT 1", timeout=ANSWER_SECONDS)
                await asyncio.sleep(ANSWER_SECONDS)
        finally:
            connection.terminate()

    def _see(self, rows: list[Any]) -> None:
        self._active = tuple(
            HaltNotice(halt_id=r["halt_id"], scope=r["scope"], target=r["target"], by=r["by"], reason=r["reason"])
            for r in rows
        )
        for halt in self._active:
            for airborne in list(self._airborne):
                self._stop(airborne, halt)

    # ── stopping ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _stop(self, airborne: _Entry, halt: HaltNotice) -> None:
        """Cut it short, once: a result that is being written down all the same is not cut off a second time."""
        if airborne.halt is not None or not airborne.flight.covered_by(halt):
            return
        airborne.halt = halt
        airborne.task.cancel()
        for hook in self._hooks:
            task = asyncio.create_task(_called(hook, airborne.flight, halt))
            self._hooked.add(task)
            task.add_done_callback(self._hooked.discard)


async def _called(hook: StopHook, flight: InFlightCall, halt: HaltNotice) -> None:
    """One hook that fails must not keep the others from being called."""
    try:
        given = hook(flight, halt)
        if inspect.isawaitable(given):
            await given
    except Exception:
        log.exception("a stop hook failed", run_id=flight.run_id, call_id=flight.call_id)
