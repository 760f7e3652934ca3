"""Takes over from a dead worker: fails in Temporal what it had in flight, so that it is tried elsewhere.

Safe when the worker lives after all: it is fenced first, so it claims nothing more, and what it had claimed is fenced
by the attempt that comes next, as after any lost worker.
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

AT_ONCE = 20  # runs looked at side by side
CALL_SECONDS = timedelta(seconds=5)
AGAIN_SECONDS = 1.0  # until the second pass: the server may hand a task to a poll of the worker that just died
JUST_STARTED = timedelta(seconds=60)  # runs younger than that may have no row of ours yet
AGAIN_AFTER = Duration(nanos=1_000_000)  # at once: zero would mean the retry policy's own first pause of a second
GONE = "WorkerGone"  # the type of the failure, as the history shows it
STICKY_WAS_RESET = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE

log = structlog.get_logger("stanchion.liveness")


class Takeover:
    """What one worker does about others that died. `by`: its own id."""

    def __init__(self, client: Client, database: Database, by: str) -> None:
        self._client = client
        self._database = database
        self._by = by
        self._namespace_id = ""

    async def of(self, worker_id: str) -> None:
        """Look after a dead worker, if no other survivor does. Raises RPCError, StoreUnavailable; safe to repeat."""
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
        """Runs that may have been killed while they were opened."""
        since = (datetime.now(UTC) - JUST_STARTED).isoformat()
        query = f"WorkflowType = '{WORKFLOW_TYPE}' AND ExecutionStatus = 'Running' AND StartTime > '{since}'"
        return [found.id async for found in self._client.list_workflows(query, limit=1_000, rpc_timeout=CALL_SECONDS)]

    async def _release_all(self, run_ids: Iterable[str], worker_id: str) -> int:
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(run_id: str) -> int:
            async with limit:
                return await self._release(run_id, worker_id)

        return sum(await asyncio.gather(*(one(run_id) for run_id in run_ids)))

    async def _release(self, run_id: str, worker_id: str) -> int:
        """Fail what the dead worker had in flight of this run; how many attempts."""
        try:
            found = await self._service.describe_workflow_execution(
                DescribeWorkflowExecutionRequest(
                    namespace=self._client.namespace, execution=WorkflowExecution(workflow_id=run_id)
                ),
                timeout=CALL_SECONDS,
            )
            execution = found.workflow_execution_info.execution
            started = [
                each.activity_id
                for each in found.pending_activities
                if each.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
                and each.last_worker_identity == worker_id
            ]
            if started or found.HasField("pending_workflow_task"):
                await self._reset_sticky(execution)
            for activity_id in started:
                await self._fail(execution, activity_id, worker_id)
            return len(started) + await self._fail_workflow_task(found, worker_id)
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:  # it ended, or went on, in between
                return 0
            raise

    async def _reset_sticky(self, execution: WorkflowExecution) -> None:
        """Else its next workflow task waits for the dead worker first."""
        request = ResetStickyTaskQueueRequest(namespace=self._client.namespace, execution=execution)
        await self._service.reset_sticky_task_queue(request, timeout=CALL_SECONDS)

    async def _fail(self, execution: WorkflowExecution, activity_id: str, worker_id: str) -> None:
        await self._service.respond_activity_task_failed_by_id(
            RespondActivityTaskFailedByIdRequest(
                namespace=self._client.namespace,
                workflow_id=execution.workflow_id,
                run_id=execution.run_id,
                activity_id=activity_id,
                failure=_gone(worker_id),
                identity=self._by,
            ),
            timeout=CALL_SECONDS,
        )

    async def _fail_workflow_task(self, found: DescribeWorkflowExecutionResponse, worker_id: str) -> int:
        """Fail the workflow task that the dead worker had started, if it is the newest event and its own.

        A server that does not take the token lets the task time out.
        """
        pending, execution = found.pending_workflow_task, found.workflow_execution_info.execution
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
            failure=_gone(worker_id),
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
            found = await self._service.describe_namespace(request, timeout=CALL_SECONDS)
            self._namespace_id = found.namespace_info.id
        return self._namespace_id

    @property
    def _service(self) -> Any:
        return self._client.workflow_service


def _gone(worker_id: str) -> Failure:
    """How the history says it."""
    info = ApplicationFailureInfo(type=GONE, next_retry_delay=AGAIN_AFTER)
    return Failure(message=f"the worker {worker_id} is gone", application_failure_info=info)
