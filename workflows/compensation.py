"""When a run takes back what it did, by its agent's own definition: `on_failure: undo`."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflows import options
from workflows.activity_calls import ActivityLost, execute
from workflows.contracts.rollbacks import UndoRequest
from workflows.contracts.runs import Ending
from workflows.ports import UndoPort
from workflows.state import RunState


def takes_back(state: RunState, ending: Ending) -> bool:
    """It failed, or was stopped by a limit. Whoever halts or cancels a run says himself whether it is to be undone."""
    if state.opened is None or state.opened.on_failure != "undo" or state.halt is not None:
        return False
    return ending.status in ("stopped", "failed")


async def undo_after(state: RunState, ending: Ending) -> None:
    """Start the rollback of a closed run, if its definition wants one. Its outcome stands, whatever becomes of that."""
    if not takes_back(state, ending):
        return
    try:
        started = await execute(
            UndoPort.start,
            UndoRequest(run_id=state.run_id),
            summary="on_failure: undo",
            **options.bookkeeping(),  # on the run's own queue, which the run that takes back gets too
        )
    except (ActivityError, ActivityLost) as error:
        workflow.logger.error("the rollback of a failed run was not started: %s", error.cause or error)
    else:
        workflow.logger.info("what this run did is taken back by %s", started.rollback_id)
