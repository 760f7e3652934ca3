"""The baseline of the benchmarks: a workflow that calls two activities a step and passes small references.

`BareWorkflow` touches no store. `CommittingWorkflow` is the same with one trivial INSERT in each activity: the price of
two commits, which a run that is recorded cannot save.
"""

from datetime import timedelta
from typing import Any

from temporalio import activity, workflow

TIMEOUT = timedelta(seconds=60)
TABLE = "CREATE TABLE bench_commits (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ref text NOT NULL)"
INSERT = "INSERT INTO bench_commits (ref) VALUES ($1)"


async def _steps(plan: str, call: str, order: dict[str, Any]) -> int:
    run_id = workflow.info().workflow_id
    for step in range(1, order["steps"] + 1):
        reference = {"run_id": run_id, "step": step}
        planned = await workflow.execute_activity(plan, reference, start_to_close_timeout=TIMEOUT)
        await workflow.execute_activity(call, planned, start_to_close_timeout=TIMEOUT)
    return int(order["steps"])


@workflow.defn
class BareWorkflow:
    """Two activities a step."""

    @workflow.run
    async def run(self, order: dict[str, Any]) -> int:
        """`{"steps": n}`."""
        return await _steps("bare.plan", "bare.call", order)


@workflow.defn
class CommittingWorkflow:
    """Two activities a step, each of which commits one row."""

    @workflow.run
    async def run(self, order: dict[str, Any]) -> int:
        """`{"steps": n}`."""
        return await _steps("committing.plan", "committing.call", order)


class BareActivities:
    """References in, references out."""

    @activity.defn(name="bare.plan")
    async def plan(self, reference: dict[str, Any]) -> dict[str, Any]:
        """What a model call would return."""
        return {"call_id": f"{reference['step']}.0", **reference}

    @activity.defn(name="bare.call")
    async def call(self, reference: dict[str, Any]) -> dict[str, Any]:
        """What a tool call would return."""
        return {"call_id": reference["call_id"], "done": True}


class CommittingActivities:
    """As `BareActivities`, with a commit in each. `pool` is an asyncpg pool."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @activity.defn(name="committing.plan")
    async def plan(self, reference: dict[str, Any]) -> dict[str, Any]:
        """One commit."""
        await self._pool.execute(INSERT, f"{reference['run_id']}/{reference['step']}")
        return {"call_id": f"{reference['step']}.0", **reference}

    @activity.defn(name="committing.call")
    async def call(self, reference: dict[str, Any]) -> dict[str, Any]:
        """One commit."""
        await self._pool.execute(INSERT, reference["call_id"])
        return {"call_id": reference["call_id"], "done": True}
