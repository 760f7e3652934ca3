"""The Temporal plugin for clients, workers, replayer and tests: data converter, sandbox and interceptors."""

from dataclasses import replace

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxMatcher, SandboxRestrictions

from activities.boundary import Boundary
from workers.sandbox import ContextFreeSandbox

# Imported once, outside the sandbox, instead of once per run. This is safe because the package has no module-level
# state that two runs could share (test_module_state.py) and imports nothing that does I/O (test_arrows.py).
PASSED_THROUGH = ("workflows",)
# A workflow function could import these at run time, which the tests of the source do not see; the sandbox refuses it.
REFUSED = ("activities", "workers", "asyncpg", "anthropic")


def stanchion_plugin() -> SimplePlugin:
    """Return the plugin with which every client and worker of Stanchion connects to Temporal."""
    return SimplePlugin(
        "stanchion",
        data_converter=pydantic_data_converter,
        interceptors=[Boundary()],
        workflow_runner=_with_sandbox,
    )


def _with_sandbox(runner: WorkflowRunner | None) -> WorkflowRunner:
    if runner is not None and not isinstance(runner, SandboxedWorkflowRunner):
        return runner
    sandboxed = runner or SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default)
    restrictions = replace(
        sandboxed.restrictions.with_passthrough_modules(*PASSED_THROUGH),
        invalid_modules=sandboxed.restrictions.invalid_modules | SandboxMatcher(access=set(REFUSED)),
    )
    return ContextFreeSandbox(restrictions=restrictions, runner_class=sandboxed.runner_class)
