"""What it costs to write an effect, its transcript row and its trace: in one statement, or in three commits."""

import time
from collections.abc import Awaitable, Callable
from statistics import median, quantiles
from typing import Any

from activities.gateway.facts import SQL
from activities.storage.canonical import canonical_json
from bench.results import Line
from bench.site import Site

TARGET_MS = 1.0
OUTPUT = "x" * 4_000
CLAIMED = """
INSERT INTO effects (run_id, call_id, tool, contract, effect, fence, state, digest, worker)
SELECT $1, c::text, 'work', 'idempotent', 'write', 1, 'claimed', repeat('0', 64), 'bench'
FROM generate_series(1, $2::int) c"""
THREE = (
    "UPDATE effects SET state = 'settled', settled_at = now(), result = $3 "
    "WHERE run_id = $1 AND call_id = $2 AND fence = 1 AND state = 'claimed'",
    "INSERT INTO transcript (run_id, seq, kind, origin, call_id, content) VALUES ($1, $4, 'result', 'trusted', $2, $3)",
    "INSERT INTO events (run_id, kind, step, call_id, body) VALUES ($1, 'call.observed', 1, $2, $3)",
)


async def measure(site: Site, quick: bool) -> tuple[dict[str, Any], list[Line]]:
    """Both ways in turn, each on its own run of calls that are claimed."""
    count = 50 if quick else 1_000
    one, three = site.name("settle"), site.name("settle")
    pool = await site.database.pool()
    for run_id in (one, three):
        await pool.execute(CLAIMED, run_id, count)
    taken: dict[str, list[float]] = {one: [], three: []}
    ways: dict[str, Callable[[Site, str, int], Awaitable[None]]] = {one: settle, three: _three_commits}
    for call in range(1, count + 1):
        for run_id, way in ways.items():
            began = time.perf_counter()
            await way(site, run_id, call)
            taken[run_id].append((time.perf_counter() - began) * 1000)
    figures = {"calls": count, "one_statement_ms": _summary(taken[one]), "three_commits_ms": _summary(taken[three])}
    ours, theirs = median(taken[one]), median(taken[three])
    return figures, [
        Line(
            "effect + transcript + trace, one statement (p50)",
            f"{ours:.2f} ms",
            f"three commits {theirs:.2f} ms",
            "≤ 1 ms",
            ours <= TARGET_MS,
        )
    ]


async def settle(site: Site, run_id: str, call: int) -> None:
    """Settle a claimed call, as the gateway does."""
    row = await SQL["settle"].row(
        site.database,
        run_id=run_id,
        call_id=str(call),
        fence=1,
        result=_RESULT,
        output=None,
        step=1,
        seq=call,
        origin="trusted",
        content=_CONTENT,
        blob=None,
        late="{}",
        blobs=[],
        blob_texts=[],
        kinds=["call.observed"],
        bodies=[_BODY],
        trace_id=None,
        suspect=None,
        used=None,
    )
    assert row and row["settled"]


async def _three_commits(site: Site, run_id: str, call: int) -> None:
    pool = await site.database.pool()
    await pool.execute(THREE[0], run_id, str(call), _RESULT)
    await pool.execute(THREE[1], run_id, str(call), _CONTENT, call)
    await pool.execute(THREE[2], run_id, str(call), _BODY)


def _summary(values: list[float]) -> dict[str, float]:
    return {"p50": round(median(values), 3), "p99": round(quantiles(values, n=100)[98], 3)}


_RESULT = canonical_json({"kind": "observed", "call_id": "1.0"})
_CONTENT = canonical_json([{"type": "result", "call_id": "1.0", "text": OUTPUT, "is_error": False}])
_BODY = canonical_json(
    {"call_id": "1.0", "tool": "work", "seq": 2, "is_error": False, "origin": "trusted", "size": 4_000}
)
