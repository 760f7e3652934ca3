"""Turns that call tools, and what the end of any run leaves: a sound transcript and a small history."""

from typing import Any

from temporalio.client import WorkflowHandle

from tests.harness.checks import assert_no_task_failed, assert_sound
from tests.harness.stanchion import Stanchion

Handle = WorkflowHandle[Any, Any]
HISTORY_MOST = 200_000  # bytes: whatever came in, a short run's history stays small
DONE = {"text": "done"}


def calls(*names: str, **arguments: Any) -> dict[str, Any]:
    """A turn that calls these tools, all with the same arguments."""
    return {"tools": [{"name": name, "input": arguments} for name in names]}


async def ended(stanchion: Stanchion, handle: Handle, status: str, rule: str = "") -> dict[str, Any]:
    """The outcome of a run that left a sound transcript and a small history."""
    outcome = await stanchion.outcome(handle)
    assert (outcome["status"], outcome["reason"].split(":")[0]) == (status, rule or outcome["reason"].split(":")[0])
    await assert_sound(stanchion, handle.id)
    await assert_no_task_failed(handle)
    history = await handle.fetch_history()
    assert sum(event.ByteSize() for event in history.events) < HISTORY_MOST
    return outcome
