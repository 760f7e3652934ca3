"""Thousands of runs parked on one worker, half on an approval and half on a timer; then all of them go on.

What is measured: memory of the worker while they stand, CPU to park one, connections to Postgres, time from a decision
to its effect, time until all are done. A table of the benchmark's own counts the effects.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from statistics import quantiles
from typing import Any, TypeVar

from activities.agents.versions import Agents
from bench import parked_agent
from bench.results import Line
from bench.site import OURS, Site, WorkerProcess, say

T = TypeVar("T")
RUNS, QUICK_RUNS = 10_000, 40
AT_ONCE = 50  # starts and decisions under way
LEAST_SECONDS, SECONDS_EACH = 30.0, 0.12  # timers end this long after the first start: when all are expected to stand
MARKS = (0.1, 0.5, 1.0)  # shares of all runs at which memory is looked at
MOST_MEMORY, MOST_SECONDS = 350, 3_600.0


async def measure(site: Site, quick: bool) -> tuple[dict[str, Any], list[Line]]:
    """Park, look, decide, drain."""
    runs = QUICK_RUNS if quick else RUNS
    await _prepare(site)
    worker = await site.worker(OURS)
    empty, cpu, began = _memory(worker), worker.cpu(), time.monotonic()
    ends = began + LEAST_SECONDS + runs * SECONDS_EACH
    memory = await _park(site, worker, runs, ends)
    stood, used = time.monotonic() - began, worker.cpu() - cpu
    connections = await _connections(site)
    waited = ends - time.monotonic()
    asked = await _value(site, "SELECT count(*) FROM approvals WHERE state = 'open'")
    say(f"parked: {runs} stand after {stood:.0f} s, {asked} wait for an approval, timers end in {waited:.0f} s")
    latencies, drained = await _drain(site, worker, runs)
    effects = await _value(site, "SELECT count(*) FROM bench_witness")
    keys = await _value(site, "SELECT count(DISTINCT key) FROM bench_witness")
    completed = await _value(site, "SELECT count(*) FROM runs WHERE status = 'completed'")
    peak = max(*memory.values(), _memory(worker))
    await worker.stop()
    p50, p99 = _percentiles(latencies)
    figures: dict[str, Any] = {
        "runs": runs,
        "memory_mb": {"empty": empty, **memory, "peak": peak},
        "cpu_ms_to_park_one": round(used / runs * 1000, 1),
        "seconds_until_all_stand": round(stood, 1),
        "postgres_connections_of_the_worker": connections,
        "decision_to_effect_ms": {"p50": p50, "p99": p99},
        "seconds_to_drain": round(drained, 1),
        "effects": effects,
        "completed": completed,
    }
    stages = " / ".join(str(size) for size in memory.values())
    counted = (effects, keys, completed) == (runs, runs, runs)
    lines = [
        Line(
            f"worker memory with {' / '.join(memory)} runs parked",
            f"{stages} MB, peak {peak} MB",
            f"{empty} MB without runs",
            f"≤ {MOST_MEMORY} MB",
            peak <= MOST_MEMORY,
        ),
        Line("worker CPU to park a run", f"{figures['cpu_ms_to_park_one']} ms"),
        Line(f"time until {runs:,} runs stand", f"{stood:.0f} s"),
        Line("connections to Postgres meanwhile", str(connections)),
        Line("decision to effect, all decided at once (p50 and p99)", f"{p50} ms and {p99} ms"),
        Line(f"time until {runs:,} runs are done", f"{drained:.0f} s"),
        Line("effects by the witness's count", f"{effects:,}, each once", f"{runs:,} runs", "one each", counted),
    ]
    return figures, lines


async def _prepare(site: Site) -> None:
    pool = await site.database.pool()
    await pool.execute(parked_agent.WITNESS)
    await pool.execute("TRUNCATE bench_witness")
    for unit in ("slots", "minutes", "calls"):  # the caps that every tenant has are far below
        await pool.execute(
            "INSERT INTO caps (tenant, scope, key, unit, class, period, cap, by) "
            "SELECT '*', 'tenant', '*', $1, '*', p, 1000000000, 'bench' FROM unnest($2::text[]) p "
            "ON CONFLICT DO NOTHING",
            unit,
            ["total"] if unit == "slots" else ["day"],
        )
    await Agents(site.database).publish(parked_agent.version())


async def _park(site: Site, worker: WorkerProcess, runs: int, ends: float) -> dict[str, int]:
    """Start all, and wait until they stand. Memory in MB at each mark."""
    memory: dict[str, int] = {}

    async def start(number: int) -> None:
        minutes = max((ends - time.monotonic()) / 60, 0.01) if number % 2 else 0.0
        await site.client.start_workflow(
            "AgentWorkflow",
            {"agent": parked_agent.NAME, "goal": parked_agent.goal(minutes), "requester": "ana@acme.example"},
            id=f"agent/{parked_agent.NAME}/{number}",
            task_queue=worker.queue,
        )

    done = 0
    for mark in (round(runs * share) for share in MARKS):
        await _bounded(start, range(done, mark))
        await _until(lambda mark=mark: _standing(site, mark), f"{mark} runs stand")  # type: ignore[misc]
        memory[f"{mark:,}"], done = _memory(worker), mark
    return memory


async def _standing(site: Site, runs: int) -> bool:
    """Whether so many runs wait for a person, or for a timer, or have gone on from one."""
    asked = await _value(site, "SELECT count(*) FROM approvals")
    timed = await _value(site, "SELECT count(*) FROM effects WHERE wait_until IS NOT NULL")
    return int(asked) + int(timed) >= runs


async def _drain(site: Site, worker: WorkerProcess, runs: int) -> tuple[list[float], float]:
    """Decide all; milliseconds from each decision to its effect, and seconds until every run is completed."""
    pool = await site.database.pool()
    rows = await pool.fetch("SELECT run_id, approval_id, call_id FROM approvals WHERE state = 'open'")
    sent: dict[str, float] = {}

    async def decide(row: Any) -> None:
        sent[f"{row['run_id']}/{row['call_id']}"] = time.time()
        decision = {"approval_id": row["approval_id"], "verdict": "approve", "by": "lee@acme.example"}
        await site.client.get_workflow_handle(row["run_id"]).signal("decision", decision)

    began = time.monotonic()
    await _bounded(decide, rows)

    async def all_done() -> bool:
        return int(await _value(site, "SELECT count(*) FROM runs WHERE status <> 'open'")) >= runs

    await _until(all_done, f"{runs} runs are done")
    drained = time.monotonic() - began
    seen: list[Any] = await pool.fetch("SELECT key, at FROM bench_witness")
    found = [(_seconds(row["at"]) - sent[row["key"]]) * 1000 for row in seen if row["key"] in sent]
    return found, drained


def _seconds(moment: datetime) -> float:
    return moment.timestamp()


def _percentiles(values: list[float]) -> tuple[int, int]:
    cuts = quantiles(values, n=100, method="inclusive") if len(values) > 1 else [0.0] * 99
    return round(cuts[49]), round(cuts[98])


def _memory(worker: WorkerProcess) -> int:
    return round(worker.rss() / 1_000_000)


async def _connections(site: Site) -> int:
    """Those of the worker; the benchmark's own and the witness's are not counted."""
    return int(
        await _value(
            site,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND application_name <> 'witness'",
        )
    )


async def _value(site: Site, sql: str) -> Any:
    return await (await site.database.pool()).fetchval(sql)


async def _bounded(work: Callable[[Any], Awaitable[None]], items: Iterable[Any]) -> None:
    """`work` for each item, `AT_ONCE` at a time."""
    waiting = iter(items)

    async def take() -> None:
        for item in waiting:
            await work(item)

    await asyncio.gather(*(take() for _ in range(AT_ONCE)))


async def _until(look: Callable[[], Awaitable[bool]], what: str) -> None:
    async with asyncio.timeout(MOST_SECONDS):
        while not await look():  # noqa: ASYNC110
            await asyncio.sleep(0.5)  # what is waited for happens in another process
    say(what)
