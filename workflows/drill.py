"""DrillWorkflow: one drill of the off switch. A Schedule starts it every week, where one was asked for."""

from typing import Any

from temporalio import workflow

from workflows import options
from workflows.contracts.drills import DrillReport, DrillRequest
from workflows.input_reading import read
from workflows.ports import DrillsPort


@workflow.defn(name="DrillWorkflow")
class DrillWorkflow:
    """A drill."""

    @workflow.run
    async def run(self, request: Any = None) -> DrillReport:
        """What was measured."""
        return await workflow.execute_activity_method(DrillsPort.run, read(DrillRequest, request), **options.drilling())
