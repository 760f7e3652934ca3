"""Starts the run of a rollback, with the workflow id from its order; orders the rollbacks of `on_failure: undo`."""

from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy

from activities.storage.database import Database
from activities.undo.orders import SQL, Rollback, RollbackOrder, Rollbacks
from activities.undo.planner import RollbackPlanner
from workflows.contracts.rollbacks import UndoRequest, UndoStarted
from workflows.contracts.runs import WORKFLOW_TYPE
from workflows.ports import UndoPort


class Undo(UndoPort):
    """Orders and starts rollbacks for `on_failure: undo` in agent definitions."""

    def __init__(self, database: Database, planner: RollbackPlanner) -> None:
        self._database = database
        self._rollbacks = Rollbacks(database)
        self._planner = planner

    @activity.defn(name="undo.start")
    async def start(self, request: UndoRequest) -> UndoStarted:
        """Order the rollback of a run that failed, and start it. Safe to repeat. Raises RollbackRefused."""
        report = await self._planner.report(request.run_id)
        if not report.those("undoable", "undone", "under way", "left"):
            return UndoStarted()
        requester = await SQL["requester"].row(self._database, run_id=request.run_id)
        order = RollbackOrder(
            run_id=request.run_id,
            by=(requester["requester"] if requester else None) or "on_failure",
            reason="its agent's definition says on_failure: undo",
        )
        rollback = await self._rollbacks.order(order, again=False, by_definition=True)
        await start_rollback(activity.client(), rollback, activity.info().task_queue)
        return UndoStarted(rollback_id=rollback.rollback_id)


async def start_rollback(client: Client, rollback: Rollback, task_queue: str) -> WorkflowHandle[Any, Any]:
    """Start the run of a rollback, unless it is running already. Raises RPCError."""
    return await client.start_workflow(
        WORKFLOW_TYPE,
        rollback.request,
        id=rollback.rollback_id,
        task_queue=task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=f"takes back {rollback.of_run}",
    )
