"""Sends people's decisions and messages to their runs, by the same update and signal as the command line."""

import asyncio
from typing import Any, Protocol

from pydantic import ValidationError
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.service import RPCError, RPCStatusCode

from workers.updates import NoWorkerAnswered, execute_update
from workflows.contracts.approvals import Decision, DecisionReceipt
from workflows.contracts.base import Frozen, explain
from workflows.contracts.messages import MessageReceived

ANSWER_SECONDS = 30.0  # an update waits for a worker; after this time we assume that none runs


class SurfaceKey(Protocol):
    """Signs with the key of this surface."""

    def decision(self, decision: Decision) -> Decision:
        """Return the decision, signed."""

    def message(self, run_id: str, message: MessageReceived) -> MessageReceived:
        """Return the message to that run, signed."""


class NotSent(Exception):
    """The answer could not be sent; the text is for the person who gave it."""


class Answers:
    """Sends the answers of registered people whom Slack has authenticated. Without a signer they are unsigned."""

    def __init__(self, client: Client, signer: SurfaceKey | None) -> None:
        self._client = client
        self._signer = signer

    async def decide(self, run_id: str, **decision: object) -> DecisionReceipt:
        """Send a decision, given by its fields, and return its receipt. Raises NotSent."""
        try:
            unsigned = Decision.model_validate(decision)
        except ValidationError as error:
            raise NotSent(explain(error)) from None
        signed = self._signer.decision(unsigned) if self._signer else unsigned
        handle = self._client.get_workflow_handle(run_id)
        try:
            receipt = await execute_update(handle, "decide", signed.model_dump(mode="json"), ANSWER_SECONDS)
        except NoWorkerAnswered:
            await self._store(handle, "decision", signed)
            raise NotSent(
                "no worker answered yet; your answer is stored, and counts once one runs, unless it expires first"
            ) from None
        except WorkflowUpdateFailedError as error:
            raise NotSent(f"the run refused it: {error.cause}") from None
        except RPCError as error:
            raise _not_sent(error) from None
        return DecisionReceipt.model_validate(receipt)

    async def _store(self, handle: Any, signal: str, what: Frozen) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await handle.signal(signal, what.model_dump(mode="json", exclude={"kind"}))
        except TimeoutError:
            raise NotSent("Temporal did not answer; try again") from None
        except RPCError as error:
            raise _not_sent(error) from None

    async def restate(self, run_id: str, by: str, value: str) -> None:
        """Send a message in which a person endorses a value. Raises NotSent."""
        try:
            unsigned = MessageReceived(text=f"I restate this value, and mean it: {value}", by=by, endorses=value)
        except ValidationError as error:
            raise NotSent(explain(error)) from None
        signed = self._signer.message(run_id, unsigned) if self._signer else unsigned
        handle = self._client.get_workflow_handle(run_id)
        try:
            fields = signed.model_dump(mode="json", exclude={"kind"})
            await execute_update(handle, "tell", fields, ANSWER_SECONDS)
        except NoWorkerAnswered:
            await self._store(handle, "message", signed)
        except WorkflowUpdateFailedError as error:
            raise NotSent(f"the run did not take it: {error.cause}") from None
        except RPCError as error:
            raise _not_sent(error) from None


def _not_sent(error: RPCError) -> NotSent:
    if error.status == RPCStatusCode.NOT_FOUND:
        return NotSent("this run is over")
    return NotSent("Temporal did not accept it; try again in a moment")
