"""ReaperWorkflow: one pass over runs that Temporal no longer runs. A Schedule starts it every five minutes."""

from temporalio import workflow

from workflows import options
from workflows.contracts.reaping import ReapReport
from workflows.ports import RunsPort


@workflow.defn(name="ReaperWorkflow")
class ReaperWorkflow:
    """A pass of the reaper."""

    @workflow.run
    async def run(self) -> ReapReport:
        """What was found and closed."""
        return await workflow.execute_activity_method(RunsPort.reap, **options.reaping())
