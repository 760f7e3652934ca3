"""The negative control of the sandbox: AgentWorkflow that reaches for an effect inside of a function, at run time.

It is passed through the sandbox as `workflows` is, so no import at the top of a file stands between it and the effect.
"""

from typing import Any

from temporalio import workflow

from workflows.agent import AgentWorkflow
from workflows.contracts.runs import WORKFLOW_TYPE, RunOutcome


class _Reaching(AgentWorkflow):
    async def _ask_model(self) -> None:
        self._reach()
        await super()._ask_model()

    def _reach(self) -> None:
        raise NotImplementedError


@workflow.defn(name=WORKFLOW_TYPE)
class ReachesForNothing(_Reaching):
    """Does as the workflow does."""

    @workflow.init
    def __init__(self, start: Any = None) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: Any = None) -> RunOutcome:
        """As the workflow it alters."""
        return await super().run(start)

    def _reach(self) -> None:
        pass


@workflow.defn(name=WORKFLOW_TYPE)
class ImportsDriver(_Reaching):
    """Imports the database driver."""

    @workflow.init
    def __init__(self, start: Any = None) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: Any = None) -> RunOutcome:
        """As the workflow it alters."""
        return await super().run(start)

    def _reach(self) -> None:
        import asyncpg  # noqa: F401


@workflow.defn(name=WORKFLOW_TYPE)
class ImportsActivities(_Reaching):
    """Imports the store."""

    @workflow.init
    def __init__(self, start: Any = None) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: Any = None) -> RunOutcome:
        """As the workflow it alters."""
        return await super().run(start)

    def _reach(self) -> None:
        from activities.storage import database  # noqa: F401


@workflow.defn(name=WORKFLOW_TYPE)
class ReadsEnvironment(_Reaching):
    """Reads the environment."""

    @workflow.init
    def __init__(self, start: Any = None) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: Any = None) -> RunOutcome:
        """As the workflow it alters."""
        return await super().run(start)

    def _reach(self) -> None:
        import os

        os.environ.get("HOME")


@workflow.defn(name=WORKFLOW_TYPE)
class OpensFile(_Reaching):
    """Opens a file."""

    @workflow.init
    def __init__(self, start: Any = None) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: Any = None) -> RunOutcome:
        """As the workflow it alters."""
        return await super().run(start)

    def _reach(self) -> None:
        open(__file__).close()
