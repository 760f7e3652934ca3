"""Measures history bytes per step for several run lengths and result sizes, and how they grow with the run."""

import math
from statistics import linear_regression
from typing import Any

from bench.results import Line
from bench.site import BARE, OURS, Site, WorkerProcess, chain, check

STEPS, SIZES = (10, 50, 100, 400), (1_024, 4_096, 16_384)
PER_STEP, EXPONENT = 2_048, 1.02


async def measure(site: Site, quick: bool) -> tuple[dict[str, Any], list[Line]]:
    """Bytes as the server counts them, summed over continue-as-new."""
    steps, sizes = ((5, 10), (4_096,)) if quick else (STEPS, SIZES)
    ours, bare = await site.worker(OURS), await site.worker(BARE)
    found = {f"{size} B": await _series(site, ours, steps, size) for size in sizes}
    beside = await _series(site, bare, steps, 0)
    for worker in (ours, bare):
        await worker.stop()
    at = steps[-2]  # 100 steps in a full run
    per_step = found["4096 B"]["per_step"][str(at)]
    exponents = {name: series["exponent"] for name, series in found.items()}
    worst = max(exponents.values())
    lines = [
        Line(
            f"history bytes per step, {at} steps, 4 KB results",
            f"{per_step:,.0f} B",
            f"{beside['per_step'][str(at)]:,.0f} B",
            "≤ 2,048 B",
            per_step <= PER_STEP,
        ),
        Line(
            "growth exponent (worst of all sizes)",
            f"{worst:.3f}",
            f"{beside['exponent']:.3f}",
            "≤ 1.02",
            worst <= EXPONENT,
        ),
    ]
    return {"stanchion": found, "bare": beside}, lines


async def _series(site: Site, worker: WorkerProcess, steps: tuple[int, ...], size: int) -> dict[str, Any]:
    total: dict[int, int] = {}
    events: dict[int, int] = {}
    for count in steps:
        handle = await site.start(worker, count, size)
        check(await handle.result(), count)
        whole = await chain(site.client, handle)
        total[count], events[count] = whole.size, whole.events
    slope = linear_regression([math.log(n) for n in total], [math.log(size) for size in total.values()]).slope
    return {
        "bytes": {str(n): size for n, size in total.items()},
        "per_step": {str(n): round(size / n, 1) for n, size in total.items()},
        "events_per_step": {str(n): round(count / n, 2) for n, count in events.items()},
        "exponent": round(slope, 4),
    }
