"""kill -9 of a worker at every boundary of a call that delegates, and while its sub-agent is at work.

However it dies: one sub-agent, one result, each effect once, and what was held for it settled with what it used.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.activities.spending import assert_held
from tests.crash import tools
from tests.crash.victims import doomed
from tests.crash.witness import Witness, witnessing
from tests.harness.checks import assert_no_task_failed, assert_sound
from tests.harness.delegating import ask, boss, delegate, worker
from workers.services import Services

PATIENCE = 120.0  # seconds; interpreters start and are found dead, on a machine that may be busy
TOOLS: dict[str, Any] = {"tools": ("idempotent", "undo"), "module": tools.MODULE}
ACTS = ask(("idempotent", {}))


@pytest_asyncio.fixture
async def witness() -> AsyncIterator[Witness]:
    async with witnessing() as witness:
        yield witness


@pytest.mark.parametrize(
    ("die_at", "acts"),
    [
        ("before-claim", 0),  # of the call that delegates, which is the first to get there
        ("after-claim", 0),
        ("after-settle", 0),
        ("after-effect", 1),  # of a call of the sub-agent, at work
    ],
)
async def test_a_worker_that_is_killed_leaves_one_sub_agent_one_result_and_a_right_budget(
    systems: Any, services: Services, witness: Witness, tmp_path: Path, die_at: str, acts: int
) -> None:
    system = systems(tool_settings={"witness": witness.url})
    helper = await worker(system, *[ACTS] * acts, {"text": "found it"}, **TOOLS)
    agent = await boss(system, ask(delegate(helper, tool_calls=5)), delegates=[helper], **TOOLS)
    victim = await doomed(system, services.temporal.address, witness, die_at, tmp_path / "marker")
    try:
        handle = await system.start(agent)
        assert await asyncio.wait_for(victim.wait(), PATIENCE) == -signal.SIGKILL
    finally:
        if victim.returncode is None:
            victim.kill()
            await victim.wait()
    await system.up()
    outcome = await asyncio.wait_for(handle.result(), PATIENCE)
    assert outcome["status"] == "completed", outcome
    assert await system.results(handle.id) == {"1.0": "found it"}
    [child] = await system.rows("SELECT run_id, status FROM runs WHERE parent_run_id = $1", handle.id)
    assert child["status"] == "completed" and await system.value("SELECT count(*) FROM delegations") == 1
    assert witness.effects == ({f"{child['run_id']}/1.0": 1} if acts else {})
    for run_id in (handle.id, child["run_id"]):
        await assert_sound(system, run_id)
        sql = (
            "SELECT settled, reserved FROM windows WHERE scope = 'run' AND key = $1 AND unit = 'calls' AND class = '*'"
        )
        used = [(row["settled"], row["reserved"]) for row in await system.rows(sql, run_id)]
        assert used == [(acts, 0)] or (used == [] and not acts)
    assert await system.value("SELECT count(*) FROM holds WHERE state IN ('reserved', 'lost')") == 0
    assert await system.value("SELECT count(*) FROM transcript WHERE run_id = $1 AND kind = 'result'", handle.id) == 1
    await assert_held(system)
    await assert_no_task_failed(handle)
