""" "Approve this, and the next n like it": n and no more, like it and nothing else, in this run, for this while.

The test plays the workflow. Passes unasked means: one attempt performs the call, on a decision of its own in the table.
"""

import asyncio
from typing import Any

import pytest

from tests.harness.door import Call, Door
from tests.harness.people import Desk, People
from workflows.contracts.calls import NeedsApproval, Observed

BO, ANN, LEE, KIM = (f"{name}@acme.example" for name in ("bo", "ann", "lee", "kim"))
GOAL = f"Write to {BO} and to {ANN}, and pay account 4711-0815 its 500 cents."
DOMAIN = {"send": {"to": {"domains": ["acme.example"]}, "text": {"max_length": 200}}, "pay": {}, "fetch": {}}
STRICTER = 'permit (principal, action, resource); @id("look") @ask forbid (principal, action, resource);'


async def open_run(door: Door, agent: str = "", **rule: Any) -> str:
    """A run of an agent that asks about each message and lets five more be approved with one."""
    tools = {"send": {"always": True, "repeat_most": 5} | rule, "pay": {"repeat_most": 5}}
    return await door.open(agent or await door.publish("send", "pay", "fetch", approvals={"tools": tools}), GOAL)


async def send(door: Door, run_id: str, to: str = BO, **more: Any) -> Call:
    """The next message that the run wants to send."""
    return (await door.plan(run_id, ("send", {"to": to, **more})))[0]


async def given(door: Door, run_id: str, repeat: int = 3) -> Desk:
    """Lee has approved a message to Bo, and the next three like it; the first is sent."""
    call = await send(door, run_id)
    desk = Desk(door, People.of(door.parts.database), call, await door.asked(call))
    receipt = await desk.says(await desk.people.add(LEE), repeat=repeat)
    assert (receipt.answer, receipt.closes) == ("accepted", True)
    assert await desk.performed()
    return desk


async def passes(door: Door, call: Call) -> bool:
    """Whether the call is performed unasked."""
    answer = await door.call(call)
    assert isinstance(answer, Observed | NeedsApproval), answer
    assert call.happened == isinstance(answer, Observed)
    return isinstance(answer, Observed)


async def left(door: Door) -> int:
    """How many more may pass."""
    return int(await door.value("SELECT uses_left FROM standing_approvals"))


async def test_the_next_n_calls_like_it_pass_unasked_and_then_it_is_asked_again(door: Door) -> None:
    run_id = await open_run(door)
    desk = await given(door, run_id, repeat=3)
    for _ in range(3):
        assert await passes(door, await send(door, run_id))
    assert not await passes(door, await send(door, run_id))
    rows = await door.rows("SELECT by, verdict, proof, signed FROM decisions ORDER BY at")
    assert [tuple(row) for row in rows] == [
        (LEE, "approve", "signature", True),
        *[(LEE, "approve", "standing", True)] * 3,
    ]
    assert await desk.door.value("SELECT count(*) FROM approvals WHERE state = 'approve'") == 4


async def test_attempts_at_the_same_call_use_up_one(door: Door) -> None:
    run_id = await open_run(door)
    await given(door, run_id, repeat=3)
    call = await send(door, run_id)
    for _ in range(3):
        assert await passes(door, call)
    assert await left(door) == 2


async def test_attempts_at_the_same_moment_are_one_decision(door: Door) -> None:
    run_id = await open_run(door)
    await given(door, run_id, repeat=3)
    call = await send(door, run_id)
    answers = await asyncio.gather(*(door.another().call(call) for _ in range(8)), return_exceptions=True)
    assert not [answer for answer in answers if isinstance(answer, NeedsApproval)]
    assert await door.value("SELECT count(*) FROM decisions WHERE proof = 'standing'") == 1
    assert await left(door) <= 2  # what they race for may be lost, and is never given twice


async def test_of_many_calls_at_the_same_moment_n_pass(door: Door) -> None:
    run_id = await open_run(door)
    await given(door, run_id, repeat=3)
    calls = await door.plan(run_id, *[("send", {"to": BO})] * 8)
    assert sum(await asyncio.gather(*(passes(door, call) for call in calls))) == 3
    assert await left(door) == 0


async def test_another_value_that_counts_is_not_like_it_and_uses_up_nothing(door: Door) -> None:
    run_id = await open_run(door)
    await given(door, run_id)
    others: list[dict[str, Any]] = [{"to": ANN}, {"to": BO, "text": "an argument more"}, {"to": BO}]
    calls = await door.plan(run_id, *(("send", arguments) for arguments in others))
    assert [await passes(door, call) for call in calls] == [False, False, True]
    assert await left(door) == 2


