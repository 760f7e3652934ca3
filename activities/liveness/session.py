"""`WorkerSession`: holds the worker's lock on its own Postgres session, and detects dead workers by free locks.

When a process dies, Postgres closes its session at once and releases its lock. A worker whose lock is free in two polls
in a row counts as dead; a worker that only lost its connection reconnects between them. A worker without a session
claims no effects, because it may count as dead.
"""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import asyncpg
import structlog

from activities.storage.database import UNAVAILABLE
from activities.storage.queries import Queries

SQL = Queries(__file__, "liveness.sql")

LOOK_SECONDS = 0.25  # between polls for free locks
AGAIN_SECONDS = 0.15  # until the second poll of a free lock; a worker that only lost its connection reconnects faster
ANSWER_SECONDS = 2.0  # a connection that does not answer for longer counts as lost, even if TCP keeps it open
RECONNECT_SECONDS = (0.02, 0.1, 0.3, 1.0)  # between attempts; the last value repeats
SETTLE_SECONDS = 4.0  # after a restart of Postgres or a lost session, other workers get this long to reconnect

# TCP keepalive of the server, in seconds: it notices a vanished host within seconds instead of hours.
KEEPALIVE = {"tcp_keepalives_idle": "2", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "3"}

log = structlog.get_logger("stanchion.liveness")

Died = Callable[[str], Awaitable[None]]


def new_worker_id() -> str:
    """A new worker id, unique for each process, also in containers, where process ids repeat."""
    return f"{os.getpid()}@{socket.gethostname()}/{uuid.uuid4().hex[:8]}"


class WorkerSession:
    """The session of one worker. `start` opens it and keeps it open, `close` ends it."""

    def __init__(self, database_url: str, worker_id: str) -> None:
        self.worker_id = worker_id
        self._url = database_url
        self._queues: Sequence[str] = ()
        self._died: Died | None = None
        self._has_lock = asyncio.Event()
        self.sessions = 0  # so far; after a reconnection, other workers may still be without a session
        self._task: asyncio.Task[None] | None = None
        self._takeovers: dict[str, asyncio.Task[None]] = {}

    @property
    def may_claim(self) -> bool:
        """Whether this worker may claim effects: it holds its lock, or `start` was never called."""
        return self._task is None or self._has_lock.is_set()

    async def start(self, queues: Sequence[str], died: Died, first_seconds: float = 30.0) -> None:
        """Register the worker, and keep its session. `died` is called with the id of each dead worker.

        Returns once the lock is held, or after `first_seconds`, so that a worker can start while Postgres is down.
        """
        self._queues, self._died = queues, died
        self._task = asyncio.create_task(self._keep_session())
        with suppress(TimeoutError):
            async with asyncio.timeout(first_seconds):
                await self._has_lock.wait()

    async def close(self) -> None:
        """Unregister the worker and end its session."""
        task, self._task = self._task, None
        if task is None:
            return
        for each in (task, *self._takeovers.values()):
            each.cancel()
            with suppress(asyncio.CancelledError):
                await each
        with suppress(*UNAVAILABLE, asyncpg.PostgresError):
            connection = await asyncpg.connect(self._url, timeout=ANSWER_SECONDS)
            try:
                await SQL["leave"].on(connection, worker_id=self.worker_id)
            finally:
                await connection.close(timeout=ANSWER_SECONDS)

    async def _keep_session(self) -> None:
        failures = 0
        while True:
            sessions_before = self.sessions
            try:
                await self._one_session()
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                if self.sessions > sessions_before or not failures:
                    log.warning("session.lost", reason=str(error) or type(error).__name__)
            except Exception:
                log.exception("session.failed")
            # Not by `_has_lock`: a lost connection has cleared it already.
            failures = 0 if self.sessions > sessions_before else failures + 1
            self._has_lock.clear()
            await asyncio.sleep(RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)])

    async def _one_session(self) -> None:
        """Hold the lock and poll for dead workers until the connection is lost."""
        connection = await asyncpg.connect(
            self._url, timeout=ANSWER_SECONDS, server_settings={"application_name": "stanchion worker", **KEEPALIVE}
        )
        connection.add_termination_listener(lambda *_: self._has_lock.clear())
        try:
            if not await self._take_lock(connection):
                return
            began, seen_free = time.monotonic(), frozenset[str]()
            while not connection.is_closed():
                rows = await self._query(connection, "unconnected", worker_id=self.worker_id)
                is_settled = self.sessions == 1 or time.monotonic() - began > SETTLE_SECONDS
                free = frozenset(row["worker_id"] for row in rows if row["server_seconds"] > SETTLE_SECONDS)
                for worker_id in (free & seen_free) if is_settled else ():
                    self._start_takeover(worker_id)
                newly_free, seen_free = free - seen_free, free
                await asyncio.sleep(AGAIN_SECONDS if newly_free else LOOK_SECONDS)
        finally:
            connection.terminate()

    async def _take_lock(self, connection: Any) -> bool:
        """Take the lock. False: try again, since an earlier session held it and was ended, or a takeover runs."""
        [row] = await self._query(connection, "register", worker_id=self.worker_id, queues=list(self._queues))
        if row["is_being_taken_over"]:  # the takeover would also fail activities that this worker begins now
            return False
        [lock] = await self._query(connection, "hold", number=row["number"])
        if not lock["held"]:
            await self._query(connection, "replace", pid=row["backend_pid"])
            return False
        await self._query(connection, "held", worker_id=self.worker_id)
        self.sessions += 1
        self._has_lock.set()
        return True

    async def _query(self, connection: Any, name: str, **values: Any) -> list[Any]:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await SQL[name].on(connection, **values)

    def _start_takeover(self, worker_id: str) -> None:
        """Call `died` for a dead worker in a task of its own, so that polling goes on."""
        if worker_id in self._takeovers or self._died is None:
            return
        task = asyncio.create_task(self._run_takeover(worker_id, self._died))
        self._takeovers[worker_id] = task
        task.add_done_callback(lambda _: self._takeovers.pop(worker_id, None))

    async def _run_takeover(self, worker_id: str, died: Died) -> None:
        try:
            await died(worker_id)
        except asyncio.CancelledError:
            raise
        except Exception:  # this worker or another survivor tries again at the next poll
            log.exception("worker.not_looked_after", worker_id=worker_id)
