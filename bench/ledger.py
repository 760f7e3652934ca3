"""What the ledger can take, on one window that everyone wants and on many; and what it adds to a step."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from statistics import median
from typing import Any

from activities.gateway.facts import SQL
from activities.ledger.caps import DEFAULTS, budget_rules
from activities.ledger.ledger import Ledger, window_arguments
from activities.ledger.windows import Spender, Use, Window, windows_for
from activities.storage.database import Database
from bench.agent import NO_LIMIT
from bench.results import Line
from bench.settle import settle
from bench.site import Site
from workflows.contracts.budgets import Budget

CLIENTS = (1, 8, 32)
CLAIM_AND_SETTLE_MS = 1.2
BUDGET = Budget(usd_micros=NO_LIMIT, tokens=NO_LIMIT, tool_calls=NO_LIMIT, minutes=NO_LIMIT, steps=NO_LIMIT)
RUN = """
INSERT INTO runs (run_id, chain_id, agent, agent_version, tenant, goal_digest, mode, budget, policy_version)
SELECT $1, $1, 'bench', (SELECT version FROM agents LIMIT 1), 'bench', '', 'tiered', '{}', ''"""
CALLS = """
INSERT INTO calls (run_id, call_id, step, seq, tool, arguments, digest)
SELECT $1, c::text, 1, c, 'work', '{}', '' FROM generate_series(1, $2::int) c"""
ALONE = "INSERT INTO bench_commits (ref) VALUES ($1)"


async def measure(site: Site, quick: bool) -> tuple[dict[str, Any], list[Line]]:
    """Reservations first, then a step's statements with and without it, in turn."""
    seconds = 0.3 if quick else 4.0
    database = Database(site.database_url, pool_size=max(CLIENTS))
    try:
        rates = {
            where: {n: await _rate(site, database, n, where, seconds) for n in CLIENTS} for where in ("hot", "many")
        }
        step = await _step(site, 20 if quick else 400)
    finally:
        await database.close()
    lines = [
        Line(f"reservations per second, {name}", " / ".join(f"{rate:,.0f}" for rate in rates[where].values()),
             f"{' / '.join(map(str, CLIENTS))} clients")
        for where, name in (("hot", "one hot window"), ("many", "a window each"))
    ] + [
        Line("claim and settle of a call, ledger included (p50)", f"{step['with_ms']:.2f} ms",
             f"without {step['without_ms']:.2f} ms ({step['ratio']:.2f} x)", f"≤ {CLAIM_AND_SETTLE_MS} ms",
             step["with_ms"] <= CLAIM_AND_SETTLE_MS),
        Line("reserving for a model call, its one commit more (p50)", f"{step['reserve_ms']:.2f} ms",
             f"an INSERT alone {step['insert_ms']:.2f} ms"),
    ]  # fmt: skip
    return {"seconds": seconds, "reservations_per_second": rates, "step": step}, lines


async def _rate(site: Site, database: Database, clients: int, where: str, seconds: float) -> float:
    """Reservations per second that so many clients get through, each of one window."""
    ledger, name, numbers = Ledger(database), site.name("hot"), itertools.count()
    give_up = time.perf_counter() + seconds

    async def client(number: int) -> None:
        key = name if where == "hot" else f"{name}-{number}"
        window = Window("bench", "agent", key, "calls", "*", "day", NO_LIMIT, 1)
        while time.perf_counter() < give_up:
            await ledger.reserve(f"{name}/{next(numbers)}", name, [window], seconds=60)

    await asyncio.gather(*(client(number) for number in range(clients)))
    return next(numbers) / seconds


async def _step(site: Site, count: int) -> dict[str, float]:
    """What a T3 send costs with all its windows and without any, and what the commit before a model call costs."""
    pool, ledger = await site.database.pool(), Ledger(site.database)
    spender = Spender(site.name("step"), "bench", "bench")
    use = Use({"calls": 1, "bytes-out": 100}, ("*", "send", "tool:work"))
    windows = windows_for(spender, use, [*DEFAULTS, *budget_rules(BUDGET)])
    model = windows_for(spender, Use({"tokens": 9_000, "micro-usd": 90_000}), budget_rules(BUDGET))
    runs = {True: spender.run_id, False: site.name("step")}
    for run_id in runs.values():
        await pool.execute(RUN, run_id)
        await pool.execute(CALLS, run_id, count)
    taken: dict[str, list[float]] = {"with_ms": [], "without_ms": [], "reserve_ms": [], "insert_ms": []}
    for call in range(1, count + 1):
        for held, run_id in runs.items():
            own = [replace(each, key=run_id) if each.scope == "run" else each for each in windows]
            taken["with_ms" if held else "without_ms"].append(
                await _timed(lambda: _claim_and_settle(site, run_id, call, own if held else []))  # noqa: B023
            )
        hold = f"{spender.run_id}/step:{call}"
        taken["reserve_ms"].append(
            await _timed(lambda: ledger.reserve(hold, spender.run_id, model, seconds=60))  # noqa: B023
        )
        await ledger.settle(hold, {"tokens": 1, "micro-usd": 1})
        taken["insert_ms"].append(await _timed(lambda: pool.execute(ALONE, hold)))  # noqa: B023
    figures = {name: round(median(values), 3) for name, values in taken.items()}
    return {**figures, "windows": len(windows), "ratio": round(figures["with_ms"] / figures["without_ms"], 3)}


async def _timed(work: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1000


async def _claim_and_settle(site: Site, run_id: str, call: int, windows: list[Window]) -> None:
    row = await SQL["claim"].row(
        site.database,
        run_id=run_id,
        call_id=str(call),
        tool="work",
        contract="idempotent",
        effect="send",
        state="claimed",
        digest="0" * 64,
        approval_id=None,
        approved_digest=None,
        wait_until=None,
        seen_fence=None,
        run_digest=await _digest(site, run_id),
        call_digest="",
        worker="bench",
        step=1,
        kinds=["call.claimed"],
        bodies=['{"call_id": "1"}'],
        trace_id=None,
        wanted=window_arguments(windows),
        hold_seconds=60.0,
    )
    assert row
    await settle(site, run_id, call)


async def _digest(site: Site, run_id: str) -> str:
    if run_id not in _DIGESTS:
        pool = await site.database.pool()
        _DIGESTS[run_id] = await pool.fetchval("SELECT run_digest FROM run_facts WHERE run_id = $1", run_id)
    return _DIGESTS[run_id]


_DIGESTS: dict[str, str] = {}
