"""Sends a workflow update and waits for its answer, for as long as a worker may take to give one."""

import asyncio
from typing import Any

from temporalio.client import WorkflowHandle, WorkflowUpdateRPCTimeoutOrCancelledError


class NoWorkerAnswered(Exception):
    """No worker took the update in time, so it is not stored. A signal would be."""


async def execute_update(handle: WorkflowHandle[Any, Any], name: str, fields: dict[str, Any], seconds: float) -> Any:
    """The answer of the update `name`. Raises NoWorkerAnswered, WorkflowUpdateFailedError, RPCError.

    The SDK wraps a cancellation in an error of its own, whether a time-out or somebody else caused it.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await handle.execute_update(name, fields)
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        if not limit.expired():
            raise asyncio.CancelledError from None
        raise NoWorkerAnswered from None
