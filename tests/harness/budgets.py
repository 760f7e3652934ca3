"""Runs that are short of something, and grants to them."""

import json
from typing import Any

from temporalio.client import WorkflowHandle

from activities.budgets.grants import Grant, GrantGiven, Grants
from tests.harness.stanchion import Stanchion, eventually

Handle = WorkflowHandle[Any, Any]


async def paused(handle: Handle, because: str = "") -> dict[str, Any]:
    """The status of a run, once it is paused for this reason."""

    async def is_paused() -> dict[str, Any] | None:
        found: dict[str, Any] = await handle.query("status")
        return found if found["status"] == "paused" and because in (found["waiting_for"] or "") else None

    found = await eventually(is_paused, f"{handle.id} is paused: {because}")
    assert found
    return found


async def give(system: Stanchion, run_id: str, by: str = "lee", **added: Any) -> GrantGiven:
    """Somebody adds to the budget of a run, unsigned as a test's system allows it."""
    return await Grants(system.parts.database, system.parts.authority).give(Grant(run_id=run_id, by=by, **added))


async def budget_of(system: Stanchion, run_id: str) -> dict[str, int]:
    """The budget in the tables."""
    found: dict[str, int] = json.loads(await system.value("SELECT budget FROM runs WHERE run_id = $1", run_id))
    return found


async def completed(system: Stanchion, agent: str, *costs: str) -> None:
    """Runs of an agent that were completed at these costs, in USD; the last is the latest."""
    for n, usd in enumerate(costs):
        await system.rows(
            "INSERT INTO runs (run_id, chain_id, agent, agent_version, tenant, goal_digest, mode, budget,"
            " policy_version, status, outcome, closed_at)"
            " SELECT $1 || '/past-' || $2, '', $1, h.version, 'default', '', 'tiered', '{}', '', 'completed', $3,"
            " now() - interval '1 hour' + make_interval(secs => $2::text::int)"
            " FROM agent_heads h WHERE h.name = $1",
            agent,
            str(n),
            json.dumps({"status": "completed", "spent": {"usd": usd}}),
        )
