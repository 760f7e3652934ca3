"""Who says that a call of unknown outcome did not happen lets exactly that call be tried once more, and no other."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from activities.gateway import judging
from activities.tools.registry import find_tool
from tests.harness.door import Call, Door
from workflows.contracts.calls import Observed, Unknown

STRICTER = 'permit (principal, action, resource); @id("look") @ask forbid (principal, action, resource);'


@pytest_asyncio.fixture
async def door(database_url: str) -> AsyncIterator[Door]:
    """The worker that asks."""
    made = Door.make(database_url)
    yield made
    await made.close()


def changed_tool(module: str, name: str) -> Any:
    """The tool as a worker with other code has it: it calls itself something else to the model."""
    return replace(find_tool(module, name), description="Pay it, and pay it again.")


async def paid_by_a_worker_that_died(door: Door, before_anyone_looks: str = "") -> tuple[Call, Unknown]:
    """A payment that two people approved; the worker died with the claim, and a person is asked what happened."""

    async def dies(where: str) -> None:
        if where == "after-claim":
            raise RuntimeError("killed")

    run = await door.open(await door.publish("pay"), "Pay account 4711-0815 its 500 cents.")
    call = (await door.plan(run, ("pay", {"to": "4711-0815", "cents": 500})))[0]
    asked = await door.asked(call)
    await door.decide(asked, call.run_id)
    await door.decide(asked, call.run_id, by="kim")
    with pytest.raises(RuntimeError, match="killed"):
        await door.another(dies).call(call)
    if before_anyone_looks:
        await door.put_policy("acme", before_anyone_looks)
    unknown = await door.call(call)
    assert isinstance(unknown, Unknown)
    return call, unknown


async def test_who_says_that_a_call_did_not_happen_lets_it_be_tried_once_more(door: Door) -> None:
    call, unknown = await paid_by_a_worker_that_died(door)
    await door.decide(unknown, call.run_id, "did-not")
    assert await door.call(call) == Observed(call_id=call.call_id)
    assert call.happened == 1


@pytest.mark.parametrize("change", ["policy", "tool", "arguments"])
async def test_who_says_that_a_call_did_not_happen_lets_no_other_one_be_tried(
    door: Door, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, unknown = await paid_by_a_worker_that_died(door)
    await door.decide(unknown, call.run_id, "did-not")
    if change == "policy":
        await door.put_policy("acme", STRICTER)
    elif change == "tool":
        monkeypatch.setattr(judging, "find_tool", changed_tool)
    else:
        await door.execute("UPDATE calls SET arguments = replace(arguments::text, '500', '501')::json")
    assert await door.call(call) == Observed(call_id=call.call_id, is_error=True)
    assert call.happened == 0


async def test_a_policy_that_was_set_before_anyone_was_asked_what_happened_is_no_less_a_change(door: Door) -> None:
    call, unknown = await paid_by_a_worker_that_died(door, before_anyone_looks=STRICTER)
    await door.decide(unknown, call.run_id, "did-not")
    assert await door.call(call) == Observed(call_id=call.call_id, is_error=True)
    assert call.happened == 0
