"""What tests of rollbacks do: run an agent, order a rollback, follow it to its report."""

from typing import Any

from temporalio.client import WorkflowHandle

from activities.undo.orders import RollbackOrder, Rollbacks
from activities.undo.planner import RollbackPlanner
from activities.undo.report import RollbackReport
from activities.undo.start_rollback import start_rollback
from tests.harness.stanchion import Stanchion
from tests.undo import tools

Handle = WorkflowHandle[Any, Any]


def turn(*calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A step that makes these calls."""
    return {"tools": [{"name": name, "input": given} for name, given in calls]}


DONE = {"text": "done"}


async def ran(system: Stanchion, turns: list[dict[str, Any]], *used: str, **definition: Any) -> Handle:
    """A run that is over."""
    handle = await begun(system, turns, *used, **definition)
    await system.outcome(handle)
    return handle


async def begun(system: Stanchion, turns: list[dict[str, Any]], *used: str, **definition: Any) -> Handle:
    """A run at work."""
    goal = definition.pop("goal", "do it")
    agent = await system.publish([*turns, DONE], *used, module=tools.MODULE, **definition)
    return await system.start(agent, goal, requester="ana")


async def ordered(system: Stanchion, run_id: str, to_step: int = 0, by: str = "lee", again: bool = False) -> Handle:
    """The rollback of a run, started."""
    order = RollbackOrder(run_id=run_id, to_step=to_step, by=by)
    rollback = await Rollbacks(system.parts.database).order(order, again=again)
    return await start_rollback(system.client, rollback, system.settings.task_queue)


async def rolled_back(system: Stanchion, run_id: str, to_step: int = 0, again: bool = False) -> RollbackReport:
    """The report of a rollback, once it is over."""
    handle = await ordered(system, run_id, to_step, again=again)
    outcome = await system.outcome(handle)
    assert outcome["status"] == "completed", outcome
    return await report(system, run_id, to_step, handle.id)


async def report(system: Stanchion, run_id: str, to_step: int = 0, rollback: str | None = None) -> RollbackReport:
    """How it stands with a run: to this rollback, or to whoever would order another."""
    return await RollbackPlanner(system.parts.database, system.parts.agents).report(run_id, to_step, rollback)


def standings(found: RollbackReport) -> dict[str, str]:
    """Call -> how it stands."""
    return {item.call_id: item.standing for item in found.items}
