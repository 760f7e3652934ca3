"""One plugin for client, worker, replayer and tests: converter, sandbox, failure types, interceptors."""

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.boundary import Boundary
from workers.sandbox import ContextFreeSandbox

# Types and pure functions only: importing them once, outside, saves building every pydantic model per run.
PASSED_THROUGH = (
    "workflows.contracts",
    "workflows.ports",
    "workflows.similarity",
    "workflows.detectors",
    "workflows.loops",
    "workflows.telling",
)


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
    given = runner or SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default)
    restrictions = given.restrictions.with_passthrough_modules(*PASSED_THROUGH)
    return ContextFreeSandbox(restrictions=restrictions, runner_class=given.runner_class)
