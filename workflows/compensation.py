"""`on_failure: undo`: decides whether a run that ended is rolled back, and starts the rollback."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflows import options
from workflows.activity_calls import ActivityLost, execute
from workflows.contracts.rollbacks import UndoRequest
from workflows.contracts.runs import Ending
from workflows.ports import UndoPort
from workflows.state import RunState


def takes_back(state: RunState, ending: Ending) -> bool:
    """Whether the run failed or was stopped by a limit. Whoever halts a run orders its rollback, if one is wanted."""
    if state.opened is None or state.opened.on_failure != "undo" or state.halt is not None:
        return False
    return ending.status in ("stopped", "failed")


async def undo_after(state: RunState, ending: Ending) -> None:
    """Start the rollback of a closed run, if its definition asks for one. If that fails, the outcome stays."""
    if not takes_back(state, ending):
        return
    try:
        started = await execute(
            UndoPort.start,
            UndoRequest(run_id=state.run_id),
            summary="on_failure: undo",
            **options.bookkeeping(),  # on the run's own queue: the rollback's run is started on the same one
        )
    except (ActivityError, ActivityLost) as error:
        workflow.logger.error("the rollback of a failed run was not started: %s", error.cause or error)
    else:
        workflow.logger.info("what this run did is taken back by %s", started.rollback_id)
