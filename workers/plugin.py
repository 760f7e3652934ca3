"""One plugin for client, worker, replayer and tests: converter, sandbox, failure types, interceptors."""

import dataclasses

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.boundary import Boundary

# The contracts and ports are types only: importing them once, outside, saves building every pydantic model per run.
PASSED_THROUGH = ("workflows.contracts", "workflows.ports")


def stanchion_plugin() -> SimplePlugin:
    """How everything here talks to Temporal."""
    return SimplePlugin(
        "stanchion",
        data_converter=pydantic_data_converter,
        interceptors=[Boundary()],
        workflow_runner=_sandboxed,
    )


def _sandboxed(runner: WorkflowRunner | None) -> WorkflowRunner:
    if runner is not None and not isinstance(runner, SandboxedWorkflowRunner):
        return runner
    restrictions = (runner.restrictions if runner else SandboxRestrictions.default).with_passthrough_modules(
        *PASSED_THROUGH
    )
    if runner is None:
        return SandboxedWorkflowRunner(restrictions=restrictions)
    return dataclasses.replace(runner, restrictions=restrictions)
