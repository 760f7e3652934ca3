"""Sends a message to a run and reports whether the run noted it."""

from typing import Any

from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError

from workers.cli.output import Exit, fail
from workers.updates import NoWorkerAnswered, execute_update
from workflows.contracts.messages import MessageReceived

ANSWER_SECONDS = 10.0  # an update waits for a worker; after this time we assume that none runs
STORED = "no worker answered; it is stored with the run, which reads it once a worker runs"


async def send_message(handle: WorkflowHandle[Any, Any], message: MessageReceived) -> str:
    """Send the message as an update; if no worker answers, as a signal, which is stored. Returns what became of it."""
    fields = message.model_dump(mode="json", exclude={"kind"})
    try:
        await execute_update(handle, "tell", fields, ANSWER_SECONDS)
    except NoWorkerAnswered:
        await handle.signal("message", fields)
        return STORED
    except WorkflowUpdateFailedError as error:
        fail(f"the run did not take it: {error.cause}", Exit.REFUSED)
    return "noted; the agent reads it before its next step"
