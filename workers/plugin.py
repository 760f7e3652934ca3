"""One plugin for client, worker, replayer and tests: converter, sandbox, failure types, interceptors."""

from dataclasses import replace

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxMatcher, SandboxRestrictions

from activities.boundary import Boundary
from workers.sandbox import ContextFreeSandbox

# Imported once, outside of the sandbox, instead of once for each run. tests/architecture proves that the package keeps
# no state at module level, which two runs would share (test_module_state.py), and imports no effect (test_arrows.py).
PASSED_THROUGH = ("workflows",)
# What an import inside of a workflow's function would bring in at run time, where no test of the source looks.
REFUSED = ("activities", "workers", "asyncpg", "anthropic")


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
    restrictions = replace(
        given.restrictions.with_passthrough_modules(*PASSED_THROUGH),
        invalid_modules=given.restrictions.invalid_modules | SandboxMatcher(access=set(REFUSED)),
    )
    return ContextFreeSandbox(restrictions=restrictions, runner_class=given.runner_class)
