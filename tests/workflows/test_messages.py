"""A message or a decision is never lost in silence: it is noted, refused, or stored until a worker runs."""

from collections.abc import Callable

import pytest
from temporalio.client import WorkflowUpdateFailedError

from tests.harness.stanchion import Stanchion
from tests.workflows.sender import Handle, becomes, ended, sender, waiting
from workers.slack import answers
from workers.slack.answers import Answers, NotSent
from workflows.contracts.messages import MESSAGE_LIMIT
from workflows.state import INBOX_LIMIT

ASLEEP = [{"tools": [{"name": "wait", "input": {"minutes": 600}}]}, {"text": "done"}]


async def paused(stanchion: Stanchion) -> Handle:
    """A run that begins nothing, so that what is said to it waits."""
    handle = await stanchion.start(await stanchion.publish(ASLEEP, "look"))
    await becomes(handle, "sleeping")
    await handle.signal("pause", {"by": "lee"})
    await becomes(handle, "paused")
    return handle


async def test_a_message_sent_as_an_update_is_answered_and_read(stanchion: Stanchion) -> None:
    handle = await stanchion.start(await stanchion.publish(ASLEEP, "look"))
    await becomes(handle, "sleeping")
    assert await handle.execute_update("tell", {"text": "wake up", "by": "lee"}) == {"accepted": True, "waiting": 1}
    await ended(stanchion, handle, "completed")
    said = await stanchion.value(
        "SELECT count(*) FROM transcript WHERE kind = 'message' AND content::text LIKE '%wake%'"
    )
    assert said == 1


@pytest.mark.parametrize("text", ["", "x" * (MESSAGE_LIMIT + 1)], ids=["empty", "too long"])
async def test_a_message_that_cannot_be_noted_is_refused_with_the_reason(stanchion: Stanchion, text: str) -> None:
    handle = await paused(stanchion)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await handle.execute_update("tell", {"text": text})
    assert "text" in str(refused.value.cause)
    await handle.terminate()


async def test_one_message_too_many_is_refused_and_those_before_it_are_kept(stanchion: Stanchion) -> None:
    handle = await paused(stanchion)
    for number in range(INBOX_LIMIT):
        await handle.execute_update("tell", {"text": f"message {number}"})
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await handle.execute_update("tell", {"text": "one more"})
    assert f"{INBOX_LIMIT} messages wait" in str(refused.value.cause)
    await handle.signal("resume", {})
    await ended(stanchion, handle, "completed")
    assert await stanchion.value("SELECT count(*) FROM transcript WHERE kind = 'message'") == INBOX_LIMIT


async def test_a_decision_that_no_worker_takes_is_stored_and_counts_once_one_runs(
    systems: Callable[..., Stanchion], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "ANSWER_SECONDS", 1.0)
    stanchion = await systems().up()
    handle, approval = await waiting(stanchion, await sender(stanchion))
    await stanchion.down()
    with pytest.raises(NotSent, match="stored"):
        await Answers(stanchion.client, None).decide(handle.id, approval_id=approval, verdict="approve", by="lee")
    await stanchion.up()
    await ended(stanchion, handle, "completed")


async def test_decisions_and_closing_do_not_wait_behind_slow_calls(systems: Callable[..., Stanchion]) -> None:
    stanchion = await systems().up(max_concurrent_activities=2)
    handle, approval = await waiting(stanchion, await sender(stanchion))
    stuck = await stanchion.publish([{"delay": 3_600, "text": "late"}], "look")
    slow = [await stanchion.start(stuck) for _ in range(2)]
    for each in slow:
        await becomes(each, "running")
    decision = {"approval_id": approval, "verdict": "reject", "by": "lee"}
    assert (await handle.execute_update("decide", decision))["answer"] == "accepted"
    for each in slow:
        await each.signal("halt", {})
        await ended(stanchion, each, "stopped")
    await ended(stanchion, handle, "completed")
