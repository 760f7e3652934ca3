"""Starts the sub-agents of one execution, waits for their end, and cancels them together.

A sub-agent is a child workflow of the same type. Its id comes from its parent's call, so a call has one at most. The
gateway reads its result from the tables; this file only notices that it has ended. If it ended without closing itself
(terminated, timed out, never admitted), this file closes it, as the reaper would.
"""

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.exceptions import (
    ApplicationError,
    ChildWorkflowError,
    TerminatedError,
    WorkflowAlreadyStartedError,
)

from workflows import options, patches
from workflows.activity_calls import execute
from workflows.contracts.budgets import Spent
from workflows.contracts.events import ChildEnded, ChildStarted
from workflows.contracts.runs import WORKFLOW_TYPE, CloseRequest, Ending, RunRequest
from workflows.endings import REASON_LIMIT
from workflows.ports import RunsPort
from workflows.state import RunState, at_work

CANCELLED_BECAUSE = "the run that it works for has ended"


class Children:
    """The sub-agents that this execution has started. It never rolls over while one is at work."""

    def __init__(self) -> None:
        self._lives: dict[str, asyncio.Task[None]] = {}  # by call id
        self._handles: dict[str, workflow.ChildWorkflowHandle[Any, Any]] = {}
        self._stopping = False

    def start(self, state: RunState) -> None:
        """Start the sub-agents that are not started yet."""
        for child in at_work(state):
            if child.call_id not in self._lives:
                self._lives[child.call_id] = asyncio.create_task(self._live(state, child))

    def ended(self, state: RunState) -> tuple[ChildEnded, ...]:
        """The sub-agents that have ended since. Raises the error of closing one, if there was one."""
        over = [child for child in at_work(state) if self._lives[child.call_id].done()]
        for child in over:
            self._lives[child.call_id].result()
        return tuple(ChildEnded(call_id=child.call_id) for child in over)

    def any_ended(self, state: RunState) -> bool:
        """Whether one has ended that the run does not know of yet."""
        return any(self._lives[child.call_id].done() for child in at_work(state))

    async def stop(self) -> None:
        """Cancel the sub-agents at work and wait for their end, so that nothing outlives the run."""
        self._stopping = True
        await asyncio.gather(*(_cancel(handle) for handle in self._handles.values() if not handle.done()))
        if self._lives:
            await workflow.wait_condition(lambda: all(life.done() for life in self._lives.values()))

    async def _live(self, state: RunState, child: ChildStarted) -> None:
        """Start a sub-agent and wait for its end. To cancel it, use its handle; this task is never cancelled."""
        try:
            handle = await workflow.start_child_workflow(
                WORKFLOW_TYPE,
                RunRequest(agent=child.agent, goal=child.goal, requester=state.requester, tenant=state.tenant),
                id=child.run_id,
                parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
                static_summary=f"sub-agent of {state.run_id}, call {child.call_id}",
            )
            self._handles[child.call_id] = handle
            if self._stopping:
                await _cancel(handle)
            await handle
        except WorkflowAlreadyStartedError:
            workflow.logger.warning("the id of a sub-agent is taken by another workflow: %s", child.run_id)
        except ChildWorkflowError as error:
            await execute(
                RunsPort.close,
                CloseRequest(run_id=child.run_id, ending=_ending(error), steps=0, spent=Spent()),
                summary=f"{child.run_id} ended without closing itself",
                **options.bookkeeping(state.opened.queues.operations if state.opened else None),
            )


async def _cancel(handle: workflow.ChildWorkflowHandle[Any, Any]) -> None:
    """Cancel a sub-agent, whichever of its executions is alive now."""
    handle.cancel(CANCELLED_BECAUSE)  # carries the reason, but reaches the first execution only
    if patches.cancels_living_child():
        try:
            await workflow.get_external_workflow_handle(handle.id).cancel()
        except ApplicationError:
            workflow.logger.info("%s has ended meanwhile", handle.id)


def _ending(error: ChildWorkflowError) -> Ending:
    cause = error.cause
    if isinstance(cause, TerminatedError):
        return Ending(status="stopped", rule="terminated", reason="the workflow was terminated, without clean-up")
    if isinstance(cause, ApplicationError):
        return Ending(status="failed", rule=f"failed.{cause.type or 'error'}", reason=cause.message[:REASON_LIMIT])
    return Ending(status="stopped", rule="lost", reason=f"the workflow ended: {cause or error}"[:REASON_LIMIT])
