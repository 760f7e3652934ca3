"""Takes over from a dead worker: fails its tasks in Temporal, so that Temporal retries them on other workers.

This is safe even if the worker is alive. It is fenced first, so that it cannot claim effects any more, and the next
attempt fences the effects that it had claimed.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState, PendingWorkflowTaskState, WorkflowTaskFailedCause
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryReverseRequest,
    ResetStickyTaskQueueRequest,
    RespondActivityTaskFailedByIdRequest,
    RespondWorkflowTaskFailedRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.liveness.session import SQL
from activities.liveness.task_token import workflow_task_token
from activities.storage.database import Database
from workflows.contracts.runs import WORKFLOW_TYPE

AT_ONCE = 20  # runs handled concurrently
CALL_SECONDS = timedelta(seconds=5)
AGAIN_SECONDS = 1.0  # until the second pass, since the server may still hand a task to a poll of the dead worker
JUST_STARTED = timedelta(seconds=60)  # younger runs may have no row in `runs` yet
AGAIN_AFTER = Duration(nanos=1_000_000)  # retry at once; zero would mean the retry policy's first interval, 1 s
GONE = "WorkerGone"  # the failure's type in the workflow history
STICKY_WAS_RESET = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE

log = structlog.get_logger("stanchion.liveness")


class Takeover:
    """Takes over from dead workers. `by`: the id of the worker that takes over."""

    def __init__(self, client: Client, database: Database, by: str) -> None:
        self._client = client
        self._database = database
        self._by = by
        self._namespace_id = ""

    async def take_over(self, worker_id: str) -> None:
        """Take over from a dead worker, unless another survivor does. Repeatable. Raises RPCError, StoreUnavailable."""
        if not await SQL["take"].rows(self._database, worker_id=worker_id, by=self._by):
            return
        runs = [row["run_id"] for row in await SQL["at_work"].rows(self._database)]
        failed = await self._release_all(runs, worker_id)
        await asyncio.sleep(AGAIN_SECONDS)
        runs = [row["run_id"] for row in await SQL["at_work"].rows(self._database)]
        failed += await self._release_all({*runs, *await self._just_started()}, worker_id)
        await SQL["gone"].rows(self._database, worker_id=worker_id, by=self._by)
        log.warning("worker.gone", worker_id=worker_id, attempts_failed=failed, runs=len(runs))

    async def _just_started(self) -> list[str]:
        """Recently started runs; the worker may have died before it stored their rows."""
        since = (datetime.now(UTC) - JUST_STARTED).isoformat()
        query = f"WorkflowType = '{WORKFLOW_TYPE}' AND ExecutionStatus = 'Running' AND StartTime > '{since}'"
        return [each.id async for each in self._client.list_workflows(query, limit=1_000, rpc_timeout=CALL_SECONDS)]

    async def _release_all(self, run_ids: Iterable[str], worker_id: str) -> int:
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(run_id: str) -> int:
            async with limit:
                return await self._release(run_id, worker_id)

        return sum(await asyncio.gather(*(one(run_id) for run_id in run_ids)))

    async def _release(self, run_id: str, worker_id: str) -> int:
        """Fail the dead worker's tasks of this run; return how many."""
        try:
            description = await self._service.describe_workflow_execution(
                DescribeWorkflowExecutionRequest(
                    namespace=self._client.namespace, execution=WorkflowExecution(workflow_id=run_id)
                ),
                timeout=CALL_SECONDS,
            )
            execution = description.workflow_execution_info.execution
            started = [
                each.activity_id
                for each in description.pending_activities
                if each.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
                and each.last_worker_identity == worker_id
            ]
            if started or description.HasField("pending_workflow_task"):
                await self._reset_sticky(execution)
            for activity_id in started:
                await self._fail(execution, activity_id, worker_id)
            return len(started) + await self._fail_workflow_task(description, worker_id)
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:  # the run has ended, or continued as new
                return 0
            raise

    async def _reset_sticky(self, execution: WorkflowExecution) -> None:
        """Reset the sticky task queue, or the run's next workflow task would wait for the dead worker."""
        request = ResetStickyTaskQueueRequest(namespace=self._client.namespace, execution=execution)
        await self._service.reset_sticky_task_queue(request, timeout=CALL_SECONDS)

    async def _fail(self, execution: WorkflowExecution, activity_id: str, worker_id: str) -> None:
        await self._service.respond_activity_task_failed_by_id(
            RespondActivityTaskFailedByIdRequest(
                namespace=self._client.namespace,
                workflow_id=execution.workflow_id,
                run_id=execution.run_id,
                activity_id=activity_id,
                failure=_worker_gone_failure(worker_id),
                identity=self._by,
            ),
            timeout=CALL_SECONDS,
        )

    async def _fail_workflow_task(self, description: DescribeWorkflowExecutionResponse, worker_id: str) -> int:
        """Fail the dead worker's workflow task, if its start is the newest event of the history. Returns 1 or 0.

        If the server refuses the token, the run goes on after the task's time-out.
        """
        pending, execution = description.pending_workflow_task, description.workflow_execution_info.execution
        if pending.state != PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED:
            return 0
        newest = await self._service.get_workflow_execution_history_reverse(
            GetWorkflowExecutionHistoryReverseRequest(
                namespace=self._client.namespace, execution=execution, maximum_page_size=1
            ),
            timeout=CALL_SECONDS,
        )
        event = newest.history.events[0]
        started = event.workflow_task_started_event_attributes
        if started.identity != worker_id:
            return 0
        token = workflow_task_token(
            await self._id_of_namespace(),
            execution.workflow_id,
            execution.run_id,
            started.scheduled_event_id,
            event.event_id,
            pending.attempt,
        )
        request = RespondWorkflowTaskFailedRequest(
            namespace=self._client.namespace,
            task_token=token,
            cause=STICKY_WAS_RESET,
            identity=self._by,
            failure=_worker_gone_failure(worker_id),
        )
        try:
            await self._service.respond_workflow_task_failed(request, timeout=CALL_SECONDS)
        except RPCError as error:
            log.info("workflow_task.waits", run_id=execution.workflow_id, reason=error.message)
            return 0
        return 1

    async def _id_of_namespace(self) -> str:
        if not self._namespace_id:
            request = DescribeNamespaceRequest(namespace=self._client.namespace)
            description = await self._service.describe_namespace(request, timeout=CALL_SECONDS)
            self._namespace_id = description.namespace_info.id
        return self._namespace_id

    @property
    def _service(self) -> Any:
        return self._client.workflow_service


def _worker_gone_failure(worker_id: str) -> Failure:
    """The failure that the workflow history shows."""
    info = ApplicationFailureInfo(type=GONE, next_retry_delay=AGAIN_AFTER)
    return Failure(message=f"the worker {worker_id} is gone", application_failure_info=info)
