"""CPU and latency of one step with an instant model, beside the bare workflow with and without two commits.

The statements of a step are counted where the driver sends them; what runs on a timer instead is left out.
"""

import time
from statistics import median
from typing import Any

from bench.profile import POLLS, statements
from bench.results import Line
from bench.site import BARE, COMMITTING, OURS, Site, WorkerProcess

CPU, LATENCY, STATEMENTS = 1.3, 1.25, 4
KINDS = (OURS, BARE, COMMITTING)


async def measure(site: Site, quick: bool) -> tuple[dict[str, Any], list[Line]]:
    """Rounds of one run of each kind in turn; medians over the rounds."""
    steps, rounds = (10, 2) if quick else (100, 9)
    workers = {kind: await site.worker(kind) for kind in KINDS}
    for worker in workers.values():
        await site.run(worker, 10)  # connections, prepared statements, imports
    cpu: dict[str, list[float]] = {kind: [] for kind in KINDS}
    wall: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(rounds):
        for kind in KINDS if number % 2 == 0 else reversed(KINDS):
            each = await _one(site, workers[kind], steps)
            cpu[kind].append(each[0])
            wall[kind].append(each[1])
    for worker in workers.values():
        await worker.stop()
    figures: dict[str, Any] = {
        "steps": steps,
        "rounds": rounds,
        "cpu_ms": {kind: _summary(values) for kind, values in cpu.items()},
        "latency_ms": {kind: _summary(values) for kind, values in wall.items()},
    }
    used = {kind: median(values) for kind, values in cpu.items()}
    taken = {kind: median(values) for kind, values in wall.items()}
    bound = LATENCY * taken[BARE] + (taken[COMMITTING] - taken[BARE])
    figures["cpu_ratio"] = round(used[OURS] / used[BARE], 3)
    figures["latency_bound_ms"] = round(bound, 2)
    figures["statements"] = sent = await statements(site, steps)
    each = sum(count for name, count in sent.items() if name not in POLLS)
    lines = [
        Line(
            "worker CPU per step",
            f"{used[OURS]:.2f} ms ({used[OURS] / used[BARE]:.2f} x)",
            f"{used[BARE]:.2f} ms",
            f"≤ {CPU} x bare",
            used[OURS] <= CPU * used[BARE],
        ),
        Line(
            "latency per step, instant model",
            f"{taken[OURS]:.2f} ms",
            f"{taken[BARE]:.2f} ms; with two commits {taken[COMMITTING]:.2f} ms",
            f"≤ {LATENCY} x bare + the two commits = {bound:.2f} ms",
            taken[OURS] <= bound,
        ),
        Line(
            "worker CPU per step, beside two commits",
            f"{used[OURS] / used[COMMITTING]:.2f} x",
            f"{used[COMMITTING]:.2f} ms",
        ),
        Line(
            "SQL statements per step",
            f"{each:.2f}",
            "with two commits 2",
            f"≤ {STATEMENTS}",
            round(each, 1) <= STATEMENTS,
        ),
    ]
    return figures, lines


async def _one(site: Site, worker: WorkerProcess, steps: int) -> tuple[float, float]:
    """Milliseconds of the worker's CPU and of time, per step."""
    before, began = worker.cpu(), time.perf_counter()
    await site.run(worker, steps)
    taken, used = time.perf_counter() - began, worker.cpu() - before
    return used * 1000 / steps, taken * 1000 / steps


def _summary(values: list[float]) -> dict[str, float]:
    return {"median": round(median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}
