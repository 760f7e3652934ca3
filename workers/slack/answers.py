"""Sending answers: through the run's own update and signal, as every surface does. Nothing is decided here."""

import asyncio
from typing import Protocol

from pydantic import ValidationError
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.service import RPCError, RPCStatusCode

from workflows.contracts.approvals import Decision, DecisionReceipt
from workflows.contracts.base import explain
from workflows.contracts.messages import MessageReceived

ANSWER_SECONDS = 30.0  # an update waits for a worker; beyond this there is none


class SurfaceKey(Protocol):
    """The surface's key."""

    def decision(self, decision: Decision) -> Decision:
        """The decision, signed."""

    def message(self, run_id: str, message: MessageReceived) -> MessageReceived:
        """The message to that run, signed."""


class NotSent(Exception):
    """The answer did not arrive; the text is for the person who gave it."""


class Answers:
    """Answers of people whom Slack authenticated and our own table named. Without a signer they go unsigned."""

    def __init__(self, client: Client, signer: SurfaceKey | None) -> None:
        self._client = client
        self._signer = signer

    async def decide(self, run_id: str, **decision: object) -> DecisionReceipt:
        """Send one decision; what became of it. Raises NotSent."""
        try:
            plain = Decision.model_validate(decision)
        except ValidationError as error:
            raise NotSent(explain(error)) from None
        sent = self._signer.decision(plain) if self._signer else plain
        handle = self._client.get_workflow_handle(run_id)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                receipt = await handle.execute_update("decide", sent.model_dump(mode="json"))
        except TimeoutError:
            raise NotSent("no worker answered yet; your answer counts once one runs, unless it expires first") from None
        except WorkflowUpdateFailedError as error:
            raise NotSent(f"the run refused it: {error.cause}") from None
        except RPCError as error:
            raise _not_sent(error) from None
        return DecisionReceipt.model_validate(receipt)

    async def restate(self, run_id: str, by: str, value: str) -> None:
        """Send a value as a person's own word. Raises NotSent."""
        try:
            plain = MessageReceived(text=f"I restate this value, and mean it: {value}", by=by, endorses=value)
        except ValidationError as error:
            raise NotSent(explain(error)) from None
        sent = self._signer.message(run_id, plain) if self._signer else plain
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                handle = self._client.get_workflow_handle(run_id)
                await handle.signal("message", sent.model_dump(mode="json", exclude={"kind"}))
        except TimeoutError:
            raise NotSent("Temporal did not answer; try again") from None
        except RPCError as error:
            raise _not_sent(error) from None


def _not_sent(error: RPCError) -> NotSent:
    if error.status == RPCStatusCode.NOT_FOUND:
        return NotSent("this run is over")
    return NotSent("Temporal did not take it; try again in a moment")
