"""A worker's session with Postgres: it holds the worker's lock, and looks for other workers that lost theirs.

Postgres closes the session of a process that died at once, so its lock is free at once. A lock that is free twice in a
row is a death; a worker that only lost its connection is back before that. While a worker has no session, it claims no
effect: another worker may have taken it for dead.
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

LOOK_SECONDS = 0.25  # until a lock that is free is seen
AGAIN_SECONDS = 0.15  # until it is looked at again: a worker that only lost its connection is back by then
ANSWER_SECONDS = 2.0  # a connection that is silent for longer is lost, whatever TCP thinks of it
RECONNECT_SECONDS = (0.02, 0.1, 0.3, 1.0)  # between attempts; the last one goes on
SETTLE_SECONDS = 4.0  # after a restart of Postgres, or a lost session: the others need as long to come back

# Of the server's side, in seconds: a host that vanished without a word is noticed after these, and not after hours.
KEEPALIVE = {"tcp_keepalives_idle": "2", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "3"}

log = structlog.get_logger("stanchion.liveness")

Died = Callable[[str], Awaitable[None]]


def new_worker_id() -> str:
    """A worker's id: unique for each process, also in containers, where process ids repeat."""
    return f"{os.getpid()}@{socket.gethostname()}/{uuid.uuid4().hex[:8]}"


class WorkerSession:
    """The session of one worker. `start` begins to keep it, `close` ends it in order."""

    def __init__(self, database_url: str, worker_id: str) -> None:
        self.worker_id = worker_id
        self._url = database_url
        self._queues: Sequence[str] = ()
        self._died: Died | None = None
        self._held = asyncio.Event()
        self.sessions = 0  # how many it has had: after the first one, the others may have lost theirs too
        self._task: asyncio.Task[None] | None = None
        self._looking_after: dict[str, asyncio.Task[None]] = {}

    @property
    def may_claim(self) -> bool:
        """Whether this worker may claim effects: its lock is held, or nobody was asked to hold one."""
        return self._task is None or self._held.is_set()

    async def start(self, queues: Sequence[str], died: Died, first_seconds: float = 30.0) -> None:
        """Register, and keep the session from here on. `died` is called with the id of each worker that died.

        Returns once the lock is held, or after `first_seconds`: a worker may start while Postgres is away.
        """
        self._queues, self._died = queues, died
        self._task = asyncio.create_task(self._keep())
        with suppress(TimeoutError):
            async with asyncio.timeout(first_seconds):
                await self._held.wait()

    async def close(self) -> None:
        """Leave the registry and end the session."""
        task, self._task = self._task, None
        if task is None:
            return
        for each in (task, *self._looking_after.values()):
            each.cancel()
            with suppress(asyncio.CancelledError):
                await each
        with suppress(*UNAVAILABLE, asyncpg.PostgresError):
            connection = await asyncpg.connect(self._url, timeout=ANSWER_SECONDS)
            try:
                await SQL["leave"].on(connection, worker_id=self.worker_id)
            finally:
                await connection.close(timeout=ANSWER_SECONDS)

    async def _keep(self) -> None:
        failures = 0
        while True:
            before = self.sessions
            try:
                await self._one_session()
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                if self.sessions > before or not failures:
                    log.warning("session.lost", reason=str(error) or type(error).__name__)
            except Exception:
                log.exception("session.failed")
            failures = 0 if self.sessions > before else failures + 1  # a lost connection has cleared `_held` already
            self._held.clear()
            await asyncio.sleep(RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)])

    async def _one_session(self) -> None:
        """Hold the lock and look for deaths until the connection is lost."""
        connection = await asyncpg.connect(
            self._url, timeout=ANSWER_SECONDS, server_settings={"application_name": "stanchion worker", **KEEPALIVE}
        )
        connection.add_termination_listener(lambda *_: self._held.clear())
        try:
            if not await self._hold(connection):
                return
            began, missing = time.monotonic(), frozenset[str]()
            while not connection.is_closed():
                rows = await self._ask(connection, "unconnected", worker_id=self.worker_id)
                settled = self.sessions == 1 or time.monotonic() - began > SETTLE_SECONDS
                now = frozenset(row["worker_id"] for row in rows if row["server_seconds"] > SETTLE_SECONDS)
                for worker_id in (now & missing) if settled else ():
                    self._look_after(worker_id)
                suspects, missing = now - missing, now
                await asyncio.sleep(AGAIN_SECONDS if suspects else LOOK_SECONDS)
        finally:
            connection.terminate()

    async def _hold(self, connection: Any) -> bool:
        """Take the lock. If an earlier session of this worker has it still, end that one; False: try anew."""
        [row] = await self._ask(connection, "register", worker_id=self.worker_id, queues=list(self._queues))
        if row["is_being_taken_over"]:  # by a survivor that took it for dead: what it begins now would be failed too
            return False
        [lock] = await self._ask(connection, "hold", number=row["number"])
        if not lock["held"]:
            await self._ask(connection, "replace", pid=row["backend_pid"])
            return False
        await self._ask(connection, "held", worker_id=self.worker_id)
        self.sessions += 1
        self._held.set()
        return True

    async def _ask(self, connection: Any, name: str, **given: Any) -> list[Any]:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await SQL[name].on(connection, **given)

    def _look_after(self, worker_id: str) -> None:
        """Have `died` called for a dead worker, beside the looking."""
        if worker_id in self._looking_after or self._died is None:
            return
        task = asyncio.create_task(self._told(worker_id, self._died))
        self._looking_after[worker_id] = task
        task.add_done_callback(lambda _: self._looking_after.pop(worker_id, None))

    async def _told(self, worker_id: str, died: Died) -> None:
        try:
            await died(worker_id)
        except asyncio.CancelledError:
            raise
        except Exception:  # the next look tries again, here or at another survivor
            log.exception("worker.not_looked_after", worker_id=worker_id)
