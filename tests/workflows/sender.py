"""A run that wants to send something and waits to be allowed, and how it is looked at."""

from collections.abc import Callable
from typing import Any

from temporalio.client import (
    WorkflowHandle,
)

from activities.agents.versions import AgentVersion
from tests.harness.checks import assert_no_task_failed, assert_sound
from tests.harness.stanchion import Stanchion, eventually
from tests.harness.toolbox import WITNESS

Handle = WorkflowHandle[Any, Any]
Systems = Callable[..., Stanchion]

SEND = {"tools": [{"name": "send", "input": {"to": "bo@acme.example"}}]}
SLEEP = {"tools": [{"name": "wait", "input": {"minutes": 600}}]}
LOOK = {"tools": [{"name": "look", "input": {}}]}
DONE = {"text": "done"}


async def sender(stanchion: Stanchion, *more: dict[str, Any], **definition: Any) -> AgentVersion:
    """An agent that wants to send something, for which it needs an approval."""
    return await stanchion.publish([SEND, *more, DONE], "send", "look", **definition)


async def waiting(stanchion: Stanchion, agent: AgentVersion, **request: Any) -> tuple[Handle, str]:
    """A run that waits for its approval, and the approval's id."""
    handle = await stanchion.start(agent, **request)
    return handle, (await stanchion.approval(handle))["approval_id"]


def sent(handle: Handle, call_id: str = "1.0") -> int:
    """How often the call was performed."""
    return WITNESS[f"{handle.id}/{call_id}"]


async def state_of(stanchion: Stanchion, approval_id: str) -> str:
    return str(await stanchion.value("SELECT state FROM approvals WHERE approval_id = $1", approval_id))


async def becomes(handle: Handle, word: str) -> None:
    async def look() -> bool:
        return bool((await handle.query("status"))["status"] == word)

    await eventually(look, f"{handle.id} is {word}")


async def ended(stanchion: Stanchion, handle: Handle, status: str) -> dict[str, Any]:
    """The outcome of a run, which left a sound transcript and nothing open."""
    outcome = await stanchion.outcome(handle)
    assert outcome["status"] == status, outcome
    await assert_sound(stanchion, handle.id)
    await assert_no_task_failed(handle)
    assert await stanchion.value("SELECT count(*) FROM approvals WHERE run_id = $1 AND state = 'open'", handle.id) == 0
    return outcome
