"""Measures one long run over continue-as-new: whether it finishes, its worker's memory, its speed."""

import asyncio
from typing import Any

from bench.results import Line
from bench.site import OURS, Site, WorkerProcess, chain, check

LOOK_SECONDS = 0.2
COMPLETE = """
SELECT count(*) AS rows, max(seq) + 1 AS dense, count(*) FILTER (WHERE kind = 'result') AS results,
       count(*) FILTER (WHERE kind = 'response') AS responses
FROM transcript WHERE run_id = $1"""
# Time between the responses of two steps, from the clock of the database.
TAKEN = """
SELECT extract(epoch FROM max(at) - min(at))::float8 FROM steps WHERE run_id = $1 AND step BETWEEN $2 AND $3"""


async def measure(site: Site, quick: bool) -> tuple[dict[str, Any], list[Line]]:
    """Memory at a tenth, at half and at the end; speed over the first and the last tenth."""
    steps = 60 if quick else 2_000
    marks = (steps // 10, steps // 2, steps)
    worker = await site.worker(OURS)
    await site.run(worker, 10)
    handle = await site.start(worker, steps)
    memory, peak = await _watch(site, worker, handle.id, marks)
    check(await handle.result(), steps)
    whole = await chain(site.client, handle)
    await worker.stop()
    pool = await site.database.pool()
    found = dict(await pool.fetchrow(COMPLETE, handle.id))
    tenth = steps // 10
    begin = tenth / await pool.fetchval(TAKEN, handle.id, 1, tenth + 1)
    end = tenth / await pool.fetchval(TAKEN, handle.id, steps - tenth, steps)
    complete = found == {"rows": 2 * steps, "dense": 2 * steps, "results": steps - 1, "responses": steps}
    figures = {
        "steps": steps,
        "histories": whole.runs,
        "history_bytes": whole.size,
        "events": whole.events,
        "rss_mb": {str(mark): round(rss / 2**20, 1) for mark, rss in memory.items()},
        "rss_peak_mb": round(peak / 2**20, 1),
        "steps_per_second": {"begin": round(begin, 1), "end": round(end, 1)},
        "transcript": found,
    }
    lines = [
        Line(
            f"run of {steps:,} steps: transcript dense and complete",
            f"{found['rows']:,} rows, {whole.runs} histories",
            "",
            "no lost turn",
            complete,
        ),
        Line(
            f"worker memory at {marks[0]:,} / {marks[1]:,} / {marks[2]:,} steps",
            " / ".join(f"{memory[mark] / 2**20:.0f}" for mark in marks) + f" MB, peak {peak / 2**20:.0f} MB",
        ),
        Line("steps per second, first and last tenth", f"{begin:.1f} and {end:.1f}"),
    ]
    return figures, lines


async def _watch(site: Site, worker: WorkerProcess, run_id: str, marks: tuple[int, ...]) -> tuple[dict[int, int], int]:
    """The worker's memory when each mark was passed, and the most it ever was; returns at the last mark."""
    pool, peak = await site.database.pool(), 0
    memory: dict[int, int] = {}
    while len(memory) < len(marks):
        peak = max(peak, rss := worker.rss())
        reached = await pool.fetchval("SELECT coalesce(max(step), 0) FROM steps WHERE run_id = $1", run_id)
        memory |= {mark: rss for mark in marks if mark <= reached and mark not in memory}
        await asyncio.sleep(LOOK_SECONDS)
    return memory, peak