async def test_what_the_grant_limits_may_differ_within_it(door: Door) -> None:
    tools = {"send": {"always": True, "repeat_most": 5}}
    agent = await door.publish("send", "fetch", approvals={"tools": tools}, grants={"send": DOMAIN["send"]})
    run_id = await open_run(door, agent)
    await given(door, run_id)
    assert await passes(door, await send(door, run_id, to=ANN))
    assert await left(door) == 2


async def test_another_run_of_the_same_agent_asks(door: Door) -> None:
    agent = await door.publish("send", approvals={"tools": {"send": {"repeat_most": 5}}})
    await given(door, await open_run(door, agent))
    assert not await passes(door, await send(door, await open_run(door, agent)))
    assert await left(door) == 3


async def test_after_its_expiry_it_counts_no_more(door: Door) -> None:
    run_id = await open_run(door)
    await given(door, run_id)
    await door.execute("UPDATE standing_approvals SET expires_at = now()")
    assert not await passes(door, await send(door, run_id))


async def test_where_two_people_are_asked_one_does_not_stand_for_both(door: Door) -> None:
    run_id = await open_run(door, people=2)
    call = await send(door, run_id)
    desk = Desk(door, People.of(door.parts.database), call, await door.asked(call))
    for name in (LEE, KIM):
        assert (await desk.says(await desk.people.add(name), repeat=3)).answer == "accepted"
    assert await desk.performed()
    assert not await passes(door, await send(door, run_id))


@pytest.mark.parametrize("most", [0, 5])
async def test_more_than_the_rule_allows_is_refused(door: Door, most: int) -> None:
    run_id = await open_run(door, repeat_most=most)
    call = await send(door, run_id)
    desk = Desk(door, People.of(door.parts.database), call, await door.asked(call))
    receipt = await desk.says(await desk.people.add(LEE), repeat=most + 1)
    assert f"at most the next {most} calls like it may be approved" in await desk.refuses(receipt)


async def test_money_is_asked_about_each_time_even_if_the_table_was_forged(door: Door) -> None:
    run_id = await open_run(door)
    call, again = await door.plan(run_id, *[("pay", {"to": "4711-0815", "cents": 500})] * 2)
    desk = Desk(door, People.of(door.parts.database), call, await door.asked(call))
    assert await desk.shown("repeat_most") == 0
    people = [await desk.people.add(name) for name in (LEE, KIM)]
    assert "at most the next 0" in await desk.refuses(await desk.says(people[0], repeat=1))
    await desk.set("repeat_most = 5")
    for person in people:
        assert (await desk.says(person, repeat=5)).answer == "accepted"
    assert await desk.performed()
    assert await left(door) == 5
    assert not await passes(door, again)


async def test_a_policy_that_was_set_since_unmakes_it(door: Door) -> None:
    run_id = await open_run(door)
    await given(door, run_id)
    assert await passes(door, await send(door, run_id))
    await door.put_policy("acme", STRICTER)
    assert not await passes(door, await send(door, run_id))
    assert await left(door) == 2


async def test_untrusted_data_that_was_read_since_unmakes_it(door: Door) -> None:
    run_id = await open_run(door)
    await given(door, run_id)
    [read] = await door.plan(run_id, ("fetch", {}))
    assert isinstance(await door.call(read), Observed)
    assert not await passes(door, await send(door, run_id))


async def test_another_reason_to_ask_is_not_like_it(door: Door) -> None:
    run_id = await open_run(door)
    call = await send(door, run_id, text="hello")
    desk = Desk(door, People.of(door.parts.database), call, await door.asked(call))
    await desk.says(await desk.people.add(LEE), repeat=3)
    assert await desk.performed()
    assert await passes(door, await send(door, run_id, text="hello again"))
    assert not await passes(door, await send(door, run_id, text="his card is 4111 1111 1111 1111"))


async def test_it_ends_with_the_person_who_gave_it(door: Door) -> None:
    run_id = await open_run(door)
    desk = await given(door, run_id)
    await desk.people.principals.revoke("acme", LEE)
    assert not await passes(door, await send(door, run_id))


async def test_it_ends_with_the_key_it_was_given_with(door: Door) -> None:
    run_id = await open_run(door)
    desk = await given(door, run_id)
    assert await passes(door, await send(door, run_id))
    key = await door.value("SELECT key FROM decisions WHERE approval_id = $1 AND by = $2", desk.asked.approval_id, LEE)
    await desk.people.principals.revoke_key(key)
    assert not await passes(door, await send(door, run_id))
