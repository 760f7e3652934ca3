"""Steps per second on one worker with 1, 10 and 50 runs at once, beside the bare workflow."""

import asyncio
import time
from statistics import median
from typing import Any

from bench.results import Line
from bench.site import BARE, OURS, Site, WorkerProcess, check

SHARE = 0.8


async def measure(site: Site, quick: bool) -> tuple[dict[str, Any], list[Line]]:
    """Alternating rounds at each number of runs; the median round counts."""
    plan = {1: 10, 5: 5} if quick else {1: 100, 10: 40, 50: 10}
    rounds = 1 if quick else 3
    workers = {kind: await site.worker(kind) for kind in (OURS, BARE)}
    for worker in workers.values():
        await _rate(site, worker, 2, 5)
    figures: dict[str, Any] = {}
    lines = []
    for runs, steps in plan.items():
        rates: dict[str, list[float]] = {OURS: [], BARE: []}
        for number in range(rounds):
            for kind in (OURS, BARE) if number % 2 == 0 else (BARE, OURS):
                rates[kind].append(await _rate(site, workers[kind], runs, steps))
        ours, bare = median(rates[OURS]), median(rates[BARE])
        figures[str(runs)] = {
            "steps": steps,
            "stanchion": [round(rate, 1) for rate in rates[OURS]],
            "bare": [round(rate, 1) for rate in rates[BARE]],
            "share": round(ours / bare, 3),
        }
        lines.append(
            Line(
                f"steps per second, {runs} run{'s' if runs > 1 else ''} at once",
                f"{ours:.1f} ({ours / bare:.0%})",
                f"{bare:.1f}",
                "≥ 80 % of bare",
                ours >= SHARE * bare,
            )
        )
    for worker in workers.values():
        await worker.stop()
    return figures, lines


async def _rate(site: Site, worker: WorkerProcess, runs: int, steps: int) -> float:
    began = time.perf_counter()
    handles = await asyncio.gather(*(site.start(worker, steps) for _ in range(runs)))
    for outcome in await asyncio.gather(*(handle.result() for handle in handles)):
        check(outcome, steps)
    return runs * steps / (time.perf_counter() - began)
