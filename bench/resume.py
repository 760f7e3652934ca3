"""How long a run stands still when its worker is killed: kill -9, and another worker is there."""

import asyncio
import time
from statistics import median, quantiles
from typing import Any

from temporalio.client import WorkflowHandle

from bench.results import Line
from bench.site import OURS, Site

DELAY = 0.05  # seconds for each model call: some kills meet the model, some a tool, some the workflow's own task
SETTLED_STEPS = 5  # that a worker does before it is killed
GIVE_UP_SECONDS = 60.0
MARGIN = 2.0
# What Temporal waits for before it believes that a worker is dead (workflows/options.py, workers/worker.py and the
# server's default time-out of a workflow task); the run's next worker can do nothing before.
DETECTION = {"heartbeat": 6.0, "workflow task": 10.0, "sticky queue": 2.0}


async def measure(site: Site, quick: bool) -> tuple[dict[str, Any], list[Line]]:
    """One endless run, killed under one worker after another. What it waited for is read from its history."""
    tries = 1 if quick else 20
    queue = site.name("resume")
    worker = await site.worker(OURS, queue)
    handle = await site.start(worker, 1_000_000, 256, DELAY)
    found: list[dict[str, Any]] = []
    for _ in range(tries):
        reached = await _step(site, handle, 0)
        reached = await _step(site, handle, reached + SETTLED_STEPS)
        heir = await site.worker(OURS, queue)  # polls as well from here on, but the run sticks to the first
        worker.kill()
        began = time.perf_counter()
        await worker.process.wait()
        reached = await _step(site, handle, 0)
        await _step(site, handle, reached + 1)
        taken = time.perf_counter() - began
        waits = await _waited_for(handle)
        found.append({"seconds": round(taken, 2), "waited_for": waits, "over": round(taken - _detected(waits), 2)})
        worker = heir
    await handle.terminate("the benchmark is over")
    await worker.stop()
    seconds, over = [each["seconds"] for each in found], [each["over"] for each in found]
    p99 = _p99(over)
    figures = {"tries": found, "p50": median(seconds), "p99": _p99(seconds), "p99_over_detection": p99}
    return figures, [
        Line("standstill after kill -9 of the worker (p50 / p99)", f"{median(seconds):.1f} / {_p99(seconds):.1f} s"),
        Line("the same beyond Temporal's detection time (p99)", f"{p99:.1f} s", "", f"≤ {MARGIN:.0f} s", p99 <= MARGIN),
    ]


async def _step(site: Site, handle: WorkflowHandle[Any, Any], wanted: int) -> int:
    """The latest step that is stored, once it is `wanted` or later."""
    pool, give_up = await site.database.pool(), time.monotonic() + GIVE_UP_SECONDS
    while True:
        step = await pool.fetchval("SELECT coalesce(max(step), 0) FROM steps WHERE run_id = $1", handle.id)
        if step >= wanted:
            return int(step)
        if time.monotonic() > give_up:
            raise RuntimeError(f"{handle.id} did not reach step {wanted} in {GIVE_UP_SECONDS:.0f} s")
        await asyncio.sleep(0.02)


async def _waited_for(handle: WorkflowHandle[Any, Any]) -> list[str]:
    raise NotImplementedError


def _detected(waits: list[str]) -> float:
    return sum(DETECTION[wait] for wait in waits)


def _p99(values: list[float]) -> float:
    return round(quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else values[0], 2)
