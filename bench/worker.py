"""A worker in a process of its own, so that the CPU and the memory measured are the worker's and nobody else's.

    python -m bench.worker '{"kind": "stanchion", "address": …, "database": …, "queue": …, "profile": …}'

Prints `ready` once it polls; SIGTERM ends it. `profile` is a file that gets a cProfile of all its threads. With
`measure` (`layers`, `statements`; bench/sampling.py) it answers SIGUSR1 with one JSON line of what it has counted.
"""

import asyncio
import cProfile
import json
import os
import pstats
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from temporalio.client import Client
from temporalio.worker import Worker

from bench.bare import BareActivities, BareWorkflow, CommittingActivities, CommittingWorkflow
from bench.sampling import Sampler, Statements, tell
from workers import logs, loop
from workers.plugin import stanchion_plugin
from workers.settings import Settings
from workers.worker import EAGER, ROLES, STICKY, build, run_workers, work

WORKFLOW_THREADS = 8
ROWS = 40  # of a profile


@dataclass
class Profiles:
    """One profile for the event loop and one for each workflow thread, written as one table."""

    path: str | None
    running: list[cProfile.Profile] = field(default_factory=list)

    def begin(self) -> None:
        """Profile this thread from here on."""
        if self.path:
            self.running.append(cProfile.Profile(time.thread_time))  # CPU, not waiting
            self.running[-1].enable()

    def options(self) -> dict[str, Any]:
        """Worker options that have the workflow threads profiled too."""
        if not self.path:
            return {}
        return {"workflow_task_executor": ThreadPoolExecutor(WORKFLOW_THREADS, initializer=self.begin)}

    def write(self) -> None:
        """Sorted by own time, then by cumulative time."""
        if not self.path:
            return
        with open(self.path, "w", encoding="utf-8") as file:
            stats = pstats.Stats(*self.running, stream=file)
            for order in ("tottime", "cumtime"):
                stats.sort_stats(order).print_stats(ROWS * 2)


async def serve(order: dict[str, Any]) -> None:
    """Run the worker that `order` describes until SIGTERM."""
    stop, profiles = asyncio.Event(), Profiles(order.get("profile"))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    if order.get("measure"):
        meter = Sampler() if order["measure"] == "layers" else Statements()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: tell(meter.reading()))
        meter.start()
    profiles.begin()
    await {"stanchion": _stanchion, "bare": _bare}[order["kind"]](order, stop, profiles.options())
    profiles.write()


async def _stanchion(order: dict[str, Any], stop: asyncio.Event, options: dict[str, Any]) -> None:
    client = await Client.connect(order["address"], plugins=[stanchion_plugin()])
    settings = Settings(
        task_queue=order["queue"],
        forbid_real_model_calls=True,
        dangerously_accept_unsigned_decisions=True,
        tool_settings={"witness": order["database"]},
    )
    parts = build(settings, order["database"])
    try:
        await work(client, settings, parts, ROLES, stop, _ready, **options)
    finally:
        await parts.close()


async def _bare(order: dict[str, Any], stop: asyncio.Event, options: dict[str, Any]) -> None:
    client = await Client.connect(order["address"])
    pool = await asyncpg.create_pool(order["database"], min_size=1, max_size=10)
    bare, committing = BareActivities(), CommittingActivities(pool)
    worker = Worker(
        client,
        task_queue=order["queue"],
        workflows=[BareWorkflow, CommittingWorkflow],
        activities=[bare.plan, bare.call, committing.plan, committing.call],
        sticky_queue_schedule_to_start_timeout=STICKY,
        max_eager_activity_reservations_per_workflow_task=EAGER,
        **options,
    )
    await run_workers([worker], stop, _ready)
    await pool.close()


def _ready() -> None:
    print("ready", flush=True)


if __name__ == "__main__":
    logs.configure()
    given = json.loads(sys.argv[1])
    # Ours as it is shipped; the bare one as the SDK's own samples run it.
    (loop.run if given["kind"] == "stanchion" else asyncio.run)(serve(given))
    sys.stderr.flush()
    os._exit(0)  # the interpreter sometimes aborts on its way out, long after all is done
