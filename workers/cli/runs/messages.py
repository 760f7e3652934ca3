"""Sends a message to a run and reports whether the run noted it."""

import asyncio
from typing import Any

from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError

from workers.cli.output import Exit, fail
from workflows.contracts.messages import MessageReceived

# The SDK wraps the cancellation that a time-out causes in an error of its own.
UNANSWERED = (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError)
ANSWER_SECONDS = 10.0  # an update waits for a worker; after this time we assume that none runs
STORED = "no worker answered; it is stored with the run, which reads it once a worker runs"


async def send_message(handle: WorkflowHandle[Any, Any], message: MessageReceived) -> str:
    """Send the message as an update; if no worker answers, as a signal, which is stored. Returns what became of it."""
    fields = message.model_dump(mode="json", exclude={"kind"})
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await handle.execute_update("tell", fields)
    except UNANSWERED:
        await handle.signal("message", fields)
        return STORED
    except WorkflowUpdateFailedError as error:
        fail(f"the run did not take it: {error.cause}", Exit.REFUSED)
    return "noted; the agent reads it before its next step"
