"""The negative control: AgentWorkflow with one more activity before each model call. No history replays on it."""

from typing import Any

from temporalio import workflow

from workflows import options
from workflows.agent import AgentWorkflow
from workflows.contracts.runs import WORKFLOW_TYPE, RunOutcome
from workflows.ports import RunsPort


@workflow.defn(name=WORKFLOW_TYPE)
class AlteredWorkflow(AgentWorkflow):
    """Asks for the reaper where the workflow asks for the model."""

    @workflow.init
    def __init__(self, start: Any = None) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: Any = None) -> RunOutcome:
        """As the workflow it alters."""
        return await super().run(start)

    async def _ask_model(self) -> None:
        await workflow.execute_activity_method(RunsPort.reap, **options.reaping())
        await super()._ask_model()
