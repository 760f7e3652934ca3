"""Whatever is sent to a run, in whatever shape: what makes no sense changes nothing, and a stop stops."""

import asyncio
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import (
    WorkflowUpdateFailedError,
)
from temporalio.common import RawValue

from tests.harness.stanchion import Stanchion
from tests.workflows.sender import (
    DONE,
    SLEEP,
    becomes,
    ended,
    sender,
    sent,
    state_of,
    waiting,
)

GARBAGE: list[Any] = [
    None,
    "yes please",
    7,
    True,
    ["approve"],
    {},
    {"approval_id": 7, "verdict": "approve", "by": "lee"},
    {"approval_id": "ap-1", "verdict": "perhaps", "by": "lee"},
    {"approval_id": "ap-1", "verdict": "approve", "by": None},
    {"text": ""},
    {"text": 5, "by": []},
    {"kind": "something.else", "text": "hello"},
    RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b'{"text": ')),
    RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b'{"text": "\\ud800"}')),
    RawValue(Payload(metadata={"encoding": b"binary/unheard-of"}, data=b"\xff")),
]


@pytest.mark.parametrize("name", ["decision", "message", "resume", "no-such-signal"])
async def test_garbage_is_dropped_and_the_run_goes_on(either: Stanchion, name: str) -> None:
    handle, approval_id = await waiting(either, await sender(either))
    await handle.signal(name)
    for value in GARBAGE:
        await handle.signal(name, value)
    await handle.signal(name, args=["one argument", "and one more"])
    assert await state_of(either, approval_id) == "open"
    assert (await either.decide(handle, "approve"))["answer"] == "accepted"
    await ended(either, handle, "completed")
    assert sent(handle) == 1


@pytest.mark.parametrize("value", GARBAGE, ids=range(len(GARBAGE)))
async def test_a_halt_stops_the_run_whatever_came_with_it(stanchion: Stanchion, value: Any) -> None:
    handle, approval_id = await waiting(stanchion, await sender(stanchion))
    await handle.signal("halt", value)
    if isinstance(value, RawValue):  # the SDK cannot decode it, and drops it before any code of ours sees it
        await handle.signal("halt")
    outcome = await ended(stanchion, handle, "stopped")
    assert outcome["reason"].startswith("halted")
    assert sent(handle) == 0
    assert await state_of(stanchion, approval_id) == "withdrawn"


async def test_a_pause_without_an_argument_pauses_and_a_resume_without_one_resumes(either: Stanchion) -> None:
    handle, _ = await waiting(either, await sender(either))
    await handle.signal("pause")
    await becomes(handle, "paused")
    await handle.signal("resume")
    await becomes(handle, "waiting")
    await either.decide(handle, "approve")
    await ended(either, handle, "completed")


@pytest.mark.parametrize("value", GARBAGE[:-3], ids=range(len(GARBAGE) - 3))
async def test_a_malformed_update_is_refused_and_changes_nothing(stanchion: Stanchion, value: Any) -> None:
    handle, approval_id = await waiting(stanchion, await sender(stanchion))
    if isinstance(value, dict) and value.get("verdict") == "approve":
        value = value | {"approval_id": approval_id, "by": ""}
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("decide", value)
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("decide")
    assert await state_of(stanchion, approval_id) == "open"
    await handle.signal("halt")
    await ended(stanchion, handle, "stopped")


async def test_a_name_with_a_nul_is_refused_at_the_door(stanchion: Stanchion) -> None:
    handle, approval_id = await waiting(stanchion, await sender(stanchion))
    decision = {"approval_id": approval_id, "verdict": "approve", "by": "l\x00ee"}
    await handle.signal("decision", decision)
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("decide", decision)
    assert (await stanchion.decide(handle, "approve"))["answer"] == "accepted"
    await ended(stanchion, handle, "completed")


async def test_a_decision_too_large_to_carry_is_refused_at_the_door(stanchion: Stanchion) -> None:
    handle, approval_id = await waiting(stanchion, await sender(stanchion))
    huge = {"approval_id": approval_id, "verdict": "edit", "by": "lee", "arguments": {"to": "x" * 1_900_000}}
    await handle.signal("decision", huge)
    await handle.signal("decision", huge)
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("decide", huge)
    assert (await stanchion.decide(handle, "approve"))["answer"] == "accepted"
    await ended(stanchion, handle, "completed")


async def test_a_flood_of_orders_and_messages_never_outgrows_what_temporal_carries(stanchion: Stanchion) -> None:
    agent = await stanchion.publish([SLEEP, DONE])
    handle = await stanchion.start(agent)
    await becomes(handle, "sleeping")
    await handle.signal("pause", {"by": "ana"})
    await becomes(handle, "paused")
    for _ in range(15):
        most = [handle.signal("message", {"text": "\x01" * 16_000, "by": "ana"}) for _ in range(10)]
        most += [handle.signal("pause", {"reason": "\x01" * 2_000}) for _ in range(20)]
        await asyncio.gather(*most)
    await handle.signal("resume", {"by": "ana"})
    await ended(stanchion, handle, "completed")
    assert [kind for _, kind, _, _ in await stanchion.transcript(handle.id)].count("message") > 3
