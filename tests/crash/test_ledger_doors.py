"""Calls at once through the gateways of several processes, some of which are killed: a budget of 10 lets 10 happen."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from activities.agents.versions import AgentVersion
from activities.ledger.ledger import SQL
from tests.activities.spending import Crowd, assert_held
from tests.crash import tools
from tests.crash.witness import Witness, witnessing
from tests.harness.stanchion import Stanchion

ROUNDS = int(os.environ.get("ROUNDS", "2"))
CALLS, BUDGET = 200, 10
ROOT = Path(__file__).parents[2]
DOORS = ("", "after-claim", "", "after-effect")  # where each dies, the first time it gets there; "": it lives
WIDE = {"tool_calls": 1_000}


@pytest_asyncio.fixture
async def witness() -> AsyncIterator[Witness]:
    async with witnessing() as started:
        yield started


@pytest.fixture
def system(systems: Callable[..., Stanchion]) -> Stanchion:
    """Opens runs and reads tables; the calls are put by others."""
    return systems()


async def buyer(system: Stanchion) -> AgentVersion:
    """An agent whose calls the witness counts."""
    return await system.publish([], "idempotent", "undo", module=tools.MODULE, budget=WIDE)


async def calls(crowd: Crowd, run_id: str, count: int) -> None:
    """So many calls of a run."""
    await crowd.plan(run_id, "idempotent", [{"number": n} for n in range(count)])


# ── over which runs the calls are split, and the rule that refuses what is too much ─────────────────────────────────


async def one_run(crowd: Crowd) -> str:
    """All of one run, by its own budget."""
    await calls(crowd, await crowd.open(await buyer(crowd.first), budget={"tool_calls": BUDGET}), CALLS)
    return "budget.tool_calls"


async def runs_of_a_tenant(crowd: Crowd) -> str:
    """Of eight runs of two agents, by their tenant's day."""
    place = {"tenant": "default", "scope": "tenant", "key": "*", "unit": "calls", "class": "write", "period": "day"}
    await SQL["set_cap"].row(crowd.first.parts.database, cap=BUDGET, by="lee", **place)
    for agent in (await buyer(crowd.first), await buyer(crowd.first)):
        for _ in range(4):
            await calls(crowd, await crowd.open(agent), CALLS // 8)
    return "budget.calls.tenant.day"


SPLITS: tuple[Callable[[Crowd], Awaitable[str]], ...] = (one_run, runs_of_a_tenant)


# ── the doors ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def through_a_door(system: Stanchion, witness: Witness, requests: list[list[str]], die_at: str) -> int:
    """Put these calls through a process of its own; how it ended."""
    order = {"database": system.database_url, "witness": witness.url, "die_at": die_at, "calls": requests}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.crash.door", json.dumps(order)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        return await asyncio.wait_for(process.wait(), 180)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def unanswered(system: Stanchion) -> list[list[str]]:
    """Calls that have no result yet."""
    sql = """
        SELECT c.run_id, c.call_id FROM calls c LEFT JOIN effects e USING (run_id, call_id) WHERE e.result IS NULL"""
    return [[row["run_id"], row["call_id"]] for row in await system.rows(sql)]


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: split.__name__)
@pytest.mark.parametrize("round_", range(ROUNDS))
async def test_of_200_calls_through_doors_that_die_in_the_middle_exactly_those_of_the_budget_happen(
    system: Stanchion, witness: Witness, split: Callable[[Crowd], Awaitable[str]], round_: int
) -> None:
    crowd = Crowd([system])
    rule = await split(crowd)
    requests = [[request.run_id, request.call_id] for request in crowd.requests]
    ends = await asyncio.gather(
        *(through_a_door(system, witness, requests[n :: len(DOORS)], die_at) for n, die_at in enumerate(DOORS))
    )
    assert set(ends) <= {0, -signal.SIGKILL} and ends[0] == ends[2] == 0
    dead = ends.count(-signal.SIGKILL)
    left = await unanswered(system)
    assert bool(left) == bool(dead)
    if left:  # someone else attempts what the dead have left
        assert await through_a_door(system, witness, left, "") == 0
    assert sum(witness.effects.values()) == len(witness.effects) == BUDGET
    answers = await system.rows(
        "SELECT coalesce(result::json ->> 'rule', state) AS answer, count(*) AS times FROM effects GROUP BY 1"
    )
    assert {row["answer"]: row["times"] for row in answers} == {"settled": BUDGET, rule: CALLS - BUDGET}
    assert await system.rows("SELECT * FROM holds WHERE state <> 'settled' AND hold_id NOT LIKE '%/slot'") == []
    await assert_held(system)
