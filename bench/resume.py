"""How long a run stands still when its worker is killed with -9 while another worker is there."""

import asyncio
import time
from datetime import UTC, datetime
from statistics import median, quantiles
from typing import Any

from temporalio.api.enums.v1 import TimeoutType
from temporalio.client import WorkflowHandle

from bench.results import Line
from bench.site import OURS, Site, WorkerProcess
from workers.worker import STICKY
from workflows.options import HEARTBEAT

DELAY = 0.05  # seconds for each model call: some kills meet the model, some a tool, some the workflow's own task
ENDLESS = 1_000_000  # steps
FIRST_STEPS = 5  # that a worker does before it is killed
GIVE_UP_SECONDS = 60.0
MARGIN = 2.0
# What Temporal waits for before it takes a worker for dead; nobody can go on before. The last one is the server's
# default: it is set by whoever starts the run.
DETECTION = {
    "heartbeat": HEARTBEAT.total_seconds(),
    "sticky queue": STICKY.total_seconds(),
    "workflow task": 10.0,
}


async def measure(site: Site, quick: bool) -> tuple[dict[str, Any], list[Line]]:
    """A new run for each try; what it waited for is read from its history."""
    queue = site.name("resume")
    worker = await site.worker(OURS, queue)
    found: list[dict[str, Any]] = []
    for _ in range(1 if quick else 20):
        handle = await site.start(worker, ENDLESS, 256, DELAY)
        await _step(site, handle, FIRST_STEPS)
        heir = await site.worker(OURS, queue)  # it polls as well from here on, but the run sticks to the first
        found.append(await _kill(site, handle, worker))
        await handle.terminate("the benchmark is over")
        worker = heir
    await worker.stop()
    seconds, over = [each["seconds"] for each in found], [each["beyond_detection"] for each in found]
    p99, beyond = _p99(seconds), _p99(over)
    figures = {"tries": found, "p50": median(seconds), "p99": p99, "p99_beyond_detection": beyond}
    return figures, [
        Line("standstill after kill -9 of the worker, p50 and p99", f"{median(seconds):.1f} s and {p99:.1f} s"),
        Line("the same beyond the detection time, p99", f"{beyond:.1f} s", "", f"≤ {MARGIN:.0f} s", beyond <= MARGIN),
    ]


async def _kill(site: Site, handle: WorkflowHandle[Any, Any], worker: WorkerProcess) -> dict[str, Any]:
    worker.kill()
    killed, began = datetime.now(UTC), time.perf_counter()
    await worker.process.wait()
    reached = await _step(site, handle, 0)
    await _step(site, handle, reached + 1)
    taken = time.perf_counter() - began
    await _step(site, handle, reached + 2)  # by then the history tells of everything that was waited for
    waits = await _waited_for(handle, killed)
    beyond = taken - sum(DETECTION[wait] for wait in waits)
    return {"seconds": round(taken, 2), "waited_for": waits, "beyond_detection": round(beyond, 2)}


async def _step(site: Site, handle: WorkflowHandle[Any, Any], wanted: int) -> int:
    """The latest step that is stored, once it is `wanted` or later."""
    pool, give_up = await site.database.pool(), time.monotonic() + GIVE_UP_SECONDS
    while True:
        step = int(await pool.fetchval("SELECT coalesce(max(step), 0) FROM steps WHERE run_id = $1", handle.id))
        if step >= wanted:
            return step
        if time.monotonic() > give_up:
            raise RuntimeError(f"{handle.id} did not reach step {wanted} within {GIVE_UP_SECONDS:.0f} s")
        await asyncio.sleep(0.02)


async def _waited_for(handle: WorkflowHandle[Any, Any], since: datetime) -> list[str]:
    """The time-outs that passed after `since`."""
    waits: list[str] = []
    async for event in handle.fetch_history_events():
        if event.event_time.ToDatetime(UTC) < since:
            continue
        if event.HasField("workflow_task_timed_out_event_attributes"):
            kind = event.workflow_task_timed_out_event_attributes.timeout_type
            waits.append("sticky queue" if kind == TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START else "workflow task")
        elif event.HasField("activity_task_started_event_attributes"):
            waits += ["heartbeat"] if event.activity_task_started_event_attributes.attempt > 1 else []
    return waits


def _p99(values: list[float]) -> float:
    return round(quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else values[0], 2)
