"""Workflow code that reaches for an effect at run time is refused by the sandbox, which lets `workflows` through."""

import pytest
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from tests.replay import reaching
from tests.replay.record import generations, load
from workers.plugin import stanchion_plugin

PLAIN = generations()[-1] / "plain.json"


async def replayed(workflow: type) -> str:
    """What replaying a plain run on this workflow fails with, nothing if it does not; its module is passed through."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules(reaching.__name__)
    runner = SandboxedWorkflowRunner(restrictions=restrictions)
    replayer = Replayer(workflows=[workflow], plugins=[stanchion_plugin()], workflow_runner=runner)
    result = await replayer.replay_workflow(load(PLAIN), raise_on_replay_failure=False)
    return str(result.replay_failure or "")


@pytest.mark.parametrize(
    ("workflow", "what"),
    [
        (reaching.ImportsDriver, "asyncpg"),
        (reaching.ImportsActivities, "activities"),
        (reaching.ReadsEnvironment, "os.environ"),
        (reaching.OpensFile, "open"),
    ],
)
async def test_a_workflow_that_reaches_for_an_effect_is_refused(workflow: type, what: str) -> None:
    assert f"Cannot access {what}" in (failure := await replayed(workflow)) or f"__builtins__.{what}" in failure


async def test_the_same_workflow_that_reaches_for_nothing_replays() -> None:
    assert await replayed(reaching.ReachesForNothing) == ""
