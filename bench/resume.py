"""How long a run stands still when its worker is killed with -9: with another worker alive, and with none."""

import asyncio
import random
import time
from statistics import median, quantiles
from typing import Any

from temporalio.client import WorkflowHandle

from bench.results import Line
from bench.site import OURS, Site, WorkerProcess

DELAY = 0.05  # seconds for each model call: some kills meet the model, some a tool, some the workflow's own task
ENDLESS = 1_000_000  # steps
FIRST_STEPS = 5  # that a worker does before it is killed
KILLS, QUICK_KILLS = 50, 1  # of each kind
LONGEST_PAUSE = 0.3  # seconds, at random, from the last step that is waited for to the kill
GIVE_UP_SECONDS = 60.0
SURVIVED, RESTARTED = 3.0, 1.0  # goals: p99 with a survivor; p99 beyond the start-up of a worker with none


async def measure(site: Site, quick: bool) -> tuple[dict[str, Any], list[Line]]:
    """Kills at random moments; each run is watched until it has done two more steps than before."""
    kills = QUICK_KILLS if quick else KILLS
    with_survivor = [await _with_survivor(site) for _ in range(kills)]
    alone = [await _alone(site) for _ in range(kills)]
    beyond = [stood - start_up for stood, start_up in alone]
    survived, restarted = _spread(with_survivor), _spread([stood for stood, _ in alone])
    start_up, past = _spread([each for _, each in alone]), _spread(beyond)
    figures = {
        "kills": kills,
        "with_a_survivor": survived,
        "restarted": restarted,
        "start_up": start_up,
        "restarted_beyond_start_up": past,
    }
    return figures, [
        Line(
            f"standstill after kill -9, another worker alive, {kills} kills (p50, p99, max)",
            _shown(survived),
            "",
            f"p99 ≤ {SURVIVED:.0f} s",
            survived["p99"] <= SURVIVED,
        ),
        Line(
            f"standstill after kill -9, the only worker started anew, {kills} kills (p50, p99, max)",
            _shown(restarted),
            f"start-up {_shown(start_up)}",
        ),
        Line(
            "the same beyond the start-up",
            _shown(past),
            "",
            f"p99 ≤ {RESTARTED:.0f} s",
            past["p99"] <= RESTARTED,
        ),
    ]


async def _with_survivor(site: Site) -> float:
    """Seconds that a run stood still."""
    queue = site.name("resume")
    worker = await site.worker(OURS, queue)
    handle = await site.start(worker, ENDLESS, 256, DELAY)
    await _step(site, handle, FIRST_STEPS)
    other = await site.worker(OURS, queue)  # it polls as well from here on, but the run sticks to the first
    await _step(site, handle, await _step(site, handle, 0) + 1)
    began = await _kill(worker)
    stood = await _stood(site, handle, began)
    await handle.terminate("the benchmark is over")
    await other.stop()
    return stood


async def _alone(site: Site) -> tuple[float, float]:
    """Seconds that a run stood still, and of these the seconds until the next worker was ready."""
    queue = site.name("resume")
    worker = await site.worker(OURS, queue)
    handle = await site.start(worker, ENDLESS, 256, DELAY)
    await _step(site, handle, FIRST_STEPS)
    began = await _kill(worker)
    heir = await site.worker(OURS, queue)
    start_up = time.perf_counter() - began
    stood = await _stood(site, handle, began)
    await handle.terminate("the benchmark is over")
    await heir.stop()
    return stood, start_up


async def _kill(worker: WorkerProcess) -> float:
    """Kill it at a random moment; when that was."""
    await asyncio.sleep(random.uniform(0, LONGEST_PAUSE))  # noqa: S311 - a moment, not a secret
    worker.kill()
    began = time.perf_counter()
    await worker.process.wait()
    return began


async def _stood(site: Site, handle: WorkflowHandle[Any, Any], began: float) -> float:
    """Seconds from the kill to the first step that somebody else has done."""
    reached = await _step(site, handle, 0)
    await _step(site, handle, reached + 1)
    return time.perf_counter() - began


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


def _spread(values: list[float]) -> dict[str, float]:
    p99 = quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else values[0]
    return {"p50": round(median(values), 2), "p99": round(p99, 2), "max": round(max(values), 2)}


def _shown(spread: dict[str, float]) -> str:
    return " / ".join(f"{value:.1f}" for value in spread.values()) + " s"
